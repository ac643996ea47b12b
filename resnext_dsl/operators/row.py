"""A row of the operator table: all facts about one operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.algebra import Algebra
from resnext_dsl.operators.base import Attributes, Shape
from resnext_dsl.operators.memory_rules import MemoryRules
from resnext_dsl.operators.readings import Reading

Rule = Callable[[Any, tuple[Shape, ...]], Any]


def _always(arguments: Mapping[str, Any]) -> bool:
    return True


def _no_hint(arguments: Mapping[str, Any]) -> str:
    return ""


class ImagesOnly(NamedTuple):
    """A limit of an operator to images, since torch has no module of it for signals and clips.

    Attributes:
        argument: The argument that sets the limit; "" if the operator has it whatever its arguments are.
        applies: (arguments) -> whether they set the limit; they are not checked yet.
        hint: (arguments) -> how to write the same for a signal or a clip; "" if that is impossible.
    """

    argument: str = ""
    applies: Callable[[Mapping[str, Any]], bool] = _always
    hint: Callable[[Mapping[str, Any]], str] = _no_hint


class Operator(NamedTuple):
    """One row of the table.

    Attributes:
        name: Its name in the language.
        kind: Its group in the reference and in comparisons: convolution, linear, normalization, activation,
            pooling, merge, regularization, scaling, shape.
        summary: One line for the reference.
        attributes: The class of its arguments; their meanings are its docstring.
        shape: (attributes, input shapes) -> output shape; raises `RuleError`.
        source: (attributes, input shapes) -> `ModuleCall` or `Expression`; the shapes have passed `shape`.
        parameters: (attributes, input shapes) -> learnable scalars.
        flops: (attributes, input shapes) -> FLOPs in fvcore's convention at batch 1. None, or a rule that gives None,
            if fvcore does not count the operator.
        weight_flops: (attributes, input shapes) -> the part of `flops` that transforms the weights, which fvcore counts
            as a batch norm; None if there is none.
        memory: The values that it holds in memory, in inference and for a training step.
        algebra: Its tensors and the properties that rewriting relies on.
        inputs: Fewest and most input values; None for no upper limit.
        value_name: The name that a call may give its second value, such as `like`; "" for none.
        inplace: Whether its module takes `inplace=True`. The emitter uses it if nothing else reads the input.
        overwritable: Whether the next layer may write over its result: the result has memory of its own, and the
            operator's backward does not read it. A merge of one value is that value and is never overwritable.
        commutes: Whether its inputs may change places.
        pairwise: Whether a merge combines two values at a time, so that n values take n - 1 kernel launches.
        enlarges: Whether its `stride` multiplies the size of a feature map; the stride of other operators divides it.
        fvcore: fvcore's name for it, if fvcore counts its FLOPs; `{...}` stands for an attribute.
        init_fields: Parameters of its module that an `init` rule may start.
        layer: Whether it counts as a convolution or linear layer though rewriting knows no layout of its weight.
        images_only: Its limits to images; empty if it takes signals and clips with all arguments.
        size_text: (attributes) -> its size in the table of stages, "3x3 64 /2"; None if its name is enough.
        readings: The ATen operators that it computes, for the import of networks.
    """

    name: str
    kind: str
    summary: str
    attributes: type[Attributes]
    shape: Rule
    source: Rule
    parameters: Rule
    flops: Rule | None
    memory: MemoryRules
    algebra: Algebra
    weight_flops: Rule | None = None
    inputs: tuple[int, int | None] = (1, 1)
    value_name: str = ""
    inplace: bool = False
    overwritable: bool = False
    commutes: bool = False
    pairwise: bool = False
    enlarges: bool = False
    fvcore: str = ""
    init_fields: tuple[str, ...] = ()
    layer: bool = False
    images_only: tuple[ImagesOnly, ...] = ()
    size_text: Callable[[Any], str] | None = None
    readings: tuple[Reading, ...] = ()

    @property
    def merges(self) -> bool:
        """Whether it takes any number of values, so that a split can end with it."""
        return self.inputs[1] is None

    @property
    def takes_values(self) -> bool:
        """Whether it takes other values beside the running value. Its positional arguments are values then."""
        return self.inputs[1] != 1

    @property
    def multiplies(self) -> bool:
        """Whether it is a convolution or linear layer; `macs`, `activations` and `depth` count these only."""
        return self.layer or self.algebra.weight is not None

    def activations(self, output: Shape) -> int:
        """Elements that count as activations: the outputs of convolutions and linear layers, as in fvcore."""
        return math.prod(output) if self.multiplies else 0
