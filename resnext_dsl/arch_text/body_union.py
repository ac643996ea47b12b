"""Joins bodies of one label that differ in some statements: what only some rows have becomes an `if`.

    conv(64); bn; relu; conv(16)   and   conv(16)      ->    if {true, false} { conv(64); bn; relu }; conv(16)

A body without a residual and one with it join to a residual that some rows skip.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_solver import ABSENT
from resnext_dsl.arch_text.skeletons import ParameterNames, mapped
from resnext_dsl.arch_text.step_tree import (
    ActivationStep,
    ArgumentColumn,
    Body,
    CallStep,
    FirstAndLater,
    OperatorStep,
    OptionalStep,
    RepeatStep,
    ResidualStep,
    SplitStep,
    Step,
    UseStep,
)

FEWEST_SHARED = 0.5
"""Two bodies are joined if this share of the statements of the longer one is in both."""

MOST_OPTIONAL = 3
"""A joined body has at most this number of optional parts at one level."""


class _DifferentError(Exception):
    """Two bodies have too little in common."""


Flagged = tuple[Step, tuple[bool, ...]]
"""A step, and for each row whether it has the step."""


class BodyUnion:
    """Joins two bodies whose arguments are columns.

    Attributes:
        left, right: The numbers of their rows.
    """

    def __init__(self, left: int, right: int, names: ParameterNames) -> None:
        self.left = left
        self.right = right
        self._names = names
        self._numbers: dict[int, int] = {}
        self._next = 0

    def joined(self, one: Body, other: Body, skips: Sequence[bool]) -> Body | None:
        """The joined body; None if the two have too little in common.

        Args:
            one: A body with columns of `left` rows.
            other: A body with columns of `right` rows.
            skips: For each row of both, whether its result has another shape than its input.
        """
        self._next = 1 + max([number for step in _top(one) for number in getattr(step, "names", ())], default=-1)
        has_one, has_other = _has_residual(one), _has_residual(other)
        try:
            if has_one and not has_other:
                other = _wrapped(other, one, self.right, skips[self.left :])
            elif has_other and not has_one:
                one = _wrapped(one, other, self.left, skips[: self.left])
            return self._body(one, other)
        except _DifferentError:
            return None

    def _body(self, one: Body, other: Body) -> Body:
        lefts = _flagged(one, self.left)
        rights = _flagged(other, self.right)
        pairs = _aligned(lefts, rights)
        shared = sum(a is not None and b is not None for a, b in pairs)
        if shared < FEWEST_SHARED * max(len(lefts), len(rights)):
            raise _DifferentError
        result: list[Flagged] = []
        for a, b in pairs:
            if a is not None and b is not None:
                result.append((self._step(lefts[a][0], rights[b][0]), lefts[a][1] + rights[b][1]))
            elif a is not None:
                step, flags = lefts[a]
                result.append((self._padded(step, self.right, True), flags + (False,) * self.right))
            elif b is not None:
                step, flags = rights[b]
                result.append((self._padded(self._renumbered(step), self.left, False), (False,) * self.left + flags))
        return _with_flags(result)

    def _shortcut(self, one: Body, other: Body) -> Body:
        """The joined bodies of two shortcuts, which need have nothing in common."""
        lefts, rights = _flagged(one, self.left), _flagged(other, self.right)
        result: list[Flagged] = []
        for a, b in _aligned(lefts, rights):
            if a is not None and b is not None:
                result.append((self._step(lefts[a][0], rights[b][0]), lefts[a][1] + rights[b][1]))
            elif a is not None:
                result.append((self._padded(lefts[a][0], self.right, True), lefts[a][1] + (False,) * self.right))
            elif b is not None:
                flags = (False,) * self.left + rights[b][1]
                result.append((self._padded(self._renumbered(rights[b][0]), self.left, False), flags))
        return _with_flags(result)

    def _renumbered(self, step: Any) -> Any:
        """A step of the other body with the numbers of named values in the joined body."""

        def number(value: int) -> int:
            if value < 0:
                return value
            if value not in self._numbers:
                self._numbers[value] = self._next
                self._next += 1
            return self._numbers[value]

        changed: dict[str, Any] = {}
        for field in ("others", "values", "names"):
            values = getattr(step, field, ())
            if values:
                changed[field] = tuple([number(value) for value in values])
        return step._replace(**changed) if changed else step

    def _step(self, one: Any, other: Any) -> Step:
        if getattr(one, "names", ()) and len(getattr(other, "names", ())) == len(one.names):
            self._numbers.update(zip(other.names, one.names, strict=True))
        other = self._renumbered(other)
        names = one.names or other.names
        if isinstance(one, UseStep):
            if one.values != other.values:
                raise _DifferentError
            return one._replace(names=names)
        here = _both(one.here, other.here, self.left, self.right)
        if isinstance(one, ActivationStep):
            return ActivationStep(self._argument(one.operator, other.operator), names, here)
        if isinstance(one, OperatorStep | CallStep):
            if one.others != other.others or len(one.arguments) != len(other.arguments):
                raise _DifferentError
            arguments = tuple([self._argument(a, b) for a, b in zip(one.arguments, other.arguments, strict=True)])
            return one._replace(arguments=arguments, names=names, here=here)
        if isinstance(one, ResidualStep):
            if (one.shortcut is None) != (other.shortcut is None):
                raise _DifferentError
            shortcut = None if one.shortcut is None else self._shortcut(one.shortcut, other.shortcut)
            body = self._body(one.body, other.body)
            return ResidualStep(self._argument(one.kind, other.kind), body, shortcut, names, here)
        if isinstance(one, RepeatStep):
            return RepeatStep(self._argument(one.count, other.count), self._body(one.body, other.body), names, here)
        if isinstance(one, SplitStep):
            paths = tuple([self._body(a, b) for a, b in zip(one.paths, other.paths, strict=True)])
            count = self._argument(one.count, other.count) if one.count else 0
            sliced = None if one.sliced is None else self._argument(one.sliced, other.sliced)
            return SplitStep(count, sliced, paths, one.merge, names, here)
        raise _DifferentError

    def _argument(self, one: Any, other: Any) -> Any:
        if (type(one) is FirstAndLater) != (type(other) is FirstAndLater):
            raise _DifferentError
        if type(one) is FirstAndLater:
            return FirstAndLater(self._argument(one.first, other.first), self._argument(one.later, other.later))
        return _both(one, other, self.left, self.right)

    def _padded(self, step: Step, rows: int, behind: bool) -> Step:
        """A step of one body with `ABSENT` for the rows of the other one."""
        rows_before = self.left if behind else self.right

        def change(kind: str, value: Any, at: Any) -> Any:
            values = value.values if isinstance(value, ArgumentColumn) else (value,) * rows_before
            absent = (ABSENT,) * rows
            return ArgumentColumn(values + absent if behind else absent + values)

        def here(value: Any) -> Any:
            values = value.values if isinstance(value, ArgumentColumn) else (value,) * rows_before
            return ArgumentColumn(values + (0,) * rows if behind else (0,) * rows + values)

        (padded,) = mapped((step,), change, here, self._names)
        return padded


def _both(one: Any, other: Any, left: int, right: int) -> ArgumentColumn:
    first = one.values if isinstance(one, ArgumentColumn) else (one,) * left
    second = other.values if isinstance(other, ArgumentColumn) else (other,) * right
    return ArgumentColumn(first + second)


def _top(body: Body) -> list[Step]:
    """The steps of a body, those of optional parts included."""
    return [one for step in body for one in (step.body if isinstance(step, OptionalStep) else (step,))]


def _has_residual(body: Body) -> bool:
    return any(isinstance(step, ResidualStep) for step in body)


def _wrapped(body: Body, like: Body, rows: int, skips: Sequence[bool]) -> Body:
    """A body as a residual without a shortcut, and the activations after it, in the form of another body."""
    if not isinstance(like[0], ResidualStep) or like[0].shortcut is not None or not all(skips):
        raise _DifferentError
    tail = len(like) - 1
    ends = body[len(body) - tail :] if tail else ()
    if len(body) <= tail or any(not isinstance(step, ActivationStep) or step.names for step in [*ends, *like[1:]]):
        raise _DifferentError
    inner = body[: len(body) - tail]
    if any(getattr(step, "names", ()) for step in inner):
        raise _DifferentError
    here = getattr(inner[0], "here", 0)
    return (ResidualStep(ArgumentColumn(("none",) * rows), inner, None, (), here), *ends)


def _flagged(body: Body, rows: int) -> list[Flagged]:
    """The steps of a body with their flags; optional parts are resolved."""
    result: list[Flagged] = []
    for step in body:
        if isinstance(step, OptionalStep):
            flags = step.flag.values if isinstance(step.flag, ArgumentColumn) else (step.flag,) * rows
            result += [(one, flags) for one in step.body]
        else:
            result.append((step, (True,) * rows))
    return result


def _with_flags(steps: Sequence[Flagged]) -> Body:
    """The steps with runs of one flag as optional parts."""
    result: list[Step] = []
    runs: list[tuple[tuple[bool, ...], list[Step]]] = []
    for step, flags in steps:
        if runs and runs[-1][0] == flags:
            runs[-1][1].append(step)
        else:
            runs.append((flags, [step]))
    optional = 0
    for flags, members in runs:
        if all(flags):
            result += members
            continue
        optional += 1
        if any(getattr(step, "names", ()) for step in members):
            raise _DifferentError
        result.append(OptionalStep(ArgumentColumn(flags), tuple(members), (), getattr(members[0], "here", 0)))
    if optional > MOST_OPTIONAL:
        raise _DifferentError
    return tuple(result)


def _kind(step: Step) -> Any:
    """The key that two steps must share to be one step of the joined body."""
    if isinstance(step, OperatorStep):
        return "op", step.operator, len(step.others)
    if isinstance(step, CallStep):
        return "call", step.template, len(step.others)
    if isinstance(step, SplitStep):
        return "split", step.merge, len(step.paths), bool(step.count), step.sliced is None
    if isinstance(step, UseStep):
        return "use", len(step.values)
    return (type(step),)


def _likeness(one: Step, other: Step) -> int:
    """How well two steps fit together; 0 if they cannot be one step."""
    if _kind(one) != _kind(other):
        return 0
    if not isinstance(one, OperatorStep | CallStep) or not isinstance(other, OperatorStep | CallStep):
        return PAIRED
    alike = sum(bool(_values(a) & _values(b)) for a, b in zip(one.arguments, other.arguments, strict=False))
    return PAIRED + min(alike, PAIRED - 1)


PAIRED = 32
"""The weight of a pair of steps; equal arguments weigh 1."""


def _values(argument: Any) -> set[Any]:
    if type(argument) is FirstAndLater:
        return _values(argument.first) | _values(argument.later)
    return {*argument.values} if isinstance(argument, ArgumentColumn) else {argument}


def _aligned(left: Sequence[Flagged], right: Sequence[Flagged]) -> list[tuple[int | None, int | None]]:
    """Pairs of places of steps that fit together, as many as possible, in order; None for a step without a partner."""
    likeness = [[_likeness(one, other) for other, _ in right] for one, _ in left]
    best = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for a in range(len(left) - 1, -1, -1):
        for b in range(len(right) - 1, -1, -1):
            paired = likeness[a][b] + best[a + 1][b + 1] if likeness[a][b] else 0
            best[a][b] = max(best[a + 1][b], best[a][b + 1], paired)
    pairs: list[tuple[int | None, int | None]] = []
    a = b = 0
    while a < len(left) and b < len(right):
        if likeness[a][b] and best[a][b] == likeness[a][b] + best[a + 1][b + 1]:
            pairs.append((a, b))
            a, b = a + 1, b + 1
        elif best[a + 1][b] >= best[a][b + 1]:
            pairs.append((a, None))
            a += 1
        else:
            pairs.append((None, b))
            b += 1
    pairs += [(place, None) for place in range(a, len(left))]
    pairs += [(None, place) for place in range(b, len(right))]
    return pairs
