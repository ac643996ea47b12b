"""The steps of a trial in Optuna's storage: what Optuna reads there, and what several processes may do at once."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
import sqlalchemy
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from resnext_dsl.searches.database import Records
from resnext_dsl.searches.patience import patient
from resnext_dsl.searches.storage import close, open_storage
from resnext_dsl.searches.supervisor import _settled
from resnext_dsl.searches.trials import (
    Proposed,
    StaleCheck,
    add_running,
    candidate_of,
    device_of,
    known_key,
    metrics_of,
    running_numbers,
    standing,
)

DISTRIBUTIONS = {
    "width": IntDistribution(4, 64, step=4),
    "act": CategoricalDistribution(["relu", "silu", True, 1.5]),
    "lr": FloatDistribution(1e-4, 1.0, log=True),
}


def template(width: int = 8) -> FrozenTrial:
    return create_trial(
        state=TrialState.WAITING,
        params={"width": width, "act": "silu", "lr": 0.01},
        distributions=DISTRIBUTIONS,
        user_attrs={"candidate": {"width": width}, "key": f"k{width}"},
        system_attrs={"generation": 1},
    )


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        server: str = request.getfixturevalue("postgresql")
        return server
    return f"sqlite:///{tmp_path}/trials.db"


@pytest.fixture
def records(url: str) -> Iterator[Records]:
    storage = open_storage(url, 20, 60)
    study = optuna.create_study(storage=storage, study_name="tests", directions=["maximize", "minimize"])
    yield Records(storage, study)
    optuna.delete_study(storage=storage, study_name="tests")
    close(storage)


def read_by_optuna(url: str) -> list[FrozenTrial]:
    storage = RDBStorage(url)
    try:
        return optuna.load_study(storage=storage, study_name="tests").get_trials()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def test_optuna_reads_what_is_written(records: Records, url: str) -> None:
    added = [template(width=4 * n) for n in range(1, 4)]
    assert [records.add(trial, known) for known, trial in enumerate(added)] == [True] * 3
    assert [trial.number for trial in added] == [0, 1, 2]
    assert records.claim(0)
    metrics = {"metrics": {"accuracy": 0.5}}
    assert records.end(0, TrialState.COMPLETE, [0.5, float("inf")], metrics, {"accuracy >= 0.9": 0.4})
    assert records.end(1, TrialState.FAIL, None, {"reason": "no room"})
    theirs = read_by_optuna(url)
    assert theirs == records.trials()
    assert [trial.state.name for trial in theirs] == ["COMPLETE", "FAIL", "WAITING"]
    assert theirs[0].values == [0.5, float("inf")]
    assert theirs[0].constraints == {"accuracy >= 0.9": 0.4}
    assert theirs[0].user_attrs == {"candidate": {"width": 4}, "key": "k4", "metrics": {"accuracy": 0.5}}
    assert theirs[1].user_attrs["reason"] == "no room"
    assert theirs[2].params == {"width": 12, "act": "silu", "lr": 0.01}
    assert theirs[0].duration is not None
    assert 0 <= theirs[0].duration.total_seconds() < 10


def test_an_ended_trial_is_read_only_once(records: Records) -> None:
    for width in (4, 8):
        assert records.add(template(width), known=len(records.trials()))
    records.storage.set_trial_state_values(records.id_of(0), TrialState.FAIL)
    first, again = records.trials(), records.trials()
    assert [trial.state for trial in first] == [TrialState.FAIL, TrialState.WAITING]
    assert again[0] is first[0]


def test_a_trial_of_others_in_between_is_noticed(records: Records) -> None:
    assert records.add(template(4), 0)
    assert not records.add(template(8), 0)
    assert [trial.params["width"] for trial in records.trials()] == [4, 8]


def test_what_has_ended_stays_as_it_is(records: Records) -> None:
    records.add(template(), 0)
    assert records.claim(0)
    assert records.end(0, TrialState.COMPLETE, [1.0, 2.0], {"metrics": {}})
    assert not records.end(0, TrialState.FAIL, None, {"reason": "late"})
    assert not records.end(0, TrialState.COMPLETE, [3.0, 4.0], {"metrics": {}}, {"late": 1.0})
    assert not records.claim(0)
    (kept,) = records.trials()
    assert (kept.state, kept.values, "reason" in kept.user_attrs) == (TrialState.COMPLETE, [1.0, 2.0], False)
    assert records.state(0) is TrialState.COMPLETE


def test_what_is_silent_fails_and_what_waits_does_not(records: Records) -> None:
    for known, width in enumerate((4, 8, 12)):
        records.add(template(width), known)
    assert records.claim(0)
    records.beat(1)  # its worker died before it was running
    records.fail_stale()
    assert [trial.state.name for trial in records.trials()] == ["RUNNING", "WAITING", "WAITING"]
    records.storage.grace_period = -10
    records.fail_stale()
    assert [trial.state.name for trial in records.trials()] == ["FAIL", "WAITING", "WAITING"]
    assert records.claim(1)


def test_a_trial_that_does_not_count_ends_with_its_worker(records: Records) -> None:
    proposed = Proposed({"width": 8}, DISTRIBUTIONS, {"key": "k", "candidate": {"width": 8}})
    assert add_running(records, proposed, 0, "first")
    assert not add_running(records, proposed, 0, "second")  # it is killed before it marks its trial
    notes: list[str] = []
    observer = SimpleNamespace(note=notes.append)
    ended = SimpleNamespace(name="second", exit_status=lambda status: None)
    session = SimpleNamespace(records=records)
    assert not _settled(session, ended, -9, observer, 1, "no output")  # type: ignore[arg-type]
    first, second = records.trials()
    assert (first.state.name, second.state.name) == ("RUNNING", "PRUNED")
    assert second.user_attrs["void"] == "another trial of the same architecture counts"
    assert notes == ["worker 1 was killed by signal 9: no output"]
    assert _settled(session, SimpleNamespace(**{**vars(ended), "name": "first"}), -9, observer, 0, "")  # type: ignore[arg-type]
    assert notes[-1] == "worker 0 was killed by signal 9; trial 0 is tried again: "
    assert len(standing(records.trials()).dead) == 1


def test_a_trial_that_does_not_count_becomes_stale(records: Records) -> None:
    proposed = Proposed({"width": 8}, DISTRIBUTIONS, {"key": "k", "candidate": {"width": 8}})
    add_running(records, proposed, 0, "first")
    add_running(records, proposed, 0, "second")
    records.storage.create_new_trial(records._study_id)  # of another program, which records no heartbeats
    watch = StaleCheck(records, 0.0, -1.0)
    records.storage.grace_period = -10
    for _ in range(3):
        watch.check(running_numbers(records.trials()))
    assert [trial.state.name for trial in records.trials()] == ["FAIL", "FAIL", "RUNNING"]


def test_many_at_once_have_numbers_of_their_own_and_claim_once(records: Records) -> None:
    with ThreadPoolExecutor(8) as pool:
        first = list(pool.map(lambda _: patient(lambda: records.add(template(), 0)), range(24)))
        assert [trial.number for trial in records.trials()] == list(range(24))
        claims = list(pool.map(lambda _: patient(lambda: records.claim(0)), range(16)))
        ends = list(pool.map(lambda n: patient(lambda: records.end(0, TrialState.COMPLETE, [n, n], {})), range(16)))
    assert (sum(first), sum(claims), sum(ends)) == (1, 1, 1)


CLAIMS = """
import sys
import optuna
from resnext_dsl.searches.database import Records
from resnext_dsl.searches.patience import patient
from resnext_dsl.searches.storage import open_storage

