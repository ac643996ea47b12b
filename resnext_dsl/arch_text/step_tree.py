"""The records of a text before it is printed: bodies of steps.

The same records serve three times. Of one instance of a block, the arguments are plain values. Of a template, the
arguments that differ between its instances are columns first and formulas in the end.

A value of the network is an int here: in an instance, the node that gives it; in a template, its number among the
named values. `ENTRY` is the value that enters the template, and numbers below it are its other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators import OPERATORS, arguments_of
from resnext_dsl.operators.base import Attributes

Argument = Any
"""A plain value, a `ArgumentColumn` or a `ArgumentFormula`."""

ENTRY = -1
"""The value that enters a template. The other values that it takes are -2, -3, ..."""


class Spelled(str):
    """An operator as a value, by its text: `relu`, `leaky_relu(slope=0.2)`."""

    __slots__ = ()


class ArgumentColumn(NamedTuple):
    """One plain value for each row; `ABSENT` for a row that has none."""

    values: tuple[Any, ...]


class ArgumentFormula(NamedTuple):
    """An expression of the language; `tight` if it needs no parentheses as an operand."""

    text: str
    tight: bool = True


class FirstAndLater(NamedTuple):
    """An argument inside a repeat: one value in its first pass, another one in the later passes."""

    first: Any
    later: Any


class OperatorStep(NamedTuple):
    """An operator on the running value.

    Attributes:
        operator: Its name.
        arguments: Its arguments in the order of its fields.
        others: The values beside the running value.
        names: The name of its result, or nothing.
        here: The channels of the running value; a column in a template.
    """

    operator: str
    arguments: tuple[Argument, ...]
    others: tuple[int, ...] = ()
    names: tuple[int, ...] = ()
    here: Argument = 0


class ActivationStep(NamedTuple):
    """An activation on the running value; the operator itself is the argument."""

    operator: Argument
    names: tuple[int, ...] = ()
    here: Argument = 0


class CallStep(NamedTuple):
    """A call of a template: its number, or the name of a template of the library."""

    template: int | str
    arguments: tuple[Argument, ...]
    others: tuple[int, ...] = ()
    names: tuple[int, ...] = ()
    here: Argument = 0


class ResidualStep(NamedTuple):
    """A residual.

    Attributes:
        kind: "identity" (on equal shapes), "projection" (on other shapes), "forced" (a projection on equal shapes),
            "pad", "none" (without a shortcut, on other shapes), or "body". In a template the word of the language.
        body: The steps beside the shortcut.
        shortcut: The steps of a shortcut with a body.
        names: The name of its result, or nothing.
        here: The channels of the running value.
    """

    kind: Argument
    body: tuple[Step, ...]
    shortcut: tuple[Step, ...] | None = None
    names: tuple[int, ...] = ()
    here: Argument = 0


class SplitStep(NamedTuple):
    """A split.

    Attributes:
        count: The number of equal paths; 0 if the paths are listed.
        sliced: The widths of the slices, () if they are equal; None if every path takes the whole value.
        paths: The bodies of the paths; one body if they are equal.
        merge: The operator that merges them.
        names: The name of its result, or nothing.
        here: The channels of the running value.
    """

    count: Argument
    sliced: Argument
    paths: tuple[tuple[Step, ...], ...]
    merge: str
    names: tuple[int, ...] = ()
    here: Argument = 0


class UseStep(NamedTuple):
    """Makes a value, or a list of values, the running value."""

    values: tuple[int, ...]
    names: tuple[int, ...] = ()


class RepeatStep(NamedTuple):
    """Passes of one body."""

    count: Argument
    body: tuple[Step, ...]
    names: tuple[int, ...] = ()
    here: Argument = 0


class OptionalStep(NamedTuple):
    """Steps that only some rows have, and in a template those that the other rows have."""

    flag: Argument
    body: tuple[Step, ...]
    names: tuple[int, ...] = ()
    here: Argument = 0
    otherwise: tuple[Step, ...] = ()


class SharedStep(NamedTuple):
    """A use of a shared instance: its number in the body that declares it, or the name of its module before that."""

    instance: int | str
    names: tuple[int, ...] = ()
    here: Argument = 0


class DeclaredStep(NamedTuple):
    """Declares a shared instance of an operator or a template."""

    instance: int
    call: OperatorStep | ActivationStep | CallStep


class GatherStep(NamedTuple):
    """Blocks that make a list of values grow, and the join of the list: `use [value_here]; ...; concat`."""

    body: tuple[Step, ...]
    names: tuple[int, ...] = ()
    here: Argument = 0


class TextStep(NamedTuple):
    """A statement by its text."""

    text: str
    names: tuple[int, ...] = ()
    here: Argument = 0


Step = (
    OperatorStep
    | ActivationStep
    | CallStep
    | ResidualStep
    | SplitStep
    | UseStep
    | RepeatStep
    | OptionalStep
    | SharedStep
    | DeclaredStep
    | GatherStep
    | TextStep
)
Body = tuple[Step, ...]


@cache
def fields_of(operator: str) -> tuple[str, ...]:
    """The names of an operator's arguments."""
    return tuple([argument.name for argument in arguments_of(OPERATORS[operator].attributes)])


