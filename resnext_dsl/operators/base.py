"""What a row of the operator table is made of.

Rules (shape, parameters, FLOPs) are pure integer functions of validated attributes and input shapes: no torch, no
rounding. A shape has no batch dimension: (channels, height, width) for a map, (features,) after `flatten`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

Shape = tuple[int, ...]
Literal_ = bool | int | float | str | tuple["Literal_", ...]


class Attributes(BaseModel):
    """Base of every operator's attributes; the order of the fields is that of positional arguments."""

    # Pydantic's own validator is built on first use only: `arguments.validate` reads the fields without it.
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


class RuleError(Exception):
    """An argument or a shape rule does not hold; whoever applies the rule adds place and trail.

    Attributes:
        code: A key of `diagnostics.CODES` (E201, E202, E204 and E205 of arguments; E301 to E304 and E205 of shapes).
        message: One line; names in backticks, values shown.
        hint: A suggestion, or "".
        attribute: The attribute to blame, where it is one of them.
    """

    def __init__(self, code: str, message: str, hint: str = "", attribute: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.attribute = code, message, hint, attribute


@dataclass(frozen=True, slots=True)
class Module:
    """A module to construct: `nn.Conv2d(64, 128, 3, padding=1)`.

    Attributes:
        target: `nn.X`, or the name of a class of `emit.support`.
        positional: Literals of the positional arguments.
        keywords: Names and literals of the others, those at torch's default left out.
    """

    target: str
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Expression:
    """A value to compute without a module: text with `{0}`, `{1}` for the inputs and `{name}` for literals."""

    text: str
    literals: tuple[tuple[str, Any], ...] = ()


Rule = Callable[[Any, tuple[Shape, ...]], Any]


@dataclass(frozen=True, slots=True)
class Operator:
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
        flops: (attributes, input shapes) -> FLOPs in fvcore's convention at batch 1, or None where fvcore
            does not count the operator.
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
