"""A Ray cluster of one node, or of several, that lives until its standard input ends: `ray_head.py FOLDER NODE...`.

A node is its CPUs, or `CPUS:NAME` with one of another resource too: Ray takes it at its word that it has a GPU. The
address goes to standard output.
"""

from __future__ import annotations

import sys
from typing import Any

from ray.cluster_utils import Cluster

LIGHT = {
    "object_store_memory": 80 * 2**20,
    "include_dashboard": False,
    "include_log_monitor": False,
    "no_monitor": True,  # of the autoscaler
}


def node(text: str) -> dict[str, Any]:
    cpus, _, name = text.partition(":")
    more = {"num_gpus": 1} if name == "gpu" else {"resources": {name: 1}} if name else {}
    return {"num_cpus": int(cpus), **more, **LIGHT}


if __name__ == "__main__":
    folder, *nodes = sys.argv[1:]
    cluster = Cluster(initialize_head=True, head_node_args={**node(nodes[0]), "temp_dir": folder})
    for text in nodes[1:]:
        cluster.add_node(**node(text))
    cluster.wait_for_nodes()
    print(cluster.address, flush=True)
    sys.stdin.read()
    cluster.shutdown()
