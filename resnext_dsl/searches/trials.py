"""Counts the trials of a study by state: with a result, failed, running, waiting, or to be tried again.

From its creation a trial has its candidate and the key of its architecture; a running trial also has a heartbeat. So
its state is known whenever its process is killed. If several trials have the same key, only the first counts, so no
architecture is evaluated twice. No function of this module changes a finished trial.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from resnext_dsl.searches.database import Records
from resnext_dsl.searches.storage import patient
from resnext_dsl.searches.trouble import MEMORY

ARCHITECTURE, RESULT = "architecture", "result"
"""Attributes of a trial. The first has the `candidate` and the `key` of its architecture; the second has all `metrics`
and the `device` of the evaluation. There are only two because each attribute costs a database operation."""

REASON, STOPPED, VOID, LOST = "reason", "stopped", "void", "lost"
"""Attributes of a trial without a result. They store why it failed, that it was stopped with the search, why it does
not count, or the device error after which it is tried again."""

ATTEMPTS = 5
"""Attempts for a candidate whose worker died or whose device failed, before it counts as failed."""


class Standing(NamedTuple):
    """The trials of a study by state.

    Attributes:
        done: Trials with a result.
        failed: Trials that failed in the evaluator, or whose worker died too often.
        running: Trials that are being evaluated.
        waiting: Trials that wait for an owner.
        dead: Trials to try again: the worker died or was stopped, or the device failed, and no other trial of the same
            architecture counts.
        keys: Key of an architecture -> its trial that counts.
    """

    done: list[FrozenTrial]
    failed: list[FrozenTrial]
    running: list[FrozenTrial]
    waiting: list[FrozenTrial]
    dead: list[FrozenTrial]
    keys: dict[str, FrozenTrial]

    @property
    def retried(self) -> FrozenTrial | None:
        """The next trial to try again; a trial that ran out of memory waits until no other trial runs."""
        for trial in self.dead:
            if trial.user_attrs.get(LOST, {}).get("trouble") != MEMORY or not self.running:
                return trial
        return None

    @property
    def counted(self) -> int:
        """The number of trials that count."""
        return len(self.keys) + len(self.dead)


def all_trials(records: Records) -> list[FrozenTrial]:
    """The trials of a study, in order."""
    return patient(records.trials)


def standing(trials: list[FrozenTrial]) -> Standing:
    """The trials of a study by state."""
    return Tally().standing(trials)


class Tally:
    """Counts the trials of a study repeatedly; a finished trial with only finished ones before it is counted once."""

    def __init__(self) -> None:
        self._end = 0
        self._finished = Standing([], [], [], [], [], {})
        self._died: dict[str, list[FrozenTrial]] = {}

    def standing(self, trials: list[FrozenTrial]) -> Standing:
        """The trials by state; `trials` are all trials of the study, in order."""
        unsettled = next((n for n in range(self._end, len(trials)) if not trials[n].state.is_finished()), None)
        end = len(trials) if unsettled is None else unsettled
        _count(trials[self._end : end], self._finished, self._died)
        self._end = end
        base = self._finished
        now = Standing([*base.done], [*base.failed], [], [], [], {**base.keys})
        died = {key: list(attempts) for key, attempts in self._died.items() if key not in now.keys}
        _count(trials[end:], now, died)
        for key, attempts in died.items():
            if key in now.keys:
                continue
            if sum(STOPPED not in trial.user_attrs for trial in attempts) >= ATTEMPTS:
                now.keys[key] = attempts[-1]
                now.failed.append(attempts[-1])
            else:
                now.dead.append(attempts[-1])
        return now


def _count(trials: list[FrozenTrial], now: Standing, died: dict[str, list[FrozenTrial]]) -> None:
    """Adds trials to a standing, and those to try again to `died`."""
    for trial in trials:
        attributes = trial.user_attrs
        key = key_of(trial)
        if key is None or VOID in attributes or key in now.keys:
            continue
        if trial.state is TrialState.FAIL and REASON not in attributes:
            died.setdefault(key, []).append(trial)
            continue
        now.keys[key] = trial
        _list_of(now, trial).append(trial)


def _list_of(now: Standing, trial: FrozenTrial) -> list[FrozenTrial]:
    if trial.state is TrialState.RUNNING:
        return now.running
    if trial.state is TrialState.WAITING:
        return now.waiting
    return now.done if trial.state is TrialState.COMPLETE else now.failed


def key_of(trial: FrozenTrial) -> str | None:
    """The key of the architecture of a trial; None for a trial of another program."""
    key: str | None = _kept(trial, ARCHITECTURE, "key")
    return key


def candidate_of(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """The values of a trial's candidate; None for a trial of another program."""
    candidate: Mapping[str, Any] | None = _kept(trial, ARCHITECTURE, "candidate")
    return candidate


