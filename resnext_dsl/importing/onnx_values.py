"""Numbers that are known while an ONNX file is read: shapes, axes, indices and scalars; the batch is a symbol.

Exporters write shapes as operators: `Shape`, `Gather`, `Concat`. They are computed here and leave no call.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.model_file import MAX_NUMBER

MAX_KNOWN = 4096
"""The most numbers of one known tensor."""

Numbers = NDArray[np.object_]


class RefusedError(Exception):
    """An operator is not translated; the text is the reason, a clause without a subject."""


class Samples:
    """A multiple of the batch: the number of samples, or a size that reshaping has merged with it."""

    __slots__ = ("factor",)

    def __init__(self, factor: int = 1) -> None:
        self.factor = factor

    def __repr__(self) -> str:
        return "batch" if self.factor == 1 else f"{self.factor} * batch"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Samples) and other.factor == self.factor

    def __hash__(self) -> int:
        return hash(("batch", self.factor))

    def __mul__(self, other: object) -> Samples:
        if isinstance(other, int | float) and other == int(other) and 0 < other < MAX_NUMBER:
            return Samples(self.factor * int(other))
        raise RefusedError(f"computes with the size of the batch ({self} * {other})")

    __rmul__ = __mul__

    def divided(self, other: object) -> object:
        """The quotient by a divisor of the factor, or by another multiple of the batch."""
        if isinstance(other, Samples) and self.factor % other.factor == 0:
            return self.factor // other.factor
        if isinstance(other, int) and other > 0 and self.factor % other == 0:
            return Samples(self.factor // other)
        raise RefusedError(f"computes with the size of the batch ({self} / {other})")


class Known(NamedTuple):
    """Known numbers.

    Attributes:
        numbers: Python numbers and `Samples`, in an array of any rank.
    """

    numbers: Numbers

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor."""
        return tuple(self.numbers.shape)

    def flat(self) -> list[Any]:
        """The numbers in order."""
        return list(self.numbers.ravel())

    def integers(self) -> list[int]:
        """The numbers, if all are integers."""
        numbers = self.flat()
        if not all(isinstance(number, int) for number in numbers):
            raise RefusedError(f"needs integers, and has {numbers[:8]}")
        return [int(number) for number in numbers]


def known(numbers: Any, shape: tuple[int, ...] | None = None) -> Known:
    """Numbers in a list or an array as a known tensor of a shape; a vector by default."""
    flat = list(numbers)
    if len(flat) > MAX_KNOWN:
        raise RefusedError(f"gives {len(flat)} numbers of a shape; at most {MAX_KNOWN} are computed")
    for number in flat:
        if isinstance(number, int) and abs(number) > 1 << 63:
            raise RefusedError("gives an integer of more than 64 bits")
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return Known(array.reshape((len(flat),) if shape is None else shape))


def elementwise(operation: str, values: list[Known]) -> Known:
    """The result of an operator on each number, with the broadcasting of numpy."""
    compute = ELEMENTWISE[operation]
    try:
        arrays = np.broadcast_arrays(*[value.numbers for value in values])
    except ValueError:
        raise RefusedError("has inputs whose shapes do not fit each other") from None
    if arrays[0].size > MAX_KNOWN:
        raise RefusedError(f"gives {arrays[0].size} numbers of a shape; at most {MAX_KNOWN} are computed")
    return known(
        [compute(*numbers) for numbers in zip(*[array.flat for array in arrays], strict=True)], arrays[0].shape
    )


def _numeric(compute: Callable[..., Any]) -> Callable[..., Any]:
    """An operator on plain numbers; the size of the batch is none."""

    def checked(*numbers: Any) -> Any:
        if any(isinstance(number, Samples) for number in numbers):
            raise RefusedError("computes with the size of the batch")
        try:
            return compute(*numbers)
        except (ArithmeticError, ValueError, TypeError):
            raise RefusedError(f"has no result for {', '.join(map(str, numbers))}") from None

    return checked


def _divided(first: Any, second: Any) -> Any:
    if isinstance(first, Samples):
        return first.divided(second)
    if isinstance(first, int) and isinstance(second, int) and second:
        quotient = abs(first) // abs(second)
        return quotient if (first < 0) == (second < 0) else -quotient
    return _numeric(operator.truediv)(first, second)


def _times(first: Any, second: Any) -> Any:
    if isinstance(first, Samples) or isinstance(second, Samples):
        return first * second
    return _numeric(operator.mul)(first, second)


def _equal(first: Any, second: Any) -> bool:
    return bool(first == second)


def _chosen(condition: Any, first: Any, second: Any) -> Any:
    return first if condition else second


ELEMENTWISE: Mapping[str, Callable[..., Any]] = {
    "Add": _numeric(operator.add),
    "Sub": _numeric(operator.sub),
    "Mul": _times,
    "Div": _divided,
    "Mod": _numeric(operator.mod),
    "Pow": _numeric(lambda base, exponent: base**exponent if abs(exponent) < 64 else math.pow(base, exponent)),
    "Neg": _numeric(operator.neg),
    "Abs": _numeric(abs),
    "Floor": _numeric(lambda number: float(math.floor(number))),
    "Ceil": _numeric(lambda number: float(math.ceil(number))),
    "Sqrt": _numeric(math.sqrt),
    "Min": _numeric(min),
    "Max": _numeric(max),
    "Equal": _equal,
    "Less": _numeric(operator.lt),
    "Greater": _numeric(operator.gt),
    "And": _numeric(lambda first, second: bool(first and second)),
    "Or": _numeric(lambda first, second: bool(first or second)),
    "Not": _numeric(operator.not_),
    "Where": _chosen,
}
"""Operator of ONNX -> its result for one number of each input."""
