"""What a search has found: results, the front of them, and candidates without one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.propose import front_of
from resnext_dsl.searches.stages import Stage
from resnext_dsl.searches.trials import Standing, candidate_of, device_of, is_feasible, metrics_of, reason_of
from resnext_dsl.spaces import Candidate, Space


class Trial(NamedTuple):
    """A result: the candidate, its metrics, whether it keeps every constraint, and the device that it was evaluated on.

    A device is named as its machine names it, whatever a worker saw of it; "" where nothing but cost was looked at.
    """

    number: int
    candidate: Candidate
    metrics: Mapping[str, float]
    values: tuple[float, ...]
    seconds: float
    feasible: bool = True
    finished: datetime | None = None
    device: str = ""


class Failure(NamedTuple):
    """A candidate without a result, and why."""

    number: int
    candidate: Candidate
    reason: str


class Found(NamedTuple):
    """What a search has found.

    Attributes:
        front: Results that keep every constraint and than which no other such is better in everything, the first
            objective's best first.
        trials: All results, in the order they were asked for.
        failures: Candidates without one.
        stages: What came in and went on before.
        stopped: Whether it was stopped before it was done; the same call goes on.
        exhausted: Whether the space has no more candidates.
        running: Candidates that were being evaluated when this was read.
        waiting: Those to be evaluated, or to be tried again.
    """

    plan: Plan
    space: Space
    front: list[Trial]
    trials: list[Trial]
    failures: list[Failure]
    stages: list[Stage]
    stopped: bool
    exhausted: bool
    running: int = 0
    waiting: int = 0

    @property
    def devices(self) -> dict[str, int]:
        """How many results each device gave, as their machines name them."""
        return dict(Counter(trial.device for trial in self.trials if trial.device))

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Writes all of it as one HTML file, which needs nothing else to be read.

        Raises:
            ArchError: E721 where what draws the charts is not installed.
            OSError: Where the file cannot be written.
        """
        from resnext_dsl.searches.report.document import write

        return write(self, path)


def found(space: Space, plan: Plan, now: Standing, stages: list[Stage], stopped: bool = False) -> Found:
    """The results of a study."""
    results = {trial.number: _result(space, trial) for trial in sorted(now.done, key=lambda trial: trial.number)}
    signs = [-1 if direction == "maximize" else 1 for direction in plan.directions]
    front = [results[trial.number] for trial in front_of(now.done, plan.directions)]
    front.sort(key=lambda one: tuple(sign * value for sign, value in zip(signs, one.values, strict=True)))
    failures = [
        Failure(trial.number, space.candidate(candidate_of(trial) or {}), reason_of(trial))
        for trial in sorted(now.failed, key=lambda trial: trial.number)
    ]
    count = len(now.done) + len(now.failed)
    exhausted = not stopped and count < plan.trials
    alive = len(now.running), len(now.waiting) + len(now.dead)
    return Found(plan, space, front, list(results.values()), failures, stages, stopped, exhausted, *alive)


def _result(space: Space, trial: Any) -> Trial:
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    candidate = space.candidate(candidate_of(trial) or {})
    values, feasible = tuple(trial.values), is_feasible(trial)
    finished, device = trial.datetime_complete, device_of(trial)
    return Trial(trial.number, candidate, metrics_of(trial), values, seconds, feasible, finished, device)