def metrics_of(trial: FrozenTrial) -> Mapping[str, float]:
    """All metrics of a result."""
    metrics: Mapping[str, float] = _kept(trial, RESULT, "metrics") or {}
    return metrics


def device_of(trial: FrozenTrial) -> str:
    """The device of the evaluation of a result; "" if the evaluator computed the cost only."""
    return str(_kept(trial, RESULT, "device") or "")


def _kept(trial: FrozenTrial, attribute: str, part: str) -> Any:
    """A part of an attribute; version 0.1 kept each part in an attribute of its own."""
    whole = trial.user_attrs.get(attribute, trial.user_attrs)
    return whole.get(part) if isinstance(whole, Mapping) else None


def reason_of(trial: FrozenTrial) -> str:
    """Why a trial failed."""
    attributes = trial.user_attrs
    if REASON in attributes:
        return str(attributes[REASON])
    if LOST not in attributes:
        return f"its worker died {ATTEMPTS} times"
    what = "out of memory" if attributes[LOST].get("trouble") == MEMORY else "its device failed"
    return f"{what}, {ATTEMPTS} times: {attributes[LOST].get('error')}"


def is_feasible(trial: FrozenTrial) -> bool:
    """Whether a result meets every constraint."""
    return all(value <= 0 for value in trial.constraints.values())


# --- adding, claiming, ending ---


def add(
    records: Records,
    params: Mapping[str, Any],
    distributions: Mapping[str, BaseDistribution],
    candidate: Mapping[str, Any],
    key: str,
    system: Mapping[str, Any] | None = None,
    known: int = 0,
) -> FrozenTrial | None:
    """Adds a waiting trial; None if another process has added one since `known` trials were read."""
    template = create_trial(
        state=TrialState.WAITING,
        params=dict(params),
        distributions={name: distributions[name] for name in params},
        user_attrs={ARCHITECTURE: {"candidate": dict(candidate), "key": key}},
        system_attrs=dict(system or {}),
    )
    return template if patient(lambda: records.add(template, known)) else None


def add_again(records: Records, dead: FrozenTrial, known: int) -> FrozenTrial | None:
    """Adds a new trial for the candidate of a dead one."""
    notes = {**dead.system_attrs, "retry_of": dead.number}
    candidate, key = candidate_of(dead), key_of(dead)
    assert candidate is not None
    assert key is not None
    return add(records, dead.params, dead.distributions, candidate, key, notes, known)


def claim(records: Records, trial: FrozenTrial) -> bool:
    """Claims a waiting trial. Returns whether this process is now its owner."""
    return patient(lambda: records.claim(trial.number))


def finish(
    records: Records,
    trial: FrozenTrial,
    values: list[float],
    kept: Mapping[str, Any],
    constraints: Mapping[str, float],
) -> bool:
    """Records a result. Returns False if the trial has been marked as failed in the meantime."""
    if patient(lambda: records.end(trial.number, TrialState.COMPLETE, values, kept, constraints)):
        return True
    # If the connection broke after the change, the repeated change has no effect; the state is then COMPLETE.
    return patient(lambda: records.state(trial.number)) is TrialState.COMPLETE


def fail(records: Records, trial: FrozenTrial, kept: Mapping[str, Any], pruned: bool = False) -> None:
    """Records that a trial has failed, was stopped or does not count."""
    state = TrialState.PRUNED if pruned else TrialState.FAIL
    patient(lambda: records.end(trial.number, state, None, kept))


def fail_stale_trials(records: Records) -> None:
    """Marks running trials as failed if their last heartbeat is older than three intervals."""
    patient(records.fail_stale)


class Heartbeat:
    """Records heartbeats of the current trial, in a thread, while the block runs.

    Attributes:
        trial: The current trial; None between two trials.
    """

    def __init__(self, records: Records, seconds: float) -> None:
        self.trial: FrozenTrial | None = None
        self._records = records
        self._seconds = seconds
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Heartbeat:
        self._done.clear()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(self._seconds):
            trial = self.trial
            if trial is None:
                continue
            try:
                patient(lambda number=trial.number: self._records.beat(number), self._seconds)  # type: ignore[misc]
            except Exception:  # the next heartbeat may succeed; without one the trial is tried again
                time.sleep(0.1)
