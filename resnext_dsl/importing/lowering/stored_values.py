"""Stored tensors as arguments, and values that no operator computes alone.

A `Weight` is a stored tensor with the steps that shape it. A `CallFormula` is a call whose result is not a node yet:
`patterns` knows some formulas as one operator. `TensorSource` tells how a tensor of our module comes from the source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import RuleError, Shape
from resnext_dsl.operators.readings import UNREADABLE

Step = tuple[str, tuple[int, ...]]
"""A step that shapes a tensor.

("reshape", sizes), ("permute", axes), ("narrow", (axis, start, length)) or ("expand", sizes).
"""


class TensorSource(NamedTuple):
    """How a tensor of our module comes from the tensors of the source.

    Attributes:
        key: The key of the tensor in the source.
        steps: The steps that shape it, in order.
    """

    key: str
    steps: tuple[Step, ...] = ()


class Weight(NamedTuple):
    """A stored tensor as an argument, after the steps that shape it."""

    key: str
    shape: Shape
    steps: tuple[Step, ...] = ()

    def then(self, name: str, numbers: tuple[int, ...], shape: Shape) -> Weight:
        """The tensor after one more step."""
        return Weight(self.key, shape, (*self.steps, (name, numbers)))

    def source(self, shape: Shape) -> TensorSource:
        """The source of a tensor of our module with this shape.

        Raises:
            RuleError: E610 if the tensor has other sizes.
        """
        if shape == self.shape:
            return TensorSource(self.key, self.steps)
        if [size for size in shape if size != 1] != [size for size in self.shape if size != 1]:
            message = f"the tensor `{self.key}` has the shape {list(self.shape)}, and its operator needs {list(shape)}"
            raise RuleError(UNREADABLE, message)
        return TensorSource(self.key, (*self.steps, ("reshape", shape)))


class CallFormula(NamedTuple):
    """A call whose result is not a node: its operation, its arguments, and its position among the calls."""

    operation: str
    arguments: Mapping[str, Any]
    call: int

    @property
    def operands(self) -> tuple[Any, ...]:
        """The arguments that are values, in order."""
        return tuple(self.arguments.values())


class UnknownValue(NamedTuple):
    """The result of a call that cannot be lowered; calls that read it are not reported again."""

    call: int
