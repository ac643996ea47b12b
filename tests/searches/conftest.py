"""A PostgreSQL server of Debian's packages for the tests that need one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an empty database."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("no PostgreSQL is installed here; `apt-get install postgresql` brings it, and CI does")
    folder = tmp_path_factory.mktemp("postgresql")
    where = folder / "data"
    # The server refuses to run as root.
    user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
    if os.getuid() == 0:
        for part in (folder, *folder.parents):
            if part.owner() == "root" and part != Path("/") and str(part).startswith("/tmp/"):
                part.chmod(part.stat().st_mode | 0o011)
        shutil.chown(folder, user)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def run(*command: str) -> None:
        switched = ["runuser", "-u", user, "--", *command] if os.getuid() == 0 else list(command)
        done = subprocess.run(switched, capture_output=True, text=True, cwd=folder, timeout=120)
        assert done.returncode == 0, done.stderr

    run(str(programs[-1] / "initdb"), "-D", str(where), "-A", "trust", "-U", "tester", "--no-sync")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
    run(str(programs[-1] / "pg_ctl"), "-D", str(where), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://tester@127.0.0.1:{port}/postgres"
    finally:
        run(str(programs[-1] / "pg_ctl"), "-D", str(where), "-m", "immediate", "stop")
        time.sleep(0.1)
