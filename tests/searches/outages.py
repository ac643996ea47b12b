"""Databases that tests take away and bring back, and searches as commands."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import optuna
from search_specs import SPACE

HERE = Path(__file__).parent


class Database(Protocol):
    """A database of a test."""

    url: str

    def take_away(self) -> None: ...

    def bring_back(self) -> None: ...


class SQLite:
    """A SQLite file; while it is away, this process holds its write lock."""

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path
        self._lock: sqlite3.Connection | None = None

    def take_away(self) -> None:
        self._lock = sqlite3.connect(self._path, timeout=30, isolation_level=None)
        self._lock.execute("BEGIN IMMEDIATE")

    def bring_back(self) -> None:
        if self._lock is not None:
            self._lock.execute("ROLLBACK")
            self._lock.close()
            self._lock = None


class PostgreSQL:
    """A PostgreSQL server of its own; while it is away, it is stopped."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self._user = "postgres" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        self.url = f"postgresql+psycopg://tester:topsecret@127.0.0.1:{self._port}/postgres"
        if os.getuid() == 0:
            shutil.chown(folder, self._user)
        self._runs = False
        self._run("initdb", "-A", "trust", "-U", "tester", "--no-sync")
        self.bring_back()

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), "-D", str(self._folder / "data"), *arguments]
        switched = ["runuser", "-u", self._user, "--", *command] if os.getuid() == 0 else command
        done = subprocess.run(switched, capture_output=True, text=True, cwd=self._folder, timeout=120)
        assert done.returncode == 0, done.stderr

    def take_away(self) -> None:
        if self._runs:
            self._run("pg_ctl", "-m", "immediate", "stop")
            self._runs = False

    def bring_back(self) -> None:
        if self._runs:
            return
        options = f"-p {self._port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        self._run("pg_ctl", "-o", options, "-l", str(self._folder / "log"), "-w", "start")
        self._runs = True


@contextmanager
def server() -> Iterator[PostgreSQL]:
    """A PostgreSQL server, which ends with the block."""
    # Not below pytest's own folders, which only the user of the tests may enter: the server refuses to run as root.
    folder = Path(tempfile.mkdtemp(prefix="resnext-dsl-postgresql-"))
    database = PostgreSQL(folder)
    try:
        yield database
    finally:
        database.take_away()
        shutil.rmtree(folder, ignore_errors=True)


# --- commands ---


def started(
    folder: Path, url: str, *more: str, trials: int, evaluator: str = "search_evaluators:slow"
) -> subprocess.Popen[str]:
    """A search of `SPACE` as a command, with its output in pipes."""
    spec = folder / "space.arch"
    spec.write_text(SPACE)
    asked = ["--maximize", "accuracy", "--minimize", "flops", "--budget", "small", "--evaluator", evaluator]
    command = [sys.executable, "-m", "resnext_dsl", "search", "space.arch", *asked, "--sampler", "random"]
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [*command, "--storage", url, "--trials", str(trials), "--json", *more],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


def ended(process: subprocess.Popen[str], seconds: float = 420) -> tuple[str, str]:
    """The output of a command that ends well."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    assert process.returncode == 0, err
    return out, err


def trials_of(url: str) -> list[Any]:
    """The trials of the study, as Optuna reads them."""
    storage = optuna.storages.RDBStorage(url)
    try:
        return optuna.load_study(storage=storage, study_name="n").get_trials()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def hold(url: str, count: int) -> None:
    """Every architecture has at most one result, there are as many results as asked for, and nothing runs."""
    trials = trials_of(url)
    states = [trial.state.name for trial in trials]
    results = [trial for trial in trials if trial.state.name == "COMPLETE"]
    keys = [trial.user_attrs["architecture"]["key"] for trial in results]
    assert "RUNNING" not in states
    assert "WAITING" not in states
    assert len(results) == count, states
    assert len(set(keys)) == len(keys)
    assert [trial.user_attrs for trial in trials if "reason" in trial.user_attrs] == []


def waited(condition: Any, seconds: float = 120) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the test waited for too long"
        time.sleep(0.1)
