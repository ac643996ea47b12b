"""A PostgreSQL server and a browser of Debian's packages, and Ray clusters, for the tests that need one."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.storages._rdb.storage import _VersionManager
from ray_clusters import ray_cluster


@pytest.fixture(autouse=True, scope="session")
def migrations_are_read_once() -> Iterator[None]:
    """Keeps Optuna's list of migrations: to execute their modules takes longer than to create a database."""
    read, kept = _VersionManager._create_alembic_script, []

    def script(manager: Any) -> Any:
        kept[:] = kept or [read(manager)]
        return kept[0]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_VersionManager, "_create_alembic_script", script)
        yield


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


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium that keeps what pages say and ask for; an open page costs CPU time, so it ends with its module."""
    driver = Path("/usr/bin/chromedriver")
    if not driver.exists() or not Path("/usr/bin/chromium").exists():
        pytest.skip("no Chromium is installed here; `apt-get install chromium chromium-driver` brings it, and CI does")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    quiet = ("background-networking", "component-update", "sync", "quic", "gpu")
    size = ("--headless=new", "--no-sandbox", "--no-first-run", "--window-size=1300,2400")
    with tempfile.TemporaryDirectory(prefix="resnext-dsl-chromium-", ignore_cleanup_errors=True) as folder:
        for argument in (*size, *(f"--disable-{name}" for name in quiet), f"--user-data-dir={folder}"):
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(driver)))
        try:
            yield opened
        finally:
            opened.quit()


@pytest.fixture(scope="session")
def one_node() -> Iterator[str]:
    """The address of a Ray cluster of one node of 8 CPUs."""
    with ray_cluster("8:slot") as address:
        yield address