storage = patient(lambda: open_storage(sys.argv[1], 20, 60))
records = Records(storage, optuna.load_study(storage=storage, study_name="tests"))
print("ready", flush=True)
sys.stdin.readline()
print(*(number for number in range(40) if patient(lambda: records.claim(number))))
"""


def start_together(processes: list[subprocess.Popen[str]]) -> None:
    """Lets processes begin once all have imported what they need."""
    assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * len(processes)
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


@pytest.mark.slow
@pytest.mark.parametrize("url", ["sqlite", "postgresql"], indirect=True)
def test_several_processes_claim_each_trial_once(records: Records, url: str) -> None:
    for known in range(40):
        records.add(template(), known)
    command = [sys.executable, "-W", "ignore", "-c", CLAIMS, url]
    pipe: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipe) for _ in range(3)]
    start_together(processes)
    claimed = [process.communicate(timeout=120)[0].split() for process in processes]
    assert sorted(int(number) for numbers in claimed for number in numbers) == list(range(40))


OPENS = """
import sys
from resnext_dsl.searches.storage import close, open_storage

print("ready", flush=True)
sys.stdin.readline()
close(open_storage(sys.argv[1], 20, 60))
"""


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def test_a_new_database_is_opened_by_several_at_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    if kind == "postgresql":
        server: str = request.getfixturevalue("postgresql")
        engine = sqlalchemy.create_engine(server, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(sqlalchemy.text("DROP DATABASE IF EXISTS new_one"))
            connection.execute(sqlalchemy.text("CREATE DATABASE new_one"))
        engine.dispose()
        url = server.removesuffix("/postgres") + "/new_one"
    command = [sys.executable, "-c", OPENS, url]
    pipe: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipe) for _ in range(3)]
    start_together(processes)
    assert [process.communicate(timeout=240) for process in processes] == [("", "")] * 3
    storage = open_storage(url, 20, 60)
    assert storage.get_current_version() == storage.get_head_version()
    close(storage)


def test_trials_of_version_0_1_are_read() -> None:
    attributes = {"candidate": {"width": 4}, "key": "k4", "metrics": {"accuracy": 0.5}}
    trial = create_trial(values=[0.5], user_attrs=attributes)
    assert (candidate_of(trial), known_key(trial), metrics_of(trial), device_of(trial)) == (
        {"width": 4},
        "k4",
        {"accuracy": 0.5},
        "",
    )
    assert standing([trial]).keys == {"k4": trial}
    other = create_trial(values=[0.5])
    assert (candidate_of(other), known_key(other)) == (None, None)
