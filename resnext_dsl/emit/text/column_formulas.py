"""Short exact formulas and conditions that have the values of a column in every row.

column 128, 256 with `width` 64, 128    ->    width * 2
column True, False with `stride` 2, 1   ->    stride != 1
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import permutations

from resnext_dsl.emit.blocks.module_block import Value
from resnext_dsl.emit.patterns.pattern_tree import ABSENT, Slot
from resnext_dsl.foundation.records import NamedTuple

LARGEST_COMPARED = 8
"""The largest number that a condition compares an argument with."""

Rows = list[tuple[int, Value]]
"""(row, value) for the rows in which a column has a value."""


class Formula(NamedTuple):
    """An expression, and the names of the parameters in it."""

    text: str
    names: tuple[str, ...]


class Condition(NamedTuple):
    """A condition, its truth value in each row, and the names of the parameters in it."""

    text: str
    column: Slot
    names: tuple[str, ...]


def formula(slot: Slot, integers: Mapping[str, Slot]) -> Formula | None:
    """The first formula of columns of integers that gives a column; None if there is none."""
    rows = [(row, value) for row, value in enumerate(slot.values) if value is not ABSENT]
    if any(type(value) is not int for _, value in rows):
        return None
    return _of_one(rows, integers) or _of_two(rows, integers)


def _of_one(rows: Rows, integers: Mapping[str, Slot]) -> Formula | None:
    for factor in (_product, _quotient):
        for name, column in integers.items():
            text = factor(name, [(column.values[row], value) for row, value in rows])
            if text:
                return Formula(text, (name,))
    return None


def _product(name: str, pairs: list[tuple[int, int]]) -> str:
    """`name * k`, if that holds in all (name's value, value) pairs."""
    base, value = pairs[0]
    exact_factor = base and value % base == 0 and value // base > 1
    return f"{name} * {value // base}" if exact_factor and all(v == b * (value // base) for b, v in pairs) else ""


def _quotient(name: str, pairs: list[tuple[int, int]]) -> str:
    """`name // k`, if that holds in all (name's value, value) pairs; only a half may have a remainder."""
    base, value = pairs[0]
    if value and base % value == 0 and base // value > 1 and all(v * (base // value) == b for b, v in pairs):
        return f"{name} // {base // value}"
    return f"{name} // 2" if all(v == b // 2 for b, v in pairs) else ""


def _of_two(rows: Rows, integers: Mapping[str, Slot]) -> Formula | None:
    for one, other in permutations(integers, 2):
        triples = [(integers[one].values[row], integers[other].values[row], value) for row, value in rows]
        for sign, holds in _SIGNS:
            if (sign in ("//", "-") or one < other) and all(holds(a, b, value) for a, b, value in triples):
                turned = sign in ("*", "+") and other == "in_channels"
                left, right = (other, one) if turned else (one, other)
                return Formula(f"{left} {sign} {right}", (one, other))
    return None


_SIGNS: tuple[tuple[str, Callable[[int, int, int], bool]], ...] = (
    ("*", lambda a, b, value: value == a * b),
    ("//", lambda a, b, value: b > 1 and value * b == a),
    ("+", lambda a, b, value: value == a + b),
    ("-", lambda a, b, value: value == a - b),
)


def conditions(arguments: Mapping[str, Slot], integers: Mapping[str, Slot]) -> list[Condition]:
    """Short conditions, the ones that say most about the intent first.

    Args:
        arguments: The template's arguments that have a value in every row.
        integers: Columns of different integers, among them `in_channels` if it varies.
    """
    negations = [
        Condition(f"not {name}", Slot(tuple(not value for value in slot.values)), (name,))
        for name, slot in arguments.items()
        if all(type(value) is bool for value in slot.values)
    ]
    positives = [
        Condition(f"{name} > 0", Slot(tuple(value > 0 for value in slot.values)), (name,))
        for name, slot in arguments.items()
        if all(type(value) is int and value >= 0 for value in slot.values)
    ]
    return [*negations, *positives, *_comparisons(arguments), *_channel_comparisons(integers)]


def _comparisons(arguments: Mapping[str, Slot]) -> Iterator[Condition]:
    """Comparisons with small numbers; first with 1, the neutral value of an expansion or a stride."""
    for neutral in (True, False):
        for name, slot in arguments.items():
            values = sorted({value for value in slot.values if type(value) is int and value <= LARGEST_COMPARED})
            chosen = [value for value in values if value and (value == 1) == neutral]
            for sign in ("!=", "==") if neutral else ("==", "!="):
                for value in chosen:
                    column = Slot(tuple((each == value) == (sign == "==") for each in slot.values))
                    yield Condition(f"{name} {sign} {value}", column, (name,))


def _channel_comparisons(integers: Mapping[str, Slot]) -> Iterator[Condition]:
    if "in_channels" not in integers:
        return
    for name, slot in integers.items():
        if name != "in_channels":
            pairs = list(zip(integers["in_channels"].values, slot.values, strict=True))
            for sign in ("==", "!="):
                column = Slot(tuple((a == b) == (sign == "==") for a, b in pairs))
                yield Condition(f"in_channels {sign} {name}", column, ("in_channels", name))
