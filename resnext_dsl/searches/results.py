"""The results of a search: evaluated candidates, the Pareto front, failed candidates."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import Stage
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space


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


class Results(NamedTuple):
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
