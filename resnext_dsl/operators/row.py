"""A row of the operator table: everything that the package knows of one operator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.algebra import Algebra
from resnext_dsl.operators.base import Attributes, Shape
from resnext_dsl.operators.memory_rules import MemoryRules

Rule = Callable[[Any, tuple[Shape, ...]], Any]


class Operator(NamedTuple):
    """One row of the table.

    Attributes:
        name: Its name in the language.
        kind: What cost reports and weights group it under: convolution, linear, normalization, activation,
            pooling, merge, regularization, scaling, shape.
        summary: One line for the reference.
        attributes: The pydantic model of its arguments.
        shape: (attributes, input shapes) -> output shape; raises `RuleError`.
        source: (attributes, input shapes) -> `Module` or `Expression`; the shapes have passed `shape`.
        parameters: (attributes, input shapes) -> learnable scalars.
        flops: (attributes, input shapes) -> FLOPs in fvcore's convention at batch 1; None, or a rule that
            gives None, where fvcore does not count the operator.
        memory: What it holds in memory, in inference and for a training step.
        algebra: What rewriting has to know of it.
        inputs: Fewest and most input values; None for no upper limit.
        inplace: Whether its module takes `inplace=True`, for an emitter that knows that nothing else reads the input.
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
    inputs: tuple[int, int | None] = (1, 1)
    inplace: bool = False

    @property
    def merges(self) -> bool:
        """Whether it takes several values, so that its positional arguments are values."""
        return self.inputs[1] is None

    @property
    def multiplies(self) -> bool:
        """Whether it is a convolution or linear layer: what `macs`, `activations` and `depth` look at."""
        return self.kind in ("convolution", "linear")

    def activations(self, output: Shape) -> int:
        """Elements that count as activations: those that convolutions and linear layers put out, as in fvcore."""
        return math.prod(output) if self.multiplies else 0
