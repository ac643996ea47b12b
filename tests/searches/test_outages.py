"""Several commands that start at once on a new database, and databases that are away for a while: real processes.

One test is quick. `test_kills.py` has several workers on a file, and `test_search.py` a Ctrl-C, which are quick too. The
tests in rounds run `RESNEXT_DSL_ROUNDS` of them, 2 by default.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy
from outages import HERE, Database, SQLite, ended, hold, server, started, trials_of, waited
from search_specs import SPACE
from typer.testing import CliRunner

from resnext_dsl.cli.app import app

ROUNDS = int(os.environ.get("RESNEXT_DSL_ROUNDS", "2"))


@pytest.fixture(scope="module")
def postgresql_of_its_own() -> Iterator[Database]:
    """A server that the tests of this module stop and start."""
    if not list(Path("/usr/lib/postgresql").glob("*/bin")):
        pytest.skip("no PostgreSQL is installed here; `apt-get install postgresql` brings it, and CI does")
    with server() as running:
        yield running


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    if request.param == "sqlite":
        file = SQLite(tmp_path / "n.db")
        yield file
        file.bring_back()
        return
    running: Database = request.getfixturevalue("postgresql_of_its_own")
    yield running
    running.bring_back()


def emptied(database: Database) -> None:
    """Makes a database new."""
    if isinstance(database, SQLite):
        for path in Path(database.url.removeprefix("sqlite:///")).parent.glob("n.db*"):
            path.unlink()
        return
    engine = sqlalchemy.create_engine(database.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text("DROP SCHEMA public CASCADE"))
        connection.execute(sqlalchemy.text("CREATE SCHEMA public"))
    engine.dispose()


# --- first starts ---


def hold_first_starts(database: Database, folder: Path, trials: int = 12) -> None:
    """Three commands start at once on a new database; all end well and share the trials."""
    emptied(database)
    commands = [started(folder, database.url, trials=trials) for _ in range(3)]
    answers = [json.loads(ended(command)[0]) for command in commands]
    hold(database.url, trials)
    assert [len(answer["trials"]) for answer in answers] == [trials] * 3
    assert not any(answer["exhausted"] or answer["stopped"] for answer in answers)
    # Commands draw from different streams: at most the first proposals of two meet by chance.
    void = [trial for trial in trials_of(database.url) if "void" in trial.user_attrs]
    same = [trial for trial in void if trial.user_attrs["void"].startswith("same architecture")]
    assert len(same) <= 1


@pytest.mark.slow
def test_first_starts_of_three_commands(database: Database, tmp_path: Path) -> None:
    hold_first_starts(database, tmp_path, 6)


@pytest.mark.slow
def test_first_starts_of_three_commands_in_rounds(database: Database, tmp_path: Path) -> None:
    for _ in range(ROUNDS):
        hold_first_starts(database, tmp_path)


# --- outages ---


def hold_outage(
    database: Database, folder: Path, results: int, wait: float, *more: str, trials: int = 30, heartbeat: int = 5
) -> str:
    """A search whose database is away for three heartbeats, a wait in seconds after so many results; its standard error.

    The moment counts results, not seconds from the start: a fast machine ends a short search before an outage that
    a clock starts.
    """
    emptied(database)
    command = started(folder, database.url, "--workers", "2", "--heartbeat", str(heartbeat), *more, trials=trials)
    assert command.stderr is not None
    lines = []
    while not any(
        line.startswith(f"{results}/{trials} ") or ("starting 2 workers" in line and not results) for line in lines
    ):
        lines.append(command.stderr.readline())
        assert lines[-1], "".join(lines)
    time.sleep(wait)
    database.take_away()
    time.sleep(3 * heartbeat)
    database.bring_back()
    _, err = ended(command)
    hold(database.url, trials)
    return err


@pytest.mark.parametrize("database", [pytest.param("sqlite", marks=pytest.mark.slow), "postgresql"], indirect=True)
def test_an_outage_while_a_search_runs(database: Database, tmp_path: Path) -> None:
    err = hold_outage(database, tmp_path, 3, 0.0, trials=12, heartbeat=3)
    assert "the database does not answer since " in err
    assert "the database answers again" in err
    assert "topsecret" not in err


@pytest.mark.slow
def test_outages_at_random_moments(database: Database, tmp_path: Path) -> None:
    source = random.Random(0)
    for _ in range(ROUNDS):
        hold_outage(database, tmp_path, source.randint(0, 25), source.uniform(0, 1))


@pytest.mark.slow
def test_outages_on_ray_at_random_moments(
    database: Database, one_node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    (tmp_path / "search_evaluators.py").write_text((HERE / "search_evaluators.py").read_text())
    source = random.Random(1)
    for _ in range(ROUNDS):
        hold_outage(database, tmp_path, source.randint(0, 25), source.uniform(0, 1), "--engine", "ray")


# --- Ctrl-C ---


def interrupt(process: subprocess.Popen[str]) -> None:
    os.killpg(process.pid, signal.SIGINT)


def hold_stop_during_outage(database: Database, folder: Path, *more: str, twice: bool = False) -> None:
    """Ctrl-C while the database is away ends the command soon; the same command goes on later."""
    emptied(database)
    command = started(folder, database.url, "--workers", "2", "--heartbeat", "2", *more, trials=400)
    waited(lambda: _has_results(database.url))
    database.take_away()
    time.sleep(2)
    began = time.monotonic()
    interrupt(command)
    if twice:
        time.sleep(1)
        interrupt(command)
    out, err = command.communicate(timeout=60)
    taken = time.monotonic() - began
    assert "Traceback" not in err
    if twice:
        assert taken < 10  # on two busy cores; it does not wait for the workers, which have 15 s
        if isinstance(database, SQLite) and command.returncode == 0:
            assert json.loads(out)["stopped"]  # its readers do not wait for the lock, so the first Ctrl-C was enough
        else:
            assert command.returncode != 0
    elif isinstance(database, SQLite):  # its readers do not wait for the lock
        assert json.loads(out)["stopped"]
    else:
        assert command.returncode == 2
        assert "error[E722]: the storage postgresql+psycopg://tester:***@" in err
        assert " does not answer: " in err
        assert "the same command continues the search" in err
    assert "topsecret" not in err
    assert taken < 40
    database.bring_back()
    waited(lambda: _count(database.url) > 0)
    count = _count(database.url) + 2
    ended(started(folder, database.url, "--workers", "2", "--heartbeat", "2", *more, trials=count))
    hold(database.url, count)


def _count(url: str) -> int:
    """The number of results; a query takes a tenth of the time that Optuna takes to open the database."""
    engine = sqlalchemy.create_engine(url)
    try:
        with engine.connect() as connection:
            query = sqlalchemy.text("SELECT COUNT(*) FROM trials WHERE state = 'COMPLETE'")
            return int(connection.execute(query).scalar_one())
    finally:
        engine.dispose()


def _has_results(url: str) -> bool:
    try:
        return _count(url) > 2
    except Exception:
        return False


@pytest.mark.slow
@pytest.mark.parametrize("twice", [False, True], ids=["once", "twice"])
def test_control_c_while_the_database_is_away(database: Database, tmp_path: Path, twice: bool) -> None:
    hold_stop_during_outage(database, tmp_path, twice=twice)


@pytest.mark.slow
def test_control_c_on_ray_while_the_database_is_away(
    database: Database, one_node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    (tmp_path / "search_evaluators.py").write_text((HERE / "search_evaluators.py").read_text())
    for _ in range(ROUNDS):
        hold_stop_during_outage(database, tmp_path, "--engine", "ray")


FUNCTION = """
import sys, time
import resnext_dsl as rx

