"""A PostgreSQL server of Debian's packages, and Ray clusters, for the tests that need one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL is installed here; `apt-get install postgresql` brings it, and CI does")
    # Not below pytest's own folders, which only the user of the tests may enter: the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="resnext-dsl-postgresql-"))
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(program: str, *arguments: str) -> None:
        command = [str(programs[-1] / program), "-D", str(folder / "data"), *arguments]
        switched = ["runuser", "-u", user, "--", *command] if os.getuid() == 0 else command
        done = subprocess.run(switched, capture_output=True, text=True, cwd=folder, timeout=120)
        assert done.returncode == 0, done.stderr

    run("initdb", "-A", "trust", "-U", "tester", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run("pg_ctl", "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        run("pg_ctl", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@contextmanager
def ray_cluster(*nodes: str) -> Iterator[str]:
    """The address of a cluster of such nodes, which ends with this process at the latest."""
    pytest.importorskip("ray")
    folder = tempfile.mkdtemp(prefix="ray-")  # a short one, since it holds sockets
    # Workers are nice to others by default, which on two busy cores is to wait.
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
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


@pytest.fixture(scope="session")
def one_node() -> Iterator[str]:
    """The address of a Ray cluster of one node of 8 CPUs."""
    with ray_cluster("8:slot") as address:
        yield address
