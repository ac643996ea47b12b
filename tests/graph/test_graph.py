"""The graph: its fingerprint, its networkx form, the same in every process."""

from __future__ import annotations

import subprocess
import sys

from error_examples import net

import resnext_dsl as rx


def test_the_fingerprint_is_that_of_the_architecture() -> None:
    first = rx.loads(net("conv(8, 3x3); bn; relu  # one\n    add(image)".replace("    add(image)", "")))
    again = rx.loads(net("let c = 8\n    unit(c)", "template unit(c) { conv(c, 3x3); bn; relu }\n"))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != rx.loads(net("conv(8, 3x3); bn; silu")).fingerprint
    shared = rx.loads(net("conv(8, 3x3) as a; relu as b; use a; relu; add(b)"))
    twice = rx.loads(net("conv(8, 3x3) as a; relu as b; add(b)"))
    assert shared.fingerprint != twice.fingerprint


def test_the_networkx_graph_carries_what_the_interface_promises() -> None:
    graph = rx.load("resnext50_32x4d_a").graph
    assert type(graph).__name__ == "MultiDiGraph"
    node = graph.nodes["conv3.0.paths.7.conv2"]
    assert node["operator"] == "conv"
    assert node["attributes"].model_dump()["stride"] == (2, 2)
    assert node["shape"] == (8, 28, 28)
    assert node["span"].source.name.endswith("std/blocks.arch")
    assert [key["position"] for key in graph.get_edge_data("conv3.0.paths.7.conv3", "conv3.0.add1").values()] == [7]


def test_the_graph_is_the_same_in_every_process() -> None:
    program = (
        "import hashlib, resnext_dsl as rx\n"
        "n = rx.load('inception_v4')\n"
        "print(n.fingerprint, hashlib.sha256(repr([(x.name, x.inputs, x.shape) for x in n.ir.nodes]).encode()).hexdigest())\n"
        "print(hashlib.sha256(n.emit().encode()).hexdigest())\n"
    )
    seen = set()
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1
