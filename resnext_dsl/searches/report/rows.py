"""The results of a search as rows for its charts, in the order in which they finished; a missing number is None."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any, NamedTuple

from resnext_dsl.searches.results import Results, Trial
from resnext_dsl.spaces.candidate import Candidate, text_of

COST = "flops"
"""The metric that a single objective is drawn against; if it is the objective itself, params replaces it."""


class Metric(NamedTuple):
    """A metric of the results.

    Attributes:
        key: Its column in the rows: a letter and a number, so that a metric may have any name.
        name: The name of the metric.
        direction: "maximize", "minimize", or "" if the metric is not an objective.
    """

    key: str
    name: str
    direction: str = ""

    @property
    def best(self) -> str:
        """The column of the best value up to a result."""
        return f"best_{self.key}"

    def better(self, one: float, other: float) -> bool:
        """Whether one value is better than another."""
        return one > other if self.direction == "maximize" else one < other


def metrics_of(results: Results) -> list[Metric]:
    """The metrics of a search, the objectives first."""
    directions = dict(zip(results.plan.objectives, results.plan.directions, strict=True))
    names = dict.fromkeys((*directions, *(name for trial in results.trials for name in trial.metrics)))
    return [Metric(f"m{place}", name, directions.get(name, "")) for place, name in enumerate(names)]


def pairs_of(results: Results, metrics: Sequence[Metric]) -> list[tuple[Metric, Metric]]:
    """The pairs of metrics that are drawn against each other; the first one is on the vertical axis."""
    objectives = [metric for metric in metrics if metric.direction]
    if len(objectives) > 1:
        return [(one, other) for place, one in enumerate(objectives) for other in objectives[place + 1 :]]
    against = COST if objectives[0].name != COST else "params"
    cost = next((metric for metric in metrics if metric.name == against), None)
    return [(objectives[0], cost._replace(direction="minimize"))] if cost is not None else []


def rows_of(results: Results, metrics: Sequence[Metric]) -> list[dict[str, Any]]:
    """A row for each result."""
    front = front_numbers(results, metrics)
    best: dict[str, float] = {}
    rows: list[dict[str, Any]] = []
    for place, trial in enumerate(finished(results), 1):
        row: dict[str, Any] = {"trial": trial.number, "flags": flags(results, trial.candidate), "order": place}
        row["front"] = trial.number in front
        for metric in metrics:
            row[metric.key] = shown = number(trial, metric)
            if metric.direction and shown is not None and trial.feasible:
                known = best.get(metric.key)
                best[metric.key] = shown if known is None or metric.better(shown, known) else known
            if metric.key in best:
                row[metric.best] = best[metric.key]
        rows.append(row)
    return rows


def finished(results: Results) -> list[Trial]:
    """The results in the order in which they finished."""
    return sorted(results.trials, key=lambda trial: (str(trial.finished or ""), trial.number))


def number(trial: Trial, metric: Metric) -> float | None:
    """The value of a metric; None if it is missing or not finite."""
    value = trial.metrics.get(metric.name)
    return value if isinstance(value, int | float) and math.isfinite(value) else None


def front_numbers(results: Results, metrics: Sequence[Metric]) -> set[int]:
    """The numbers of the marked trials: the front of several objectives, or the best at each cost for one objective."""
    pairs = pairs_of(results, metrics)
    if len(results.plan.objectives) > 1 or not pairs:
        return {trial.number for trial in results.front}
    ((objective, cost),) = pairs
    kept = [trial for trial in results.trials if trial.feasible]
    known = [(number(trial, cost), number(trial, objective), trial.number) for trial in kept]
    sign = -1 if objective.direction == "maximize" else 1
    ordered = sorted((low, sign * value, name) for low, value, name in known if low is not None and value is not None)
    marked: set[int] = set()
    best: tuple[float, float] | None = None
    for low, value, name in ordered:
        if best is None or value < best[1]:
            best = (low, value)
        if best == (low, value):
            marked.add(name)
    return marked


def flags(results: Results, candidate: Candidate) -> str:
    """The flags that reproduce a candidate; fixed parameters are first."""
    fixed = {name: value for name, value in results.space.fixed.items() if name not in candidate}
    written = [f"{name}={value if isinstance(value, str) else text_of(value)}" for name, value in fixed.items()]
    return " ".join([*(f"--set {shlex.quote(setting)}" for setting in written), str(candidate)]).strip()
