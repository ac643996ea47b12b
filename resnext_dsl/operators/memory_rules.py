"""The memory of an operator: the part of a row that states which values are alive while it runs and after it.

The rules describe torch on the CPU in eager mode. They count values between operator calls. The workspaces that a
library allocates inside one call do not count. The rules are pure integer functions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape


class ScalarCount(NamedTuple):
    """A number of scalars: `elements` of the network's number type, and `indices` of 64 bits."""

    elements: int = 0
    indices: int = 0

    def bytes(self, width: int) -> int:
        """Its bytes if an element takes `width` bytes."""
        return self.elements * width + self.indices * 8


class TrainingStep(NamedTuple):
    """How an operator runs in a training step.

    Attributes:
        batch: Number of samples.
        inplace: Whether it overwrites its input.
        gradients: For each input, whether a gradient flows back through it.
    """

    batch: int
    inplace: bool
    gradients: tuple[bool, ...]


class Saved(NamedTuple):
    """The values that autograd keeps for the backward of an operator, apart from parameters and buffers.

    Attributes:
        inputs: Positions of the inputs that it keeps.
        output: Whether it keeps its result.
        extra: Further scalars that it keeps: statistics, masks, indices, intermediate values.
    """

    inputs: tuple[int, ...] = ()
    output: bool = False
    extra: ScalarCount = ScalarCount()


SaveRule = Callable[[Any, tuple[Shape, ...], TrainingStep], Saved]


class MemoryRules(NamedTuple):
    """The memory rules of an operator.

    Attributes:
        saves: (attributes, input shapes, run) -> the values that a training step keeps if a gradient flows through it.
        view: (attributes, input shapes, training) -> whether the result shares the memory of the first input.
        scratch: (attributes, input shapes, batch) -> the peak of temporary scalars of a module in inference, beside
            its result. For expressions, the dry run of their text counts them.
        buffers: (attributes, input shapes) -> scalars that its module keeps and does not learn.
    """

    saves: SaveRule
    view: Callable[[Any, tuple[Shape, ...], bool], bool] = lambda attributes, inputs, training: False
    scratch: Callable[[Any, tuple[Shape, ...], int], ScalarCount] = lambda attributes, inputs, batch: ScalarCount()
    buffers: Callable[[Any, tuple[Shape, ...]], ScalarCount] = lambda attributes, inputs: ScalarCount()


def saves_nothing(attributes: Any, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """The save rule of operators that move, add or average: their gradient needs no value."""
    return Saved()


def saves_input(attributes: Any, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """The save rule of operators with a weight, and of non-linear functions whose slope needs the input."""
    return Saved(inputs=(0,))


def saves_output(attributes: Any, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """The save rule of functions whose slope follows from their result."""
    return Saved(output=True)


def is_view(attributes: Any, inputs: tuple[Shape, ...], training: bool) -> bool:
    """The view rule of operators whose result is a view of their input."""
    return True


def is_view_in_inference(attributes: Any, inputs: tuple[Shape, ...], training: bool) -> bool:
    """The view rule of operators that act in training only."""
    return not training


NOTHING_SAVED = MemoryRules(saves_nothing)
INPUT_SAVED = MemoryRules(saves_input)
OUTPUT_SAVED = MemoryRules(saves_output)
VIEW = MemoryRules(saves_nothing, view=is_view)
