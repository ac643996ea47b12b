"""The trials of a study as a search counts them: which are alive, which died and are to be tried again.

A trial is made waiting, with its candidate and the key of its architecture, and gets a sign of life before it is
running; so whatever is running has one, wherever its process was killed. Of trials with one key the first is alive,
so that no architecture is evaluated twice. Nothing here changes a trial that is finished.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages._rdb import models
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import update

from resnext_dsl.searches.storage import patient

CANDIDATE, KEY, METRICS, REASON, STOPPED, VOID = "candidate", "key", "metrics", "reason", "stopped", "void"
"""What a trial keeps: its values; what tells its architecture from others; all metrics; why it failed; that it was
stopped with the search; why it is not one."""

ATTEMPTS = 5
"""Times that a candidate whose worker died is tried, before it counts as failed."""


class Standing(NamedTuple):
    """Where a study stands.

    Attributes:
        done: Trials with a result.
        failed: Trials that an evaluator failed, or whose worker died too often.
        running: Being evaluated.
        waiting: To be evaluated, those that died and are to be tried again not among them.
        dead: Trials whose worker died, or was stopped, and of whose architecture nothing else is alive.
        keys: Architecture -> the trial of it that counts.
    """

    done: list[FrozenTrial]
    failed: list[FrozenTrial]
    running: list[FrozenTrial]
    waiting: list[FrozenTrial]
    dead: list[FrozenTrial]
    keys: dict[str, FrozenTrial]

    @property
    def counted(self) -> int:
        """Trials that count."""
        return len(self.keys) + len(self.dead)


def all_trials(study: optuna.Study) -> list[FrozenTrial]:
    """The trials of a study, in order."""
    return patient(lambda: study.get_trials(deepcopy=False))


def standing(trials: list[FrozenTrial]) -> Standing:
    """Counts trials."""
    found = Standing([], [], [], [], [], {})
    died: dict[str, list[FrozenTrial]] = {}
    for trial in trials:
        key = trial.user_attrs.get(KEY)
        if key is None or VOID in trial.user_attrs or key in found.keys:
            continue
        if trial.state is TrialState.FAIL and REASON not in trial.user_attrs:
            died.setdefault(key, []).append(trial)
            continue
        found.keys[key] = trial
        _list_of(found, trial).append(trial)
    for key, attempts in died.items():
        if key in found.keys:
            continue
        if sum(STOPPED not in trial.user_attrs for trial in attempts) >= ATTEMPTS:
            found.keys[key] = attempts[-1]
            found.failed.append(attempts[-1])
        else:
            found.dead.append(attempts[-1])
    return found


def _list_of(found: Standing, trial: FrozenTrial) -> list[FrozenTrial]:
    if trial.state is TrialState.RUNNING:
        return found.running
    if trial.state is TrialState.WAITING:
        return found.waiting
    return found.done if trial.state is TrialState.COMPLETE else found.failed


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    return str(trial.user_attrs.get(REASON, f"its worker died {ATTEMPTS} times"))


# --- making, claiming, finishing ---


def make(
    study: optuna.Study,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    candidate: Mapping[str, Any],
    key: str,
    system: Mapping[str, Any] | None = None,
) -> FrozenTrial:
    """A new trial, waiting."""
    template = create_trial(
        state=TrialState.WAITING,
        params=dict(params),
        distributions={name: distributions[name] for name in params},
        user_attrs={CANDIDATE: dict(candidate), KEY: key},
        system_attrs=dict(system or {}),
    )
    number = patient(lambda: study._storage.create_new_trial(study._study_id, template_trial=template))
    return patient(lambda: study._storage.get_trial(number))


def again(study: optuna.Study, dead: FrozenTrial) -> FrozenTrial:
    """A trial that died, once more, waiting."""
    attributes = dead.user_attrs
    return make(
        study,
        dead.params,
        dead.distributions,
        attributes[CANDIDATE],
        attributes[KEY],
        {**dead.system_attrs, "retry_of": dead.number},
    )


def claim(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a waiting trial is now ours and running.

    Optuna's own step reads the state and then writes it; in SQLite, which locks no rows, two processes may do both.
    """
    storage: Any = study._storage
    patient(lambda: storage.record_heartbeat(trial._trial_id))
    row = models.TrialModel
    mine = update(row).where(row.trial_id == trial._trial_id, row.state == TrialState.WAITING)

    def taken() -> bool:
        with storage._backend.engine.begin() as connection:
            done = connection.execute(mine.values(state=TrialState.RUNNING, datetime_start=datetime.now()))
            return bool(done.rowcount == 1)

    return patient(taken)


def finish(study: optuna.Study, trial: FrozenTrial, values: list[float], metrics: Mapping[str, float]) -> bool:
    """Records a result; False where the trial was taken for dead meanwhile."""
    try:
        patient(lambda: study._storage.set_trial_user_attr(trial._trial_id, METRICS, dict(metrics)))
    except UpdateFinishedTrialError:
        return False
    try:
        patient(lambda: study._storage.set_trial_state_values(trial._trial_id, TrialState.COMPLETE, values))
    except UpdateFinishedTrialError:
        # A step that the database has done before it went away is tried again, and found done.
        return patient(lambda: study._storage.get_trial(trial._trial_id)).state is TrialState.COMPLETE
    return True


def fail(study: optuna.Study, trial: FrozenTrial, key: str, why: Any, pruned: bool = False) -> None:
    """Records that a trial has failed, was stopped or is none."""
    state = TrialState.PRUNED if pruned else TrialState.FAIL
    with suppress(UpdateFinishedTrialError):
        patient(lambda: study._storage.set_trial_user_attr(trial._trial_id, key, why))
        patient(lambda: study._storage.set_trial_state_values(trial._trial_id, state))


def bury(study: optuna.Study) -> None:
    """Takes trials for dead that gave no sign of life."""
    storage: Any = study._storage
    for number in patient(lambda: storage._get_stale_trial_ids(study._study_id)):
        with suppress(UpdateFinishedTrialError):
            patient(partial(storage.set_trial_state_values, number, TrialState.FAIL))


class Alive:
    """Gives signs of life for a trial, as long as the block runs."""

    def __init__(self, study: optuna.Study, trial: FrozenTrial, seconds: float) -> None:
        self._storage: Any = study._storage
        self._trial = trial
        self._seconds = seconds
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._seconds):
            try:
                patient(lambda: self._storage.record_heartbeat(self._trial._trial_id), self._seconds)
            except Exception:  # the next sign may come through; without one the trial is tried again
                time.sleep(0.1)
