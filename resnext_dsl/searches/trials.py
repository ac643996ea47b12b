"""Counts the trials of a study by state: with a result, failed, running, waiting, or to be tried again.

From its creation a trial has its candidate and the key of its architecture. So its state is known whenever its process
is killed. If several trials have the same key, only the first counts, so no
architecture is evaluated twice. No function of this module changes a finished trial.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from resnext_dsl.searches.database import Records
from resnext_dsl.searches.patience import answers_again, patient
from resnext_dsl.searches.trouble import MEMORY

ARCHITECTURE, RESULT = "architecture", "result"
"""Attributes of a trial. Each costs a database operation.

The first has the `candidate`, the `key` of its architecture, its `cost`, the usual `device` of its evaluation, and the
`worker` that added it. The second has all `metrics` and the `device` of the evaluation; it is left out if the first and
the values of the objectives say the same.
"""

OWNER = "owner"
"""Attribute of a trial that another worker has added: the worker that evaluates it."""

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


def running_numbers(trials: Iterable[FrozenTrial]) -> list[int]:
    """The numbers of the running trials of searches, of those too that do not count.

    A worker that is killed between the addition of a trial and the mark that it does not count leaves such a trial.
    """
    return [trial.number for trial in trials if trial.state is TrialState.RUNNING and known_key(trial) is not None]


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
        key = known_key(trial)
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


class Snapshot:
    """The trials of a study as this process knows them.

    If every trial has ended and this process alone adds trials, it knows all of them without the database. Another
    process that adds a trial is noticed when this process adds its next one.

    Attributes:
        trials: The trials of the study, in order.
    """

    def __init__(self, records: Records) -> None:
        self.trials: list[FrozenTrial] = []
        self._records = records
        self._is_complete = False

    def read(self) -> list[FrozenTrial]:
        """The trials, from the database if another process may have changed one."""
        if not self._is_complete:
            self.trials = all_trials(self._records)
            self._is_complete = all(trial.state.is_finished() for trial in self.trials)
        return self.trials

    def outdate(self) -> None:
        """Lets the next call of `read` use the database."""
        self._is_complete = False

    def append(self, trial: FrozenTrial) -> None:
        """Adds a trial that this process has added and ended."""
        if trial.number == len(self.trials) and self._is_complete:
            self.trials = [*self.trials, trial]
        else:
            self._is_complete = False


def known_key(trial: FrozenTrial) -> str | None:
    """The key of the architecture of a trial; None for a trial of another program."""
    key: str | None = _kept(trial, ARCHITECTURE, "key")
    return key


def owner_of(trial: FrozenTrial) -> str:
    """The worker that evaluates a trial; "" if it is not known."""
    return str(trial.user_attrs.get(OWNER) or _kept(trial, ARCHITECTURE, "worker") or "")


def candidate_of(trial: FrozenTrial) -> Mapping[str, Any] | None:
    """The values of a trial's candidate; None for a trial of another program."""
    candidate: Mapping[str, Any] | None = _kept(trial, ARCHITECTURE, "candidate")
    return candidate


def metrics_of(trial: FrozenTrial, objectives: Sequence[str] = ()) -> Mapping[str, float]:
    """All metrics of a result; `objectives` are the names of its values."""
    metrics: Mapping[str, float] | None = _kept(trial, RESULT, "metrics")
    if metrics is not None:
        return metrics
    return known_metrics(objectives, trial.values, _kept(trial, ARCHITECTURE, "cost") or {})


def known_metrics(
    objectives: Sequence[str], values: Sequence[float] | None, cost: Mapping[str, float]
) -> dict[str, float]:
    """The metrics that the values of the objectives and the cost give."""
    return {**dict(zip(objectives, values or (), strict=False)), **cost}


def device_of(trial: FrozenTrial) -> str:
    """The device of the evaluation of a result; "" if the evaluator computed the cost only."""
    attribute = RESULT if RESULT in trial.user_attrs else ARCHITECTURE
    return str(_kept(trial, attribute, "device") or "")


def result_of(
    trial: FrozenTrial, objectives: Sequence[str], values: Sequence[float], metrics: Mapping[str, float], device: str
) -> dict[str, Any]:
    """The attributes to store with a result: none if they follow from those of the trial and its values."""
    cost = _kept(trial, ARCHITECTURE, "cost")
    known = cost is not None and metrics == known_metrics(objectives, values, cost)
    return {} if known and device == device_of(trial) else {RESULT: {"metrics": metrics, "device": device}}


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


