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
    """A result: the candidate, its metrics, whether it meets every constraint, and the device of the evaluation.

    The device has its index on the machine, even if the worker saw only some GPUs; "" if only the cost was computed.
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
    """A candidate without a result, and the reason."""

    number: int
    candidate: Candidate
    reason: str


class Results(NamedTuple):
    """The results of a search.

    Attributes:
        front: The Pareto front: results that meet every constraint and that no other such result dominates. The best
            of the first objective is first.
        trials: All results, by trial number.
        failures: Candidates without a result.
        stages: The stages before the first evaluation, with their numbers of candidates.
        stopped: Whether the search was stopped early; the same call continues it.
        exhausted: Whether the space has no more candidates.
        running: Number of candidates that were being evaluated when the results were read.
        waiting: Number of candidates to evaluate or to try again.
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
        """The number of results of each device, by its name on its machine."""
        return dict(Counter(trial.device for trial in self.trials if trial.device))
