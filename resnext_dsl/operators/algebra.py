"""The properties of an operator that rewriting relies on: its tensors, and its effect on concatenated values.

An operator is channel-wise if each channel of its result depends only on the same channel of its inputs. Then

    concat(f(x1), f(x2))  =  f(concat(x1, x2))

and the tensors of the two `f` are concatenated too. Rules are pure functions of attributes and shapes, like the rules
of shape and cost.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape


class Tensor(NamedTuple):
    """A tensor of an operator's module: its name there, its shape, and whether it is a parameter (else a buffer)."""

    field: str
    shape: Shape
    learned: bool = True


class WeightLayout(NamedTuple):
    """The layout of the weight of a convolution or linear layer.

    Attributes:
        width: Name of the attribute that gives the number of output channels or features.
        output_axis: The axis of the weight that the output channels lie along; 0 or 1.
    """

    width: str
    output_axis: int = 0

    @property
    def input_axis(self) -> int:
        """The axis of the weight that the input channels of a group lie along."""
        return 1 - self.output_axis


class ChannelFactors(NamedTuple):
    """How an operator in eval mode multiplies each channel by a factor and adds a shift.

    Attributes:
        formula: A key of `rewrite.carry.FORMULAS`, which computes factor and shift from the operator's tensors.
        arguments: Further arguments of the formula.
        shifts: Whether the shift can differ from 0.
    """

    formula: str
    arguments: tuple[Any, ...] = ()
    shifts: bool = False


Joined = tuple[Any, str]
"""Attributes of the operator on the concatenation, and ""; or None and the reason why there is no such operator."""

TensorRule = Callable[[Any, tuple[Shape, ...]], tuple[Tensor, ...]]
JoinRule = Callable[[Sequence[Any], Sequence[int]], Joined]


class Algebra(NamedTuple):
    """The algebra of an operator.

    Attributes:
        joined: (attributes of each operator, channels of each input) -> the one operator that computes all of them on
            the concatenation of their inputs, if they are channel-wise.
        tensors: (attributes, input shapes) -> the parameters and buffers of its module, in the order of its state_dict.
        acts: When it changes values: "always", in "training" only, or "never". An operator that never does is its
            input: expansion adds no node for it.
        sliced: (attributes, channels of its input, number of slices) -> its attributes on each of equal slices of the
            channels. It is the inverse of `joined`.
        weight: The layout of its weight, if it is a convolution or linear layer.
        factors: (attributes, channels) -> the factor and shift of each channel, if it does nothing else in eval mode.
    """

    joined: JoinRule
    tensors: TensorRule = lambda attributes, inputs: ()
    acts: Literal["always", "training", "never"] = "always"
    sliced: Callable[[Any, int, int], Joined] = lambda attributes, channels, count: (attributes, "")
    weight: WeightLayout | None = None
    factors: Callable[[Any, int], ChannelFactors] | None = None


def alike(attributes: Sequence[Any], channels: Sequence[int]) -> Joined:
    """The rule of operators that need equal attributes: the same attributes serve the concatenation."""
    first = attributes[0]
    for other in attributes[1:]:
        if other is not first and other != first:
            name, one, two = next((n, a, b) for (n, a), (_, b) in zip(first, other, strict=True) if a != b)
            return None, f"`{name}` is {one} in one path and {two} in another"
    return first, ""


def crosses(reason: str) -> Algebra:
    """The algebra of an operator that is not channel-wise and has no tensors."""
    return Algebra(
        lambda attributes, channels: (None, reason), sliced=lambda attributes, channels, count: (None, reason)
    )


CHANNELWISE = Algebra(alike)
NOTHING = Algebra(alike, acts="never")
RANDOM = Algebra(lambda attributes, channels: (None, "it draws random numbers for each path"), acts="training")