class Proposed(NamedTuple):
    """A trial to add.

    Attributes:
        params: Its parameters.
        distributions: Their distributions.
        architecture: The candidate, its key, its cost and the usual device.
        notes: The attributes that the sampler stores.
    """

    params: Mapping[str, Any]
    distributions: Mapping[str, BaseDistribution]
    architecture: Mapping[str, Any]
    notes: Mapping[str, Any] = MappingProxyType({})

    @property
    def key(self) -> str:
        """The key of its architecture."""
        return str(self.architecture["key"])

    def trial(self, state: TrialState, worker: str) -> FrozenTrial:
        """The trial in a state, without a number."""
        architecture = {**self.architecture, **({"worker": worker} if worker else {})}
        return create_trial(
            state=state,
            params=dict(self.params),
            distributions={name: self.distributions[name] for name in self.params},
            user_attrs={ARCHITECTURE: architecture},
            system_attrs=dict(self.notes),
        )


def add_waiting(records: Records, proposed: Proposed) -> None:
    """Adds a trial for any worker."""
    template = proposed.trial(TrialState.WAITING, "")
    patient(lambda: records.add(template, 0))


def add_running(records: Records, proposed: Proposed, known: int, worker: str) -> FrozenTrial | None:
    """Adds a trial that its worker evaluates at once; None if another process has added one since `known` were read."""
    template = proposed.trial(TrialState.RUNNING, worker)
    return template if patient(lambda: records.add(template, known)) else None


def again(dead: FrozenTrial) -> Proposed:
    """A new trial for the candidate of a dead one."""
    parts = {part: _kept(dead, ARCHITECTURE, part) for part in ("candidate", "key", "cost", "device")}
    architecture = {part: value for part, value in parts.items() if value is not None}
    return Proposed(dead.params, dead.distributions, architecture, {**dead.system_attrs, "retry_of": dead.number})


def claim(records: Records, trial: FrozenTrial, worker: str) -> bool:
    """Claims a waiting trial. Returns whether this process is now its owner."""
    if not patient(lambda: records.claim(trial.number)):
        return False
    patient(lambda: records.note(trial.number, OWNER, worker))
    return True


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


def finished(trial: FrozenTrial, values: list[float], kept: Mapping[str, Any]) -> FrozenTrial:
    """A result as the database gives it, for this process."""
    ended = create_trial(
        state=TrialState.COMPLETE,
        values=values,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs={**trial.user_attrs, **kept},
        system_attrs=trial.system_attrs,
    )
    ended.number = trial.number
    return ended


def fail(records: Records, trial: FrozenTrial, kept: Mapping[str, Any], pruned: bool = False) -> None:
    """Records that a trial has failed, was stopped or does not count."""
    state = TrialState.PRUNED if pruned else TrialState.FAIL
    patient(lambda: records.end(trial.number, state, None, kept))


class StaleCheck:
    """Marks running trials as failed if their workers have died."""

    def __init__(self, records: Records, heartbeat: float, grace: float) -> None:
        self._records = records
        self._heartbeat = heartbeat
        self._grace = grace
        self._checked_at = time.monotonic()
        self._since: dict[int, float] = {}
        self._beaten: set[int] = set()

    def is_due(self) -> bool:
        """Whether a heartbeat interval has passed since the last check."""
        return time.monotonic() - self._checked_at > self._heartbeat

    def check(self, running: Iterable[int]) -> None:
        """Fails the trials whose last heartbeat is older than the grace period.

        A trial gets its first heartbeat after one interval. If a trial still runs after a grace period, this process
        records a heartbeat for it once. So a trial whose worker died in its first interval becomes stale too.

        Args:
            running: The numbers of the running trials.
        """
        self._checked_at = now = time.monotonic()
        self._since = {number: self._since.get(number, now) for number in running}
        if answers_again(2 * self._heartbeat):  # after an outage, workers record their heartbeats first
            return
        patient(self._records.fail_stale)
        for number, since in self._since.items():
            if now - since > self._grace and number not in self._beaten:
                patient(partial(self._records.beat, number))
                self._beaten.add(number)


LEAVING = 1.0
"""Seconds to wait for the thread of the heartbeats at the end."""


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
        self._thread.join(LEAVING)  # it may wait for a database that does not answer

    def _run(self) -> None:
        while not self._done.wait(self._seconds):
            trial = self.trial
            if trial is None:
                continue
            try:
                patient(lambda number=trial.number: self._records.beat(number), self._seconds)  # type: ignore[misc]
            except Exception:  # the next heartbeat may succeed; without one the trial is tried again
                time.sleep(0.1)
