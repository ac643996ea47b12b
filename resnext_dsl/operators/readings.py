"""How the calls of other libraries are read: the part of a row that names ATen operators and maps their arguments.

A `Reading` names the ATen operators that an operator of the language computes, and the axes that it works on. Its rule
turns the arguments of a call into attributes. `importing` finds the calls and gives them to the rules.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import RuleError, Shape
from resnext_dsl.operators.ranks import Sides, rank_of

UNREADABLE = "E610"
"""The code of an operation or argument that the language cannot express."""


class OtherRowError(RuleError):
    """The operator does not compute this call; another row may."""

    def __init__(self, message: str) -> None:
        super().__init__(UNREADABLE, message)


class CallArguments:
    """The arguments of a call, of which a rule takes one after another.

    Attributes:
        operation: The name of the ATen operator.
        shape: The shape of the value that the operator is applied to.
        tensors: The shapes of the tensors of the call, by the names of the operator's fields.
    """

    def __init__(self, operation: str, arguments: Mapping[str, Any], shape: Shape, tensors: Mapping[str, Shape]):
        self.operation, self.shape, self.tensors = operation, shape, tensors
        self._left = dict(arguments)

    def take(self, name: str, default: Any = None) -> Any:
        """The value of an argument, or its default in ATen."""
        value = self._left.pop(name, None)
        return default if value is None else value

    def has(self, name: str) -> bool:
        """Whether the call states an argument."""
        return self._left.get(name) is not None

    def is_word(self, name: str) -> bool:
        """Whether an argument is a word."""
        return isinstance(self._left.get(name), str)

    def sides(self, name: str, default: int = 0) -> Sides:
        """A number for each side of the map, from one number or a list; an empty list stands for the default."""
        value = self.take(name, default)
        numbers = tuple(value) if isinstance(value, Sequence) else (value,)
        numbers = numbers or (default,)
        return numbers * rank_of(self.shape) if len(numbers) == 1 else numbers

    def number(self, name: str, default: float) -> float:
        """A number as a float."""
        return float(self.take(name, default))

    def only(self, name: str, expected: Any, default: Any) -> None:
        """Takes an argument that must have one value.

        Raises:
            RuleError: E610 if it has another value.
        """
        value = self.take(name, default)
        single = value[0] if isinstance(value, Sequence) and len(value) == 1 else value
        if single != expected:
            raise refused(self.operation, name, value)

    def finish(self) -> None:
        """Checks that no argument is left over.

        Raises:
            RuleError: E610 for the first argument that the rule did not take.
        """
        for name, value in self._left.items():
            if value is not None and name not in EFFECTLESS:
                raise refused(self.operation, name, value)


EFFECTLESS = frozenset({"cudnn_enabled", "cudnn_enable", "inplace", "memory_format", "non_blocking", "copy"})
"""Arguments that choose how a result is computed or stored, and not which."""


def refused(operation: str, argument: str, value: object) -> RuleError:
    """The error for an argument that has no counterpart in the language."""
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return RuleError(UNREADABLE, f"`{operation}` with `{argument}={text}` has no operator in the language")


ArgumentRule = Callable[[CallArguments], Mapping[str, Any]]


class Reading(NamedTuple):
    """The ATen operators that an operator of the language computes.

    Attributes:
        operations: Their names, without overloads.
        attributes: (arguments) -> attributes of the row; raises `RuleError`. None if the operator follows from how a
            value is viewed, sliced or joined.
        axes: The axes that the operator works on. Channels and then sides, in the order of the language ("map").
            Channels along axis 1 ("channels"), the last axis ("last") or the axis of the argument `dim` ("dim"). Then
            other axes may have any order. No axes ("elements").
        tensors: Pairs of a field of the operator's module and the argument that gives its tensor.
    """

    operations: tuple[str, ...]
    attributes: ArgumentRule | None
    axes: Literal["map", "channels", "last", "dim", "elements"] = "map"
    tensors: tuple[tuple[str, str], ...] = ()


def plain(*operations: str, axes: Literal["map", "channels", "last", "dim", "elements"] = "elements") -> Reading:
    """The reading of operators without attributes."""
    return Reading(operations, lambda call: {}, axes)


def implied(*operations: str) -> Reading:
    """The reading of an operator that follows from how a value is viewed, sliced or joined."""
    return Reading(operations, None)


def by_ranks(*names: str) -> tuple[str, ...]:
    """The operators of signals, images and clips: `conv` gives conv1d, conv2d and conv3d."""
    return tuple(f"{name}{rank}d" for name in names for rank in (1, 2, 3))


WEIGHT_AND_BIAS = (("weight", "weight"), ("bias", "bias"))


def read_affine(call: CallArguments) -> bool:
    """Whether a norm has both weight and bias.

    Raises:
        RuleError: E610 if it has one of them only.
    """
    present = [name for name in ("weight", "bias") if name in call.tensors]
    if len(present) == 1:
        missing = "bias" if present == ["weight"] else "weight"
        message = f"`{call.operation}` with `{present[0]}` and without `{missing}` has no operator in the language"
        raise RuleError(UNREADABLE, message)
    return bool(present)


def is_global(size: Any, shape: Shape) -> bool:
    """Whether an output size of adaptive pooling is 1 on every side."""
    numbers = tuple(size) if isinstance(size, Sequence) else (size,)
    return all(number == 1 or (number is None and side == 1) for number, side in _pairs(numbers, shape))


def _pairs(numbers: Sequence[Any], shape: Shape) -> list[tuple[Any, int]]:
    sides = shape[1:]
    numbers = tuple(numbers) * len(sides) if len(numbers) == 1 else numbers
    return list(zip(numbers, sides, strict=True))


def output_size(size: Any, shape: Shape) -> Sides:
    """The output size of adaptive pooling; None stands for the size of the input."""
    numbers = tuple(size) if isinstance(size, Sequence) else (size,)
    return tuple([side if number is None else number for number, side in _pairs(numbers, shape)])


def is_near(value: float, other: float) -> bool:
    """Whether two numbers are equal up to rounding."""
    return math.isclose(value, other, rel_tol=1e-9)


RESIZING = (*by_ranks("upsample_nearest"), "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")
"""ATen's operators of resizing that the language has."""


def read_interpolation(call: CallArguments) -> tuple[str, bool]:
    """The mode of resizing in the language, and whether corners are aligned."""
    mode = "nearest" if "nearest" in call.operation else "bilinear"
    call.only("antialias", False, False)
    return mode, bool(call.take("align_corners", False))
