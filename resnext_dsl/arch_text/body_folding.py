"""Folds runs of equal statements into repeats.

block(256, 64, 2); block(256, 64, 1); block(256, 64, 1)   ->   repeat 3 { block(256, 64, first(2, 1)) }
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.step_tree import (
    ActivationStep,
    Body,
    CallStep,
    DeclaredStep,
    FirstAndLater,
    OperatorStep,
    RepeatStep,
    ResidualStep,
    SplitStep,
    Step,
    UseStep,
    changed_inside,
    here_of,
    names_of,
)

LONGEST_PERIOD = 6
"""The most statements that a pass of a repeat is searched with."""

MOST_TURNS = 1
"""The most arguments that may differ between the first pass and the others; channels may not."""


def folded(steps: Sequence[Step]) -> Body:
    """The steps with runs of equal ones as repeats, at every level; a run of plain operators has three passes."""
    steps = [changed_inside(step, folded) for step in steps]
    result: list[Step] = []
    bare = [_bare(step) for step in steps]
    place = 0
    while place < len(steps):
        best: tuple[int, int] | None = None
        for period in range(1, min(LONGEST_PERIOD, (len(steps) - place) // 2) + 1):
            count = _passes(bare, steps, place, period)
            enough = 2 if _has_block(steps[place : place + period]) else 3
            if count >= enough and (best is None or count * period > best[0] * best[1]):
                best = count, period
        if best is None:
            result.append(steps[place])
            place += 1
            continue
        count, period = best
        result.append(_repeat(bare, steps, place, count, period))
        place += count * period
    return tuple(result)


def _has_block(steps: Sequence[Step]) -> bool:
    return any(
        isinstance(step, ResidualStep | SplitStep) or (isinstance(step, CallStep) and isinstance(step.template, int))
        for step in steps
    )


def _bare(step: Step) -> Step:
    """The step without the channels of its running value and the names of its results."""
    step = changed_inside(step, lambda body: tuple([_bare(one) for one in body]))
    if isinstance(step, OperatorStep):
        return OperatorStep(step.operator, step.arguments, step.others)
    if isinstance(step, CallStep):
        return CallStep(step.template, step.arguments, step.others)
    if isinstance(step, ActivationStep):
        return ActivationStep(step.operator)
    if isinstance(step, UseStep):
        return UseStep(step.values)
    return step if isinstance(step, DeclaredStep) else step._replace(names=(), here=0)


def _passes(bare: Sequence[Step], steps: Sequence[Step], start: int, period: int) -> int:
    """The number of equal passes from a place on; of the first pass, `MOST_TURNS` arguments may differ."""
    if any(isinstance(step, UseStep) for step in bare[start : start + period]):
        return 1
    second = start + period
    if start + 2 * period > len(steps) or _named(steps[start:second]):
        return 1
    different = 0
    for one, two in zip(bare[start:second], bare[second : second + period], strict=True):
        if one != two:
            changed = _turned(one, two)
            if changed is None:
                return 1
            different += changed[1]
    if different > MOST_TURNS:
        return 1
    count = 2
    while True:
        ended = start + count * period
        last = steps[ended - period : ended]
        if (
            _named(last)
            or ended + period > len(steps)
            or bare[second : second + period] != bare[ended : ended + period]
        ):
            break
        count += 1
    if _named(steps[start + (count - 1) * period : start + count * period - 1]):
        count -= 1
    return count if count > 1 else 1


def _named(steps: Sequence[Step]) -> bool:
    return any(names_of(step) for step in steps)


def _turned(one: Any, two: Any) -> tuple[Step, int] | None:
    """A step whose arguments change after the first pass, and how many do; None if more than arguments differ."""
    if not (isinstance(one, CallStep) and isinstance(two, CallStep)):
        return None
    if (one.template, one.others) != (two.template, two.others):
        return None
    pairs = list(zip(one.arguments, two.arguments, strict=True))
    changes = sum(MOST_TURNS + 1 if type(first) is int else 1 for first, later in pairs if first != later)
    if any(isinstance(value, FirstAndLater) for pair in pairs for value in pair):
        return None
    arguments = tuple([first if first == later else FirstAndLater(first, later) for first, later in pairs])
    return one._replace(arguments=arguments), changes


def _repeat(bare: Sequence[Step], steps: Sequence[Step], start: int, count: int, period: int) -> Step:
    body: list[Any] = []
    for offset in range(period):
        first, second = bare[start + offset], bare[start + period + offset]
        step = first
        if first != second:
            turned = _turned(first, second)
            assert turned is not None
            step = turned[0]
        places = {here_of(steps[start + turn * period + offset]) for turn in range(count)}
        if not isinstance(step, DeclaredStep | UseStep) and len(places) == 1:
            step = step._replace(here=places.pop())
        body.append(step)
    last = steps[start + count * period - 1]
    return RepeatStep(count, tuple(body), names_of(last), here_of(steps[start]))
