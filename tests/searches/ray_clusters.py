"""Ray clusters of the tests: started locally, ended with them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def ray_cluster(*nodes: str) -> Iterator[str]:
    """The address of a cluster of such nodes, which ends with this process at the latest."""
    pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="ray-")  # a short one, since it holds sockets
    # Ray notes the newest cluster in a folder that it expects to be there; a user's own cluster is not to be hidden.
    Path(folder, "ray").mkdir()
    # Workers are nice to others by default, which on two busy cores is to wait. By default Ray also starts a process for
    # each CPU in advance, and no trial runs there: trials need the environment of their search.
    quiet = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_worker_niceness": "0",
        "RAY_prestart_worker_first_driver": "0",
        "RAY_TMPDIR": folder,
    }
    environment = {**os.environ, **quiet}
    command = [sys.executable, str(Path(__file__).parent / "ray_head.py"), folder, *nodes]
    head = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    )
    assert head.stdin is not None
    assert head.stdout is not None
    try:
        yield head.stdout.readline().strip()
    finally:
        head.stdin.close()
        head.wait(60)
        head.stdout.close()
        shutil.rmtree(folder)
