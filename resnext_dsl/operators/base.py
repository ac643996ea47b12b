"""What a row of the operator table is made of.

Rules (shape, parameters, FLOPs) are pure integer functions of validated attributes and input shapes: no torch, no rounding.
A shape has no batch dimension: (channels, height, width) for a map, (features,) after `flatten`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict

Shape = tuple[int, ...]
Literal_ = bool | int | float | str | tuple["Literal_", ...]


class Attributes(BaseModel):
    """Base of every operator's attributes; the order of the fields is that of positional arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RuleError(Exception):
    """A shape rule does not hold; whoever applies the rule adds place and trail.

    Attributes:
        code: A key of `diagnostics.CODES` (E301 to E304, E205).
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
        kind: What cost reports and weights group it under: convolution, linear, normalization, pooling,
            activation, merge, regularization, shape.
        summary: One line for the reference.
        attributes: The pydantic model of its arguments.
        shape: (attributes, input shapes) -> output shape; raises `RuleError`.
        source: (attributes, input shapes) -> `Module` or `Expression`.
        parameters: (attributes, input shapes) -> learnable scalars.
        flops: (attributes, input shapes) -> FLOPs in fvcore's convention at batch 1, or None where fvcore
            does not count the operator.
        inputs: Fewest and most input values; None for no upper limit.
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

    @property
    def merges(self) -> bool:
        """Whether it takes several values, so that its positional arguments are values."""
        return self.inputs[1] is None
