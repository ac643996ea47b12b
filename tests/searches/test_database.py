"""The steps of a trial on Optuna's tables: what Optuna's own storage reads there, and what two processes may do at once."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.storages import RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from resnext_dsl.searches.database import Database
from resnext_dsl.searches.storage import close, open_storage

DISTRIBUTIONS = {
    "width": IntDistribution(4, 64, step=4),
    "act": CategoricalDistribution(["relu", "silu", True, 1.5]),
    "lr": FloatDistribution(1e-4, 1.0, log=True),
}
FIELDS = ("number", "state", "values", "params", "distributions", "user_attrs", "system_attrs", "intermediate_values")


def template(state: TrialState = TrialState.WAITING, width: int = 8) -> FrozenTrial:
    return create_trial(
        state=state,
        params={"width": width, "act": "silu", "lr": 0.01},
        distributions=DISTRIBUTIONS,
        user_attrs={"candidate": {"width": width}, "key": f"k{width}"},
        system_attrs={"generation": 1},
    )


@pytest.fixture(params=["sqlite", "postgresql", "slow"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        found: str = request.getfixturevalue("postgresql")
        return found
    return f"sqlite:///{tmp_path}/{request.param}.db"


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    found = open_storage(url, 20, 60)
    found._fast = "slow" not in url
    yield found
    close(found)


@pytest.fixture
def study_id(database: Database) -> Iterator[int]:
    made = database.create_new_study([StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE], "of these tests")
    yield made
    database.delete_study(made)


def told(trial: FrozenTrial) -> dict[str, Any]:
    return {name: getattr(trial, name) for name in FIELDS}


def read_by_optuna(url: str, study_id: int) -> list[FrozenTrial]:
    storage = RDBStorage(url)
    try:
        return storage.get_all_trials(study_id)
    finally:
        storage.remove_session()
        storage.engine.dispose()


def test_optuna_reads_what_is_written(database: Database, url: str, study_id: int) -> None:
    made = [database._create_new_trial(study_id, template(width=4 * n)) for n in range(1, 4)]
    running = database._create_new_trial(study_id, template(TrialState.RUNNING, 32))
    assert [trial.number for trial in [*made, running]] == [0, 1, 2, 3]
    assert database.claim(made[0]._trial_id)
    database.set_trial_intermediate_value(made[0]._trial_id, 3, math.nan)
    assert database.end(made[0]._trial_id, TrialState.COMPLETE, [0.5, math.inf], {"metrics": {"accuracy": 0.5}})
    assert database.end(made[1]._trial_id, TrialState.FAIL, None, {"reason": "no room"})
    theirs = read_by_optuna(url, study_id)
    ours = database._get_trials(study_id, None, set(), -1)
    assert repr(list(map(told, theirs))) == repr(list(map(told, ours)))  # repr: of nan, which equals nothing
    assert [trial.state.name for trial in theirs] == ["COMPLETE", "FAIL", "WAITING", "RUNNING"]
    assert theirs[0].values == [0.5, math.inf]
    assert theirs[0].user_attrs == {"candidate": {"width": 4}, "key": "k4", "metrics": {"accuracy": 0.5}}
    assert theirs[1].user_attrs["reason"] == "no room"
    assert [trial.state for trial in ours[3:]] == [running.state]
    assert theirs[3].params == {"width": 32, "act": "silu", "lr": 0.01}
    for one, other in zip(theirs, ours, strict=True):
        assert (one.datetime_start, one.datetime_complete) == (other.datetime_start, other.datetime_complete)
    ran = theirs[0].duration
    assert ran is not None
    assert 0 <= ran.total_seconds() < 10


def test_what_optuna_writes_is_read(database: Database, url: str, study_id: int) -> None:
    study = optuna.load_study(study_name="of these tests", storage=RDBStorage(url))

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        width = trial.suggest_int("width", 4, 64, step=4)
        trial.set_user_attr("seen", [width])
        return width, trial.suggest_float("lr", 1e-4, 1.0, log=True)

    study.optimize(objective, n_trials=3)
    study.enqueue_trial({"width": 8})
    ours = database._get_trials(study_id, None, set(), -1)
    assert list(map(told, ours)) == list(map(told, study.get_trials()))
    study._storage.remove_session()
    study._storage._backend.engine.dispose()


def test_only_what_has_changed_is_read_again(database: Database, study_id: int) -> None:
    first, second = (database._create_new_trial(study_id, template(width=4 * n)) for n in (1, 2))
    before = database._get_trials(study_id, None, set(), -1)
    database.claim(second._trial_id)
    after = database._get_trials(study_id, None, {first._trial_id, second._trial_id}, second._trial_id)
    assert [trial.state.name for trial in after] == ["WAITING", "RUNNING"]
    assert (after[0] is before[0]) == database._fast
    database.end(second._trial_id, TrialState.COMPLETE, [1.0, 2.0], {})
    (only,) = database._get_trials(study_id, None, {second._trial_id}, second._trial_id)
    assert told(only) == {**told(second), "state": TrialState.COMPLETE, "values": [1.0, 2.0]}


def test_what_has_ended_stays_as_it_is(database: Database, study_id: int) -> None:
    trial = database._create_new_trial(study_id, template(TrialState.RUNNING))
    assert database.end(trial._trial_id, TrialState.COMPLETE, [1.0, 2.0], {"metrics": {}})
    assert not database.end(trial._trial_id, TrialState.FAIL, None, {"reason": "late"})
    assert not database.claim(trial._trial_id)
    (kept,) = database._get_trials(study_id, None, set(), -1)
    assert (kept.state, kept.values, "reason" in kept.user_attrs) == (TrialState.COMPLETE, [1.0, 2.0], False)


def test_what_is_running_has_a_sign_of_life(database: Database, study_id: int) -> None:
    made = database._create_new_trial(study_id, template(TrialState.RUNNING))
    waiting = database._create_new_trial(study_id, template(width=12))
    database.claim(waiting._trial_id)
    database.grace_period = -10
    assert sorted(database._get_stale_trial_ids(study_id)) == [made._trial_id, waiting._trial_id]
    database.grace_period = 60
    assert database._get_stale_trial_ids(study_id) == []


def test_many_at_once_have_numbers_of_their_own_and_claim_once(database: Database, study_id: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: database._create_new_trial(study_id, template()), range(40)))
        assert sorted(trial.number for trial in made) == list(range(40))
        claims = list(pool.map(lambda _: database.claim(made[0]._trial_id), range(16)))
        ends = list(pool.map(lambda n: database.end(made[0]._trial_id, TrialState.COMPLETE, [n, n], {}), range(16)))
    assert (sum(claims), sum(ends)) == (1, 1)
