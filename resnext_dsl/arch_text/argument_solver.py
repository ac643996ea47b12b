"""Chooses the parameters of a template: a column becomes a constant, an expression of others, or a parameter.

    channels of three convolutions: [64, 128], [64, 128], [256, 512]   ->   width, width, 4 * width
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_text import value_words
from resnext_dsl.arch_text.step_tree import Argument, Column, Formula
from resnext_dsl.arch_text.word_choice import NameTable
from resnext_dsl.foundation.records import NamedTuple

LARGEST_FACTOR = 64
"""The largest factor of an expression; larger ones are chance."""

PARAMETER_NAMES = {"features": "classes", "act": "act", "start": "start", "stop": "stop", "count": "count"}
"""Names of parameters by the argument that they are for; others have the name of the argument."""

WITHOUT_DEFAULT = frozenset({"channels", "width", "features", "classes"})
"""Parameters that a call always states."""


class _Absent:
    """The type of `ABSENT`."""

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT = _Absent()
"""The value of a row that lacks the step of an argument."""


class ArchParameter(NamedTuple):
    """A parameter of a template.

    Attributes:
        name: Its name.
        kind: The argument that it was found for.
        values: Its value for each row.
        default: Its default; None if a call must state it.
    """

    name: str
    kind: str
    values: tuple[Any, ...]
    default: Any = None


class _Known(NamedTuple):
    """A name and its value in each row."""

    text: str
    values: tuple[Any, ...]


class ArgumentSolver:
    """Finds the expressions of one template.

    Attributes:
        parameters: The parameters so far.
    """

    def __init__(self, rows: int, weights: Sequence[int], entering: Sequence[int], names: NameTable) -> None:
        """Starts without parameters.

        Args:
            rows: The number of rows.
            weights: How often each row occurs.
            entering: The channels that enter each row.
            names: The names in use.
        """
        self.rows = rows
        self.weights = weights
        self.names = names
        self.parameters: list[ArchParameter] = []
        self._known: list[_Known] = [_Known("channels_in", tuple(entering))]
        self._answers: dict[Any, Argument] = {}

    def solved(self, kind: str, argument: Argument, here: Argument) -> Argument:
        """The expression of a column: plain, or a formula; a parameter is added if nothing else gives it."""
        if kind == "shortcut":
            argument = _shortcut_words(argument)
        if not isinstance(argument, Column):
            return argument
        values = argument.values
        present = [value for value in values if value is not ABSENT]
        if _all_equal(present):
            return present[0]
        key = (values, type(present[0]), here.values if isinstance(here, Column) else here, kind == "flag")
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._search(kind, values, here)
        return answer

    def _search(self, kind: str, values: tuple[Any, ...], here: Argument) -> Argument:
        for known in reversed(self._known):
            if _same(known.values, values):
                return Formula(known.text)
        numbers = all(type(value) is int for value in values if value is not ABSENT)
        if numbers and kind not in ("depth", "paths"):
            nearby = [_Known("channels_here", here.values)] if isinstance(here, Column) else []
            if nearby and _same(nearby[0].values, values):
                return Formula("channels_here")
            for known in [*reversed(self._known), *nearby]:
                formula = _multiple(known, values)
                if formula is not None:
                    return formula
            product = self._product(values)
            if product is not None:
                return product
        return self._parameter(kind, values)

    def _product(self, values: tuple[Any, ...]) -> Formula | None:
        """`a * b`, `a + b` or `a - b` of two known columns of ints."""
        ints = [known for known in self._known if all(type(value) is int for value in known.values)]
        for place, one in enumerate(ints):
            for other in ints[place:]:
                if _holds(one.values, other.values, values, lambda a, b: a * b):
                    return Formula(f"{one.text} * {other.text}", tight=False)
        for one in ints:
            for other in ints:
                if one is not other and _holds(one.values, other.values, values, lambda a, b: a - b):
                    return Formula(f"{one.text} - {other.text}", tight=False)
                if one is not other and _holds(one.values, other.values, values, lambda a, b: a + b):
                    return Formula(f"{one.text} + {other.text}", tight=False)
        return None

    def _parameter(self, kind: str, values: tuple[Any, ...]) -> Formula:
        counts: Counter[Any] = Counter()
        for value, weight in zip(values, self.weights, strict=True):
            if value is not ABSENT:
                counts[value] += weight
        most, count = counts.most_common(1)[0]
        filled = tuple([most if value is ABSENT else value for value in values])
        name = self.names.give(PARAMETER_NAMES.get(kind, kind))
        optional = kind not in WITHOUT_DEFAULT and 2 * count > counts.total()
        self.parameters.append(ArchParameter(name, kind, filled, most if optional else None))
        self._known.append(_Known(name, filled))
        return Formula(name)

    def ordered(self) -> list[ArchParameter]:
        """The parameters, those with a default last."""
        return sorted(self.parameters, key=lambda parameter: parameter.default is not None)


_FITTING = (
    (frozenset({"identity", "projection"}), "auto"),
    (frozenset({"identity", "none"}), "skip"),
    (frozenset({"projection", "forced"}), "projection"),
    (frozenset({"identity", "pad"}), "pad"),
)
"""Kinds of shortcuts that one word of the language stands for."""

_WORDS = {"identity": "auto", "projection": "auto", "forced": "projection", "none": "skip"}


def _shortcut_words(argument: Argument) -> Argument:
    """The kinds of shortcuts as words of the language: one if it stands for all."""
    kinds = argument.values if isinstance(argument, Column) else (argument,)
    for fitting, word in _FITTING:
        if fitting.issuperset(kinds):
            return word
    words = tuple([_WORDS.get(kind, kind) for kind in kinds])
    return words[0] if len({*words}) == 1 else Column(words)


def _all_equal(values: Sequence[Any]) -> bool:
    first = values[0]
    return all(value is first or (type(value) is type(first) and value == first) for value in values)


def _same(known: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
    return all(
        value is ABSENT or (type(value) is type(old) and value == old)
        for old, value in zip(known, values, strict=True)
    )


def _holds(one: tuple[Any, ...], other: tuple[Any, ...], values: tuple[Any, ...], rule: Any) -> bool:
    return all(value is ABSENT or rule(a, b) == value for a, b, value in zip(one, other, values, strict=True))


def _multiple(known: _Known, values: tuple[Any, ...]) -> Formula | None:
    """`c * k` or `c // k`, if it gives the values."""
    pairs = [(old, value) for old, value in zip(known.values, values, strict=True) if value is not ABSENT]
    if not all(type(old) is int and old > 0 and value > 0 for old, value in pairs):
        return None
    old, value = pairs[0]
    if value % old == 0:
        factor = value // old
        if factor <= LARGEST_FACTOR and all(one * factor == two for one, two in pairs):
            return Formula(f"{known.text} * {factor}", tight=False)
    elif old % value == 0:
        factor = old // value
        if factor <= LARGEST_FACTOR and all(one % factor == 0 and one // factor == two for one, two in pairs):
            return Formula(f"{known.text} // {factor}", tight=False)
    return None


def parameter_words(parameter: ArchParameter) -> str:
    """A parameter as a template declares it."""
    if parameter.default is None:
        return parameter.name
    return f"{parameter.name} = {value_words(parameter.kind, parameter.default)}"
