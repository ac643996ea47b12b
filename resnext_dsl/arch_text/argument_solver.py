"""Chooses the parameters of a template: a column becomes a constant, an expression of others, or a parameter.

channels of three convolutions: [64, 128], [64, 128], [256, 512]   ->   width, width, 4 * width
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from resnext_dsl.arch_text.argument_text import value_words
from resnext_dsl.arch_text.step_tree import Argument, ArgumentColumn, ArgumentFormula, Body, CallStep, OperatorStep
from resnext_dsl.arch_text.word_choice import NameTable
from resnext_dsl.foundation.records import NamedTuple

LARGEST_FACTOR = 64
"""The largest factor of an expression; larger ones are chance."""

CHANNEL_KINDS = frozenset({"channels", "features", "reduced"})
"""Arguments that are numbers of channels."""

WITHOUT_DEFAULT = frozenset({"channels", "features"})
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


class _Known:
    """A name and its value in each row.

    Attributes:
        text: The name.
        kind: The argument that it was found for.
        values: Its value in each row.
        absent: The rows whose value is not used, so that it can be any.
    """

    __slots__ = ("absent", "kind", "text", "values")

    def __init__(self, text: str, kind: str, values: tuple[Any, ...], absent: frozenset[int] = frozenset()) -> None:
        self.text = text
        self.kind = kind
        self.values = values
        self.absent = absent


class ArgumentSolver:
    """Finds the expressions of one template.

    Attributes:
        parameters: The parameters so far.
    """

    def __init__(
        self, weights: Sequence[int], entering: Sequence[int], leaving: Sequence[int], names: NameTable
    ) -> None:
        """Starts without parameters.

        Args:
            weights: How often each row occurs.
            entering: The channels of the value that enters each row.
            leaving: The channels of the result of each row.
            names: The names in use.
        """
        self.weights = weights
        self._leaving = tuple(leaving)
        self.names = names
        self.parameters: list[ArchParameter] = []
        self._known: list[_Known] = [_Known("channels_in", "channels", tuple(entering))]
        self._derived: list[_Known] = []
        self._answers: dict[Any, Argument] = {}

    def solved(self, kind: str, argument: Argument, here: Argument) -> Argument:
        """The expression of a column: plain, or a formula; a parameter is added if nothing else gives it."""
        if kind == "shortcut":
            argument = shortcut_words(argument)
        if not isinstance(argument, ArgumentColumn):
            return argument
        values = argument.values
        present = [value for value in values if value is not ABSENT]
        if _all_equal(present):
            return present[0]
        key = (values, type(present[0]), here.values if isinstance(here, ArgumentColumn) else here, kind == "flag")
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = self._search(kind, values, here)
            if kind == "channels" and isinstance(answer, ArgumentFormula) and not answer.tight and ABSENT not in values:
                self._derived.append(_Known(answer.text, kind, values))
        return answer

    def _search(self, kind: str, values: tuple[Any, ...], here: Argument) -> Argument:
        for known in reversed(self._known):
            if _same(known.values, values):
                return _used(ArgumentFormula(known.text), values, known)
        numbers = all(type(value) is int for value in values if value is not ABSENT)
        if numbers and kind not in ("depth", "paths"):
            nearby = [_Known("channels_here", "channels", here.values)] if isinstance(here, ArgumentColumn) else []
            if nearby and _same(nearby[0].values, values):
                return ArgumentFormula("channels_here")
            for known in [*reversed(self._known), *nearby]:
                formula = _multiple(known, values)
                if formula is not None:
                    return _used(formula, values, known)
            product = self._product(values)
            if product is not None:
                return product
        return self._parameter(kind, values)

    def _product(self, values: tuple[Any, ...]) -> ArgumentFormula | None:
        """`a * b`, `a + b` or `a - b` of two known columns of ints."""
        ints = [known for known in self._known if all(type(value) is int for value in known.values)]
        for place, one in enumerate(ints):
            for other in ints[place:]:
                if _holds(one.values, other.values, values, lambda a, b: a * b):
                    return _used(ArgumentFormula(f"{one.text} * {other.text}", tight=False), values, one, other)
        for one in ints:
            for other in ints:
                if one is not other and _holds(one.values, other.values, values, lambda a, b: a - b):
                    return _used(ArgumentFormula(f"{one.text} - {other.text}", tight=False), values, one, other)
                if one is not other and _holds(one.values, other.values, values, lambda a, b: a + b):
                    return _used(ArgumentFormula(f"{one.text} + {other.text}", tight=False), values, one, other)
        return None

    def _parameter(self, kind: str, values: tuple[Any, ...]) -> ArgumentFormula:
        counts: Counter[Any] = Counter()
        for value, weight in zip(values, self.weights, strict=True):
            if value is not ABSENT:
                counts[value] += weight
        most, count = counts.most_common(1)[0]
        filled = tuple([most if value is ABSENT else value for value in values])
        wanted = kind
        if kind == "channels" and filled != self._leaving:
            wanted = "width"
        name = self.names.give(wanted)
        optional = kind not in WITHOUT_DEFAULT and 2 * count > counts.total()
        self.parameters.append(ArchParameter(name, kind, filled, most if optional else None))
        absent = frozenset([row for row, value in enumerate(values) if value is ABSENT])
        self._known.append(_Known(name, kind, filled, absent))
        return ArgumentFormula(name)

    def condition(self, flags: tuple[bool, ...], body: Body) -> ArgumentFormula:
        """The condition of an optional part, whose arguments are solved already; a parameter if nothing gives it."""
        for known in reversed(self._known):
            text = _comparison(known, flags)
            if text:
                return _used(ArgumentFormula(text, tight=False), flags, known)
        channels = [known for known in self._known if known.kind in CHANNEL_KINDS]
        channels += [known for known in self._derived if not known.absent]
        for place, one in enumerate(channels[:2]):
            for other in channels[place + 1 :]:
                different = tuple([a != b for a, b in zip(one.values, other.values, strict=True)])
                if different == flags:
                    return _used(ArgumentFormula(f"{one.text} != {other.text}", tight=False), flags, one, other)
                if not any(a == b for a, b in zip(different, flags, strict=True)):
                    return _used(ArgumentFormula(f"{one.text} == {other.text}", tight=False), flags, one, other)
        missing = frozenset([row for row, flag in enumerate(flags) if not flag])
        for place, parameter in enumerate(self.parameters):
            known = next(one for one in self._known if one.text == parameter.name)
            if known.absent == missing and all(type(value) is int and value > 0 for value in parameter.values):
                values = tuple([value if flag else 0 for flag, value in zip(flags, parameter.values, strict=True)])
                self.parameters[place] = parameter._replace(values=values, default=0)
                known.values, known.absent = values, frozenset()
                return ArgumentFormula(f"{parameter.name} > 0", tight=False)
        return self._parameter(f"with_{_first_operator(body)}", flags)

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


def shortcut_words(argument: Argument) -> Argument:
    """The kinds of shortcuts as words of the language: one if it stands for all."""
    kinds = argument.values if isinstance(argument, ArgumentColumn) else (argument,)
    for fitting, word in _FITTING:
        if fitting.issuperset(kinds):
            return word
    words = tuple([_WORDS.get(kind, kind) for kind in kinds])
    return words[0] if len({*words}) == 1 else ArgumentColumn(words)


def _used(formula: ArgumentFormula, values: Sequence[Any], *known: _Known) -> ArgumentFormula:
    """The formula; its names keep their values in the rows that it is used for."""
    for one in known:
        if one.absent:
            one.absent = frozenset([row for row in one.absent if values[row] is ABSENT])
    return formula


def _comparison(known: _Known, flags: tuple[bool, ...]) -> str:
    """A comparison of a parameter with one value that gives the flags; "" if there is none."""
    if known.kind in CHANNEL_KINDS or known.absent:
        return ""
    if known.kind.startswith("with_") or all(isinstance(value, bool) for value in known.values):
        return known.text if known.values == flags else ""
    if known.kind != "stride":
        return ""  # that a number of channels is not 16 says nothing
    off = {value for value, flag in zip(known.values, flags, strict=True) if not flag}
    on = {value for value, flag in zip(known.values, flags, strict=True) if flag}
    if off & on:
        return ""
    if len(off) == 1:
        return f"{known.text} != {value_words(known.kind, off.pop())}"
    return f"{known.text} == {value_words(known.kind, on.pop())}" if len(on) == 1 else ""


def _first_operator(body: Body) -> str:
    for step in body:
        if isinstance(step, OperatorStep):
            return step.operator
        if isinstance(step, CallStep) and isinstance(step.template, str):
            return step.template.removesuffix("_bn_act")
    return "part"


def _all_equal(values: Sequence[Any]) -> bool:
    first = values[0]
    return all(value is first or (type(value) is type(first) and value == first) for value in values)


def _same(known: tuple[Any, ...], values: tuple[Any, ...]) -> bool:
    return all(
        value is ABSENT or (type(value) is type(old) and value == old) for old, value in zip(known, values, strict=True)
    )


def _holds(one: tuple[Any, ...], other: tuple[Any, ...], values: tuple[Any, ...], rule: Any) -> bool:
    return all(value is ABSENT or rule(a, b) == value for a, b, value in zip(one, other, values, strict=True))


def _multiple(known: _Known, values: tuple[Any, ...]) -> ArgumentFormula | None:
    """`c * k` or `c // k`, if it gives the values."""
    pairs = [(old, value) for old, value in zip(known.values, values, strict=True) if value is not ABSENT]
    if not all(type(old) is int and old > 0 and value > 0 for old, value in pairs):
        return None
    old, value = pairs[0]
    if value % old == 0:
        factor = value // old
        if factor <= LARGEST_FACTOR and all(one * factor == two for one, two in pairs):
            return ArgumentFormula(f"{known.text} * {factor}", tight=False)
    elif old % value == 0:
        factor = old // value
        if factor <= LARGEST_FACTOR and all(one % factor == 0 and one // factor == two for one, two in pairs):
            return ArgumentFormula(f"{known.text} // {factor}", tight=False)
    return None


def parameter_words(parameter: ArchParameter) -> str:
    """A parameter as a template declares it."""
    if parameter.default is None:
        return parameter.name
    return f"{parameter.name} = {value_words(parameter.kind, parameter.default)}"
