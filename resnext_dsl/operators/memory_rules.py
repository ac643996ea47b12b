"""What an operator holds in memory: the part of a row that says which values live while it runs and after it.

As torch computes on the CPU, in eager mode, counted in values between operator calls: the workspaces that a library
takes inside one call are no values. Rules are pure integer functions like the others.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape


class ScalarCount(NamedTuple):
    """A number of scalars: `elements` of the network's own type, `indices` of 64 bits whatever that type is."""

    elements: int = 0
    indices: int = 0

    def bytes(self, width: int) -> int:
        """Its bytes, where an element takes `width` of them."""
        return self.elements * width + self.indices * 8


class TrainingStep(NamedTuple):
    """How an operator runs in a training step.

    Attributes:
        batch: Samples.
        inplace: Whether it writes over its input.
        gradients: Of each input, whether a gradient flows back through it.
    """

    batch: int
    inplace: bool
    gradients: tuple[bool, ...]


class Saved(NamedTuple):
    """What autograd keeps for the backward of an operator, its parameters and buffers aside.

    Attributes:
        inputs: Places of the inputs that it keeps.
        output: Whether it keeps its result.
        made: What it keeps beside these: statistics, masks, indices, values between its steps.
    """

    inputs: tuple[int, ...] = ()
    output: bool = False
    made: ScalarCount = ScalarCount()


SaveRule = Callable[[Any, tuple[Shape, ...], TrainingStep], Saved]


class MemoryRules(NamedTuple):
    """The memory rules of an operator.

    Attributes:
        saves: (attributes, input shapes, run) -> what a training step keeps where a gradient flows through it.
        view: (attributes, input shapes, training) -> whether the result lies in the memory of the first input.
        scratch: (attributes, input shapes, batch) -> the most that a module makes in inference and drops before it
            returns, beside its result. Expressions make what their text says.
        buffers: (attributes, input shapes) -> scalars that its module keeps and does not learn.
    """

    saves: SaveRule
    view: Callable[[Any, tuple[Shape, ...], bool], bool] = lambda attributes, inputs, training: False
    scratch: Callable[[Any, tuple[Shape, ...], int], ScalarCount] = lambda attributes, inputs, batch: ScalarCount()
    buffers: Callable[[Any, tuple[Shape, ...]], ScalarCount] = lambda attributes, inputs: ScalarCount()


def saves_nothing(attributes: Any, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """What moves, sums or averages: its gradient needs no value."""
    return Saved()


def saves_input(attributes: Any, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """What multiplies by a weight, or bends its input by what that is."""
    return Saved(inputs=(0,))


def saves_output(attributes: Any, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    """Functions whose slope follows from their value."""
    return Saved(output=True)


def is_view(attributes: Any, inputs: tuple[Shape, ...], training: bool) -> bool:
    """View rule of what only looks at its input in another way."""
    return True


def is_view_in_inference(attributes: Any, inputs: tuple[Shape, ...], training: bool) -> bool:
    """View rule of what acts in training only."""
    return not training


NOTHING_SAVED = MemoryRules(saves_nothing)
INPUT_SAVED = MemoryRules(saves_input)
OUTPUT_SAVED = MemoryRules(saves_output)
VIEW = MemoryRules(saves_nothing, view=is_view)
