"""The empirical distribution of error: F(e) is the share of networks with an error below e.

Source: Radosavovic et al., On Network Design Spaces for Visual Recognition, ICCV 2019, equation 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from resnext_dsl.searches.propose import params_of
from resnext_dsl.searches.results import Results, Trial
from resnext_dsl.spaces.candidate import text_of

ACCURACY, ERROR = "accuracy", "error"
"""The metrics from which the error is computed."""

ALL = "all networks"

MOST = 6
"""Most values of a parameter that get a line each."""


class Step(NamedTuple):
    """The share of networks that are better than a value, for values from this one up to the next step."""

    value: float
    share: float


class Distribution(NamedTuple):
    """The empirical distribution of a metric over networks.

    Attributes:
        name: "error", or the name of a metric.
        large: Whether large values are better; the share then counts the networks above a value.
        parameter: The parameter whose values get a line each, or "".
        steps: Name of a group of networks -> its steps; `ALL` is the first.
    """

    name: str
    large: bool
    parameter: str
    steps: dict[str, list[Step]]


def distribution_of(results: Results) -> Distribution | None:
    """The distribution of error of a search; None without a result."""
    name, large, values = _measured(results)
    known = [(trial, value) for trial, value in zip(results.trials, values, strict=True) if math.isfinite(value)]
    if not known:
        return None
    steps = {ALL: steps_of([value for _, value in known], large)}
    groups: dict[str, list[float]] = {}
    parameter = _parameter(results)
    if parameter:
        for trial, value in known:
            groups.setdefault(_choice(results, trial, parameter), []).append(value)
    if len(groups) > 1:
        steps |= {f"{parameter} = {choice}": steps_of(groups[choice], large) for choice in sorted(groups)}
    return Distribution(name, large, parameter if len(groups) > 1 else "", steps)


def steps_of(values: Iterable[float], large: bool) -> list[Step]:
    """The steps of the share of values below a value, or above it if `large`; the first step is before all values."""
    ordered = sorted(values)
    steps = [Step(ordered[0], 1.0 if large else 0.0)]
    below = 0
    for value, same in groupby(ordered):
        below += len(list(same))
        steps.append(Step(value, (len(ordered) - below if large else below) / len(ordered)))
    return steps


def _measured(results: Results) -> tuple[str, bool, Sequence[float]]:
    """The name of the distributed metric, whether large values are better, and its value for each result."""
    accuracies = [_number(trial.metrics.get(ACCURACY)) for trial in results.trials]
    if results.trials and all(0 <= value <= 1 or math.isnan(value) for value in accuracies) and _any(accuracies):
        return ERROR, False, [1 - value for value in accuracies]
    errors = [_number(trial.metrics.get(ERROR)) for trial in results.trials]
    if _any(errors):
        return ERROR, False, errors
    objective, direction = results.plan.objectives[0], results.plan.directions[0]
    return objective, direction == "maximize", [trial.values[0] for trial in results.trials]


def _any(values: Sequence[float]) -> bool:
    return any(map(math.isfinite, values))


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _parameter(results: Results) -> str:
    """The first parameter with a set of few values; "" if there is none."""
    few = (
        dimension
        for dimension in results.space.dimensions
        if not dimension.ordered and 1 < (dimension.size or 0) <= MOST
    )
    return next((dimension.name for dimension in few), "")


def _choice(results: Results, trial: Trial, parameter: str) -> str:
    value = params_of(results.space, trial.candidate).get(parameter, "not there")
    return text_of(value) if isinstance(value, bool) else str(value)
