"""The skeleton of a body: all of it but its arguments. Blocks with one skeleton differ in arguments only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.arch_text.step_tree import (
    ActivationStep,
    Argument,
    Body,
    CallStep,
    DeclaredStep,
    FirstAndLater,
    GatherStep,
    OperatorStep,
    OptionalStep,
    RepeatStep,
    ResidualStep,
    SharedStep,
    SplitStep,
    Step,
    TextStep,
    UseStep,
    fields_of,
)

Change = Callable[[str, Argument, Argument], Argument]
"""(kind, argument, channels of the running value) -> the new argument."""

ParameterNames = Callable[[int | str], tuple[str, ...]]
"""The names of a template's parameters."""


def skeleton(body: Body) -> tuple[Any, ...]:
    """A key that is equal for bodies that differ in arguments only."""
    return tuple([_key(step) for step in body])


def _key(step: Step) -> tuple[Any, ...]:
    if isinstance(step, OperatorStep):
        return "op", step.operator, step.others, step.names, _turns(step.arguments)
    if isinstance(step, ActivationStep):
        return "act", step.names, isinstance(step.operator, FirstAndLater)
    if isinstance(step, CallStep):
        return "call", step.template, step.others, step.names, _turns(step.arguments)
    if isinstance(step, ResidualStep):
        shortcut = None if step.shortcut is None else skeleton(step.shortcut)
        return "residual", skeleton(step.body), shortcut, step.names
    if isinstance(step, SplitStep):
        paths = tuple([skeleton(path) for path in step.paths])
        return "split", bool(step.count), step.sliced is None, paths, step.merge, step.names
    if isinstance(step, UseStep):
        return "use", step.values, step.names
    if isinstance(step, RepeatStep):
        return "repeat", skeleton(step.body), step.names
    if isinstance(step, OptionalStep):
        return "if", skeleton(step.body), step.names
    if isinstance(step, SharedStep):
        return "shared", step.instance, step.names
    if isinstance(step, GatherStep):
        return "gather", skeleton(step.body), step.names
    if isinstance(step, TextStep):
        return "text", step.text, step.names
    return "declared", step.instance, _key(step.call)


def _turns(arguments: tuple[Argument, ...]) -> tuple[int, ...]:
    return tuple([place for place, argument in enumerate(arguments) if type(argument) is FirstAndLater])


def mapped(body: Body, change: Change, here: Callable[[Argument], Argument], names: ParameterNames) -> Body:
    """The body with every argument changed, in a fixed order: that of the skeleton."""

    def argument(kind: str, value: Argument, at: Argument) -> Argument:
        if type(value) is FirstAndLater:
            return FirstAndLater(change(kind, value.first, at), change(kind, value.later, at))
        return change(kind, value, at)

    def several(kinds: tuple[str, ...], values: tuple[Argument, ...], at: Argument) -> tuple[Argument, ...]:
        return tuple([argument(kind, value, at) for kind, value in zip(kinds, values, strict=True)])

    def one(step: Step) -> Step:
        if isinstance(step, OperatorStep):
            at = here(step.here)
            return OperatorStep(
                step.operator, several(fields_of(step.operator), step.arguments, at), step.others, step.names, at
            )
        if isinstance(step, ActivationStep):
            at = here(step.here)
            return ActivationStep(argument("act", step.operator, at), step.names, at)
        if isinstance(step, CallStep):
            at = here(step.here)
            return CallStep(
                step.template, several(names(step.template), step.arguments, at), step.others, step.names, at
            )
        if isinstance(step, ResidualStep):
            at = here(step.here)
            inner = whole(step.body)
            shortcut = None if step.shortcut is None else whole(step.shortcut)
            return ResidualStep(argument("shortcut", step.kind, at), inner, shortcut, step.names, at)
        if isinstance(step, SplitStep):
            at = here(step.here)
            count = argument("paths", step.count, at) if step.count else 0
            sliced = None if step.sliced is None else argument("widths", step.sliced, at)
            return SplitStep(count, sliced, tuple([whole(path) for path in step.paths]), step.merge, step.names, at)
        if isinstance(step, RepeatStep):
            at = here(step.here)
            return RepeatStep(argument("depth", step.count, at), whole(step.body), step.names, at)
        if isinstance(step, OptionalStep):
            at = here(step.here)
            return OptionalStep(argument("flag", step.flag, at), whole(step.body), step.names, at)
        if isinstance(step, GatherStep):
            return step._replace(body=whole(step.body))
        if isinstance(step, DeclaredStep):
            call: Any
            (call,) = whole((step.call,))
            return DeclaredStep(step.instance, call)
        return step

    def whole(steps: Body) -> Body:
        return tuple([one(step) for step in steps])

    return whole(body)


def leaves(body: Body, names: ParameterNames) -> tuple[tuple[str, ...], tuple[Argument, ...], tuple[Argument, ...]]:
    """Kind and value of each argument of a body, and the channels at each of its steps, in the order of `mapped`."""
    kinds: list[str] = []
    values: list[Argument] = []
    places: list[Argument] = []

    def note(kind: str, value: Argument, at: Argument) -> Argument:
        kinds.append(kind)
        values.append(value)
        return value

    def place(value: Argument) -> Argument:
        places.append(value)
        return value

    mapped(body, note, place, names)
    return tuple(kinds), tuple(values), tuple(places)
