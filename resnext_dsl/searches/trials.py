"""The trials of a study as a search counts them: which are alive, which died and are to be tried again.

A trial has its candidate, the key of its architecture and, where it is running, a sign of life from the beginning;
so it is known for what it is wherever its process was killed. Of trials with one key the first is alive, so that no
architecture is evaluated twice. Nothing here changes a trial that is finished.
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
"""What a trial keeps, each in one attribute, since each costs a step of the database: its `candidate`, and the `key`
that tells its architecture from others; all `metrics`, and the `device` that it was evaluated on."""

REASON, STOPPED, VOID, LOST = "reason", "stopped", "void", "lost"
"""And why it failed; that it was stopped with the search; why it is not one; the trouble of its device, and the error
of that, for which it is tried again."""

ATTEMPTS = 5
"""Times that a candidate whose worker died, or whose device failed, is tried, before it counts as failed."""


class Standing(NamedTuple):
    """Where a study stands.

    Attributes:
        done: Trials with a result.
        failed: Trials that an evaluator failed, or whose worker died too often.
        running: Being evaluated.
        waiting: To be evaluated, those that died and are to be tried again not among them.
        dead: Trials whose worker died or was stopped, or whose device failed, and of whose architecture nothing else is
            alive.
        keys: Architecture -> the trial of it that counts.
    """

    done: list[FrozenTrial]
    failed: list[FrozenTrial]
    running: list[FrozenTrial]
    waiting: list[FrozenTrial]
    dead: list[FrozenTrial]
    keys: dict[str, FrozenTrial]

    @property
    def retried(self) -> FrozenTrial | None:
        """The trial to be tried again next; one that was out of memory waits until no other needs any."""
        for trial in self.dead:
            if trial.user_attrs.get(LOST, {}).get("trouble") != MEMORY or not self.running:
                return trial
        return None

    @property
    def counted(self) -> int:
        """Trials that count."""
        return len(self.keys) + len(self.dead)


def all_trials(records: Records) -> list[FrozenTrial]:
    """The trials of a study, in order."""
    return patient(records.trials)


def standing(trials: list[FrozenTrial]) -> Standing:
    """Counts trials."""
    return Tally().standing(trials)


class Tally:
    """Counts the trials of a study again and again: those that are finished, with all before them, only once."""

    def __init__(self) -> None:
        self._settled = 0
        self._found = Standing([], [], [], [], [], {})
        self._died: dict[str, list[FrozenTrial]] = {}

    def standing(self, trials: list[FrozenTrial]) -> Standing:
        """Where a study stands; `trials` are all of it, in order."""
        unsettled = next((n for n in range(self._settled, len(trials)) if not trials[n].state.is_finished()), None)
        end = len(trials) if unsettled is None else unsettled
        _count(trials[self._settled : end], self._found, self._died)
        self._settled = end
        base = self._found
        found = Standing([*base.done], [*base.failed], [], [], [], {**base.keys})
        died = {key: list(attempts) for key, attempts in self._died.items() if key not in found.keys}
        _count(trials[end:], found, died)
        for key, attempts in died.items():
            if key in found.keys:
                continue
            if sum(STOPPED not in trial.user_attrs for trial in attempts) >= ATTEMPTS:
                found.keys[key] = attempts[-1]
                found.failed.append(attempts[-1])
            else:
                found.dead.append(attempts[-1])
        return found


def _count(trials: list[FrozenTrial], found: Standing, died: dict[str, list[FrozenTrial]]) -> None:
    """Adds trials to what was found before them; those whose worker died are kept apart."""
    for trial in trials:
        attributes = trial.user_attrs
        key = key_of(trial)
        if key is None or VOID in attributes or key in found.keys:
            continue
        if trial.state is TrialState.FAIL and REASON not in attributes:
            died.setdefault(key, []).append(trial)
            continue
        found.keys[key] = trial
        _list_of(found, trial).append(trial)


def _list_of(found: Standing, trial: FrozenTrial) -> list[FrozenTrial]:
    if trial.state is TrialState.RUNNING:
        return found.running
    if trial.state is TrialState.WAITING:
        return found.waiting
    return found.done if trial.state is TrialState.COMPLETE else found.failed


def key_of(trial: FrozenTrial) -> str | None:
    """What tells the architecture of a trial from others; None for a trial of another program."""
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
    """The device that gave a result; "" if there was nothing to run."""
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
    """Whether a result keeps every constraint."""
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
    """Adds a trial, which waits; None if others have added some since `known` trials were read."""
    template = create_trial(
        state=TrialState.WAITING,
        params=dict(params),
        distributions={name: distributions[name] for name in params},
        user_attrs={ARCHITECTURE: {"candidate": dict(candidate), "key": key}},
        system_attrs=dict(system or {}),
    )
    return template if patient(lambda: records.add(template, known)) else None


def add_again(records: Records, dead: FrozenTrial, known: int) -> FrozenTrial | None:
    """Adds a trial that died, once more."""
    notes = {**dead.system_attrs, "retry_of": dead.number}
    candidate, key = candidate_of(dead), key_of(dead)
    assert candidate is not None
    assert key is not None
    return add(records, dead.params, dead.distributions, candidate, key, notes, known)


def claim(records: Records, trial: FrozenTrial) -> bool:
    """Whether a waiting trial is now ours and running."""
    return patient(lambda: records.claim(trial.number))


def finish(
    records: Records,
    trial: FrozenTrial,
    values: list[float],
    kept: Mapping[str, Any],
    constraints: Mapping[str, float],
) -> bool:
    """Records a result; False where the trial was taken for dead meanwhile."""
    if patient(lambda: records.end(trial.number, TrialState.COMPLETE, values, kept, constraints)):
        return True
    # A step that the database has done before it went away is tried again, and found done.
    return patient(lambda: records.state(trial.number)) is TrialState.COMPLETE


def fail(records: Records, trial: FrozenTrial, kept: Mapping[str, Any], pruned: bool = False) -> None:
    """Records that a trial has failed, was stopped or is none."""
    state = TrialState.PRUNED if pruned else TrialState.FAIL
    patient(lambda: records.end(trial.number, state, None, kept))


def bury(records: Records) -> None:
    """Marks running trials as failed if their last sign of life is too old."""
    patient(records.fail_stale)


class Pulse:
    """Gives signs of life for the trial that is being evaluated, while the block runs.

    Attributes:
        trial: That trial; None between two.
    """

    def __init__(self, records: Records, seconds: float) -> None:
        self.trial: FrozenTrial | None = None
        self._records = records
        self._seconds = seconds
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Pulse:
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
            except Exception:  # the next sign may come through; without one the trial is tried again
                time.sleep(0.1)
