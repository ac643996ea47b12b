"""Results of searches that were never run: the report looks at results only."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from resnext_dsl.searches import Failure, Found, Plan, Trial
from resnext_dsl.spaces.candidate import Candidate

WIDE = """network wide {
    input image: 3x8x8
    param width = 8 in 4..2000
    param deep  = false in {false, true}
    param more  = 1 in 1..4 when deep
    param act   = relu in {relu, silu}
    stem { conv(width, 3x3); act }
    stage a { conv(8, 1x1); if deep { repeat more { conv(8, 1x1) } } }
    head { avgpool(global); flatten; linear(10) }
}
"""
"""Thousands of architectures, one parameter of which is there sometimes."""

BEGAN = datetime.datetime(2026, 1, 1, 12, 0, 0)

Metrics = Callable[[Candidate, int], Mapping[str, Any]]


def accuracy(candidate: Candidate, number: int) -> dict[str, float]:
    """Grows with the width, and differs a little from trial to trial."""
    return {"accuracy": round(0.5 + candidate["width"] / 5000 + (number * 7919 % 97) / 1000, 6)}


def made(
    folder: Path,
    count: int,
    metrics: Metrics = accuracy,
    maximize: tuple[str, ...] = ("accuracy",),
    minimize: tuple[str, ...] = ("flops",),
    failures: tuple[str, ...] = (),
    text: str = WIDE,
    **more: Any,
) -> Found:
    """What a search would have found; the trials are finished in another order than they are numbered in."""
    spec = folder / "wide.arch"
    spec.write_text(text)
    plan = Plan(
        str(spec), {}, None, maximize, minimize, (), count, 1, "", "", "random", "mine:evaluate", 0, 0, "", 20
    )._replace(**more)
    space = plan.space()
    drawn = space.sample(count + len(failures), 0)
    costs = drawn.costs
    trials = []
    for number, candidate in enumerate(drawn[:count]):
        found = {
            "params": int(costs["params"][number]),
            "flops": int(costs["flops"][number]),
            **metrics(candidate, number),
        }
        values = tuple(float(found[name]) for name in plan.objectives)
        ended = BEGAN + datetime.timedelta(seconds=number ^ 1)
        trials.append(Trial(number, candidate, found, values, 0.5, finished=ended))
    failed = [Failure(count + place, drawn[count + place], reason) for place, reason in enumerate(failures)]
    sign = -1 if maximize else 1
    front = sorted(best(plan, trials), key=lambda trial: sign * trial.values[0])
    return Found(plan, space, front, trials, failed, [], False, False)


def best(plan: Plan, trials: list[Trial]) -> list[Trial]:
    """The front, by comparing each with each."""
    signs = [-1 if direction == "maximize" else 1 for direction in plan.directions]
    rows = [[sign * value for sign, value in zip(signs, trial.values, strict=True)] for trial in trials]
    return [
        trial
        for trial, row in zip(trials, rows, strict=True)
        if not any(other != row and all(a <= b for a, b in zip(other, row, strict=True)) for other in rows)
    ]
