"""The results of infix operators and built-in functions on plain values; `evaluate` checks the bounds."""

from __future__ import annotations

import math
import operator as python_operator
from collections.abc import Callable
from functools import reduce
from typing import Any

from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.values import List, OperatorValue, show, type_name


class BadValueError(Exception):
    """A value that a function does not accept."""

    def __init__(self, code: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


def number(value: Any) -> Any:
    """The value itself, if it is a number; TypeError otherwise."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return value


def _numbers(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda left, right: function(number(left), number(right))


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, List) and isinstance(right, List):
        return List((*left, *right))
    return number(left) + number(right)


def _raise_to(left: Any, right: Any) -> Any:
    base, exponent = number(left), number(right)
    if is_int(base) and is_int(exponent):
        if exponent < 0:
            return (base * 1.0) ** exponent
        if abs(base) > 1 and exponent * base.bit_length() > 10_000:
            message = f"{base} ** {exponent} has too many digits"
            raise BadValueError("E404", message, "the option `max_digits` sets the limit")
    result = base**exponent
    if isinstance(result, complex):
        raise ValueError
    return result


def _equal(left: Any, right: Any) -> bool:
    if isinstance(left, OperatorValue) and isinstance(right, OperatorValue):
        return left.operator is right.operator and left.arguments == right.arguments
    if isinstance(left, str) and isinstance(right, OperatorValue):
        return _is_word(right, left)
    if isinstance(right, str) and isinstance(left, OperatorValue):
        return _is_word(left, right)
    return type_name(left) in (type_name(right), "int", "float") and bool(left == right)


def _is_word(operator: OperatorValue, word: str) -> bool:
    """Whether an operator stands for a word: `identity` is an operator and a kind of shortcut."""
    return operator.operator.name == word and not operator.arguments


WHOLE: dict[str, Callable[[int, int], Any]] = {
    "+": python_operator.add,
    "-": python_operator.sub,
    "*": python_operator.mul,
    "<": python_operator.lt,
    "<=": python_operator.le,
    ">": python_operator.gt,
    ">=": python_operator.ge,
    "==": python_operator.eq,
    "!=": python_operator.ne,
}
"""Infix operators on two ints that always have a result."""

INFIX: dict[str, Callable[[Any, Any], Any]] = {
    "+": _add,
    "-": _numbers(python_operator.sub),
    "*": _numbers(python_operator.mul),
    "/": _numbers(python_operator.truediv),
    "//": _numbers(python_operator.floordiv),
    "%": _numbers(python_operator.mod),
    "**": _raise_to,
    "<": _numbers(python_operator.lt),
    "<=": _numbers(python_operator.le),
    ">": _numbers(python_operator.gt),
    ">=": _numbers(python_operator.ge),
    "==": _equal,
    "!=": lambda left, right: not _equal(left, right),
}


def divisible(value: float, divisor: int) -> int:
    """The multiple of `divisor` nearest to `value`, not below `divisor` nor below 0.9 `value`.

    Source: the reference code of MobileNet (Howard et al. 2017), `_make_divisible`.
    """
    if not is_int(divisor) or divisor < 1:
        raise BadValueError("E205", f"the divisor must be an int of at least 1; found {show(divisor)}")
    rounded: int = max(divisor, math.floor(number(value) + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def _range(*bounds: int) -> List:
    if not all(map(is_int, bounds)):
        raise TypeError
    numbers = range(*bounds)
    if len(numbers) > 1_000_000:
        message = f"`range` would have {len(numbers)} elements"
        raise BadValueError("E205", message, "a range has at most 1,000,000 elements")
    return List(numbers)


def _over(function: Callable[[Any], Any]) -> Callable[..., Any]:
    """`min`, `max`, `sum`: of the arguments, or of a single list."""

    def apply(*values: Any) -> Any:
        items = values[0] if len(values) == 1 and isinstance(values[0], tuple) else values
        if not items and function is not _sum:
            raise BadValueError("E206", "`min` and `max` need at least one value; found an empty list")
        return function([number(item) for item in items])

    return apply


def _sum(items: list[Any]) -> Any:
    if not items:
        return 0
    return reduce(python_operator.add, items)  # Python's own `sum` rounds floats differently from 3.12 on


def _of_one(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """A function of the math module; it maps over the numbers of a column."""

    def apply(value: Any) -> Any:
        mapped = getattr(number(value), "mapped", None)
        return function(value) if mapped is None else mapped(function)

    return apply


def _elements(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple):
        raise TypeError
    return value


BUILTINS: dict[str, tuple[Callable[..., Any], int, int | None]] = {
    "min": (_over(min), 1, None),
    "max": (_over(max), 1, None),
    "sum": (_over(_sum), 1, None),
    "len": (lambda items: len(_elements(items)), 1, 1),
    "count": (lambda items, value: sum(_equal(item, value) for item in _elements(items)), 2, 2),
    "abs": (lambda value: abs(number(value)), 1, 1),
    "range": (_range, 1, 2),
    "round": (lambda value: round(number(value)), 1, 1),
    "floor": (lambda value: math.floor(number(value)), 1, 1),
    "ceil": (lambda value: math.ceil(number(value)), 1, 1),
    "sqrt": (_of_one(math.sqrt), 1, 1),
    "log2": (_of_one(math.log2), 1, 1),
    "divisible": (divisible, 2, 2),
    "first": (lambda a, b: a, 2, 2),
    "last": (lambda a, b: a, 2, 2),
}
"""Built-in functions: name -> (function, fewest arguments, most arguments)."""
