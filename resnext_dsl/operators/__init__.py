"""The operator table: every operator that the language knows, one row each.

A row states an operator's arguments, its shape rule, its torch module or expression, its cost and every other fact
that the package needs. Each module here holds the rows of one kind. To add an operator, add a row to one of them.
"""

from __future__ import annotations

from resnext_dsl.operators import (
    activation,
    convolution,
    fixed_kernels,
    merge,
    normalization,
    pooling,
    regularization,
    scaling,
    shaping,
    spatial,
)
from resnext_dsl.operators.arguments import AttributeField, arguments_of, validate
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, RuleError, Shape, value_text
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import shape_text

_KINDS = (
    convolution,
    fixed_kernels,
    normalization,
    activation,
    pooling,
    merge,
    regularization,
    scaling,
    shaping,
    spatial,
)

OPERATORS: dict[str, Operator] = {row.name: row for kind in _KINDS for row in kind.ROWS}
"""The rows by name, in the order of the reference."""

SYMBOLS: frozenset[str] = frozenset(
    word for row in OPERATORS.values() for argument in arguments_of(row.attributes) for word in argument.words
)
"""The option words of all arguments: `global`, `same`, `nearest` ..."""

__all__ = [
    "OPERATORS",
    "SYMBOLS",
    "AttributeField",
    "Attributes",
    "Expression",
    "ModuleCall",
    "Operator",
    "RuleError",
    "Shape",
    "arguments_of",
    "shape_text",
    "validate",
    "value_text",
]