def evaluate(network, candidate):
    time.sleep(0.2)
    return {"accuracy": 1.0}

try:
    found = rx.search("space.arch", maximize="accuracy", budget="small", evaluator=evaluate, trials=400, storage=sys.argv[1])
    print(found.stopped, len(found.trials))
except rx.ArchError as problem:
    print(problem.diagnostics[0].code)
"""


def test_control_c_leaves_no_trial_of_a_function_running(tmp_path: Path) -> None:
    (tmp_path / "space.arch").write_text(SPACE)
    url = f"sqlite:///{tmp_path}/n.db"
    process = subprocess.Popen(
        [sys.executable, "-c", FUNCTION, url],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    waited(lambda: _has_results(url))
    interrupt(process)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    states = [trial.state.name for trial in trials_of(url)]
    assert out.split() == ["True", str(states.count("COMPLETE"))]
    assert set(states) <= {"COMPLETE", "FAIL"}


DROPPED = """
import os, signal, sys
import resnext_dsl as rx

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        sum(range(10_000))

calls = []

def evaluate(network, candidate):
    calls.append(1)
    if len(calls) == 3:
        Finalized()
    return {"accuracy": 1.0}

found = rx.search("space.arch", maximize="accuracy", budget="small", evaluator=evaluate, trials=400, storage=sys.argv[1])
print(found.stopped, len(found.trials), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
"""


def test_control_c_that_a_finalizer_drops_stops_the_search_after_the_trial(tmp_path: Path) -> None:
    (tmp_path / "space.arch").write_text(SPACE)
    command = [sys.executable, "-c", DROPPED, f"sqlite:///{tmp_path}/n.db"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "KeyboardInterrupt" in done.stderr  # Python reports that it drops the exception
    assert done.stdout.split() == ["True", "3", "True"]


# --- the password ---


def test_the_password_is_in_no_attribute_of_the_study(
    tmp_path: Path, postgresql: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import optuna

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    (tmp_path / "space.arch").write_text(SPACE)
    url = postgresql.replace("tester@", "tester:topsecret@")
    asked = ["search", "space.arch", "--maximize", "accuracy", "--budget", "small", "--sampler", "random"]
    asked += ["--evaluator", "search_evaluators:accuracy", "--storage", url, "--study", "secret", "--trials"]
    result = CliRunner().invoke(app, [*asked, "2"])
    assert result.exit_code == 0, result.output
    err = result.stderr
    assert "tester:***@" in err
    assert "topsecret" not in err
    storage = optuna.storages.RDBStorage(postgresql)
    study = optuna.load_study(storage=storage, study_name="secret")
    plan: dict[str, Any] = study.user_attrs["plan"]
    assert plan["storage"] == url.replace("topsecret", "***")
    # A study of version 0.1 has the password; the next search removes it.
    study.set_user_attr("plan", {**plan, "storage": url})
    assert CliRunner().invoke(app, [*asked, "3"]).exit_code == 0
    assert study.user_attrs["plan"]["storage"] == url.replace("topsecret", "***")
    assert "topsecret" not in json.dumps(study.user_attrs)
    optuna.delete_study(storage=storage, study_name="secret")
    storage.remove_session()
    storage.engine.dispose()