def values_of_attributes(attributes: Attributes) -> tuple[Any, ...]:
    """The arguments of a node in the order of its fields."""
    return tuple(vars(attributes).values())


def bodies(step: Step) -> tuple[Body, ...]:
    """The bodies inside a step."""
    if isinstance(step, ResidualStep):
        return (step.body,) if step.shortcut is None else (step.body, step.shortcut)
    if isinstance(step, SplitStep):
        return step.paths
    if isinstance(step, OptionalStep) and step.otherwise:
        return step.body, step.otherwise
    if isinstance(step, RepeatStep | OptionalStep | GatherStep):
        return (step.body,)
    return ()


def with_bodies(step: Step, inner: tuple[Body, ...]) -> Step:
    """The step with other bodies."""
    if isinstance(step, ResidualStep):
        return step._replace(body=inner[0], shortcut=None if step.shortcut is None else inner[1])
    if isinstance(step, SplitStep):
        return step._replace(paths=inner)
    if isinstance(step, OptionalStep):
        return step._replace(body=inner[0], otherwise=inner[1] if step.otherwise else ())
    if isinstance(step, RepeatStep | GatherStep):
        return step._replace(body=inner[0])
    return step


def changed_inside(step: Step, change: Callable[[Body], Body]) -> Step:
    """The step with each of its bodies changed."""
    inner = bodies(step)
    return with_bodies(step, tuple([change(body) for body in inner])) if inner else step


def names_of(step: Step) -> tuple[int, ...]:
    """The names that a step gives to its results."""
    return () if isinstance(step, DeclaredStep) else step.names


def here_of(step: Step) -> Argument:
    """The channels of the running value at a step; 0 if it has none."""
    return 0 if isinstance(step, DeclaredStep | UseStep) else step.here


def all_steps(body: Body) -> Iterator[Step]:
    """Every step, those of inner bodies after the step that has them."""
    for step in body:
        yield step
        for inner in bodies(step):
            yield from all_steps(inner)


def renamed(body: Body, change: Callable[[int], int]) -> Body:
    """The body with every value replaced."""

    def one(step: Step) -> Step:
        changed: dict[str, Any] = {}
        for field in ("others", "values"):
            values = getattr(step, field, ())
            if values:
                changed[field] = tuple([change(value) for value in values])
        names = names_of(step)
        if names:
            changed["names"] = tuple([change(value) for value in names])
        step = changed_inside(step, lambda inner: renamed(inner, change))
        return step._replace(**changed) if changed else step

    return tuple([one(step) for step in body])
