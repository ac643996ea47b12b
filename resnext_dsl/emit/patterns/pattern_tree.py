"""The records of a pattern: the tree that several modules share, with holes where they differ.

A hole is a `Slot`: a column with one literal for each row. Rows are the modules compared, such as the instances of a
template. `ABSENT` marks a row that has no literal there, so that any value suits it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from resnext_dsl.emit.blocks.module_block import ForwardStep, MismatchError, Ref, Value


class _Absent:
    """The type of `ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()


@dataclass(frozen=True, slots=True)
class Slot:
    """A column of literals."""

    values: tuple[Value, ...]

    def present(self) -> list[Value]:
        """The literals of the rows that have one."""
        return [value for value in self.values if value is not ABSENT]

    def constant(self) -> bool:
        """Whether all rows that have a literal have the same one."""
        return len({exact(value) for value in self.present()}) <= 1


@dataclass(frozen=True, slots=True)
class AffineSlot:
    """A hole inside a loop over an index i: start + step * i."""

    start: Slot
    step: Slot


@dataclass(frozen=True, slots=True)
class Listed:
    """A hole inside a loop over rows of literals: a variable of the loop."""

    name: str
    values: tuple[Value, ...]


Hole = Slot | AffineSlot | Listed


@dataclass(frozen=True, slots=True)
class LeafPattern:
    """Modules of torch or helper classes; their classes may differ if their arguments are the same."""

    target: Slot
    positional: tuple[Hole, ...]
    keywords: tuple[tuple[str, Hole], ...]


@dataclass(frozen=True, slots=True)
class BuiltPattern:
    """Instances of one emitted class."""

    name: str
    arguments: tuple[tuple[str, Hole], ...]


@dataclass(frozen=True, slots=True)
class NamedPattern:
    """Modules under names."""

    children: tuple[tuple[str, Pattern], ...]
    row: bool


@dataclass(frozen=True, slots=True)
class LoopPattern:
    """`count` modules in a loop; a single module if `count` is None."""

    count: Slot | None
    body: Pattern


@dataclass(frozen=True, slots=True)
class NumberedPattern:
    """Modules under numbers."""

    container: str
    runs: tuple[LoopPattern, ...]

    def size(self) -> int | None:
        """The number of modules; None if rows differ in it."""
        total = 0
        for run in self.runs:
            if run.count is not None and not run.count.constant():
                return None
            total += 1 if run.count is None else run.count.present()[0]
        return total

    def item(self, number: int) -> Pattern | None:
        """The pattern of a module by its number; None if rows differ in the numbers before it."""
        place = 0
        for run in self.runs:
            if run.count is not None and not run.count.constant():
                return None
            place += 1 if run.count is None else run.count.present()[0]
            if number < place:
                return run.body
        return None


@dataclass(frozen=True, slots=True)
class OptionalPattern:
    """A module that only some rows have."""

    flag: Slot
    body: Pattern


@dataclass(frozen=True, slots=True)
class ChoicePattern:
    """Different modules in different rows; rows for which no flag is true have the last one."""

    options: tuple[tuple[Slot, Pattern], ...]


Pattern = LeafPattern | BuiltPattern | NamedPattern | NumberedPattern | OptionalPattern | ChoicePattern


@dataclass(frozen=True, slots=True)
class StepPattern:
    """A step that some or all rows have.

    Attributes:
        step: The step, with the inputs that it has in the union of all rows.
        literals: Name -> column for the literals of its text.
        flag: True for the rows that have the step; None if all have it.
    """

    step: ForwardStep
    literals: tuple[tuple[str, Slot], ...]
    flag: Slot | None


@dataclass(frozen=True, slots=True)
class ClassPattern:
    """The pattern of one class.

    Attributes:
        rows: The number of different instances.
        weights: How often each of them occurs.
        inputs: The number of values that the forward takes.
        in_channels: Channels of the first input.
        out_channels: Channels of the first result.
        arguments: The template's arguments.
        children: The modules that it holds.
        steps: The steps of its forward.
        outputs: The results of its forward.
        listed: Whether it is a list of its children.
    """

    rows: int
    weights: tuple[int, ...]
    inputs: int
    in_channels: Slot
    out_channels: Slot
    arguments: tuple[tuple[str, Slot], ...]
    children: tuple[tuple[str, Pattern], ...]
    steps: tuple[StepPattern, ...]
    outputs: tuple[Ref, ...]
    listed: bool


def exact(value: Value) -> tuple[type, Value]:
    """The value with its type, because 1, 1.0 and True are equal in Python."""
    return type(value), tuple(map(exact, value)) if isinstance(value, tuple) else value


def fill(pattern: Pattern, change: Callable[[Slot], Hole], flag: Callable[[Slot], Slot]) -> Pattern:
    """The pattern with every hole changed by `change`, and every flag, count and class changed by `flag`."""

    def hole(old: Hole) -> Hole:
        if isinstance(old, Slot):
            return change(old)
        if isinstance(old, AffineSlot):
            start, step = change(old.start), change(old.step)
            if isinstance(start, Slot) and isinstance(step, Slot):
                return AffineSlot(start, step)
        raise MismatchError("a loop in a loop")

    if isinstance(pattern, LeafPattern):
        positional = tuple(hole(value) for value in pattern.positional)
        keywords = tuple((name, hole(value)) for name, value in pattern.keywords)
        return LeafPattern(flag(pattern.target), positional, keywords)
    if isinstance(pattern, BuiltPattern):
        return BuiltPattern(pattern.name, tuple((name, hole(value)) for name, value in pattern.arguments))
    if isinstance(pattern, NamedPattern):
        return NamedPattern(tuple((name, fill(child, change, flag)) for name, child in pattern.children), pattern.row)
    if isinstance(pattern, NumberedPattern):
        runs = [
            LoopPattern(flag(run.count) if run.count else None, fill(run.body, change, flag)) for run in pattern.runs
        ]
        return NumberedPattern(pattern.container, tuple(runs))
    if isinstance(pattern, OptionalPattern):
        return OptionalPattern(flag(pattern.flag), fill(pattern.body, change, flag))
    return ChoicePattern(tuple((flag(test), fill(body, change, flag)) for test, body in pattern.options))


def holes(pattern: Pattern) -> list[Hole]:
    """Every hole of a pattern, in order."""
    if isinstance(pattern, LeafPattern):
        return [*pattern.positional, *(hole for _, hole in pattern.keywords)]
    if isinstance(pattern, BuiltPattern):
        return [hole for _, hole in pattern.arguments]
    if isinstance(pattern, NamedPattern):
        return [hole for _, child in pattern.children for hole in holes(child)]
    if isinstance(pattern, NumberedPattern):
        return [hole for run in pattern.runs for hole in holes(run.body)]
    if isinstance(pattern, OptionalPattern):
        return holes(pattern.body)
    return [hole for _, body in pattern.options for hole in holes(body)]
