"""The operator table: every operator that the language knows, one row each.

A row says what an operator takes, what shape it gives, which torch module or expression it is, and what it costs.
The rooms hold the rows by kind; adding an operator is adding a row to one of them.
"""

from __future__ import annotations

from resnext_dsl.operators import (
    activation,
    convolution,
    merge,
    normalization,
    pooling,
    regularization,
    scaling,
    shaping,
)
from resnext_dsl.operators.arguments import AttributeField, arguments_of, validate, value_text
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, RuleError, Shape
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import shape_text

_ROOMS = (convolution, normalization, activation, pooling, merge, regularization, scaling, shaping)

OPERATORS: dict[str, Operator] = {row.name: row for room in _ROOMS for row in room.ROWS}
"""Every row by name, in the order of the reference."""

SYMBOLS: frozenset[str] = frozenset(
    word for row in OPERATORS.values() for argument in arguments_of(row.attributes) for word in argument.words
)
"""Every option word that some argument takes: `global`, `same`, `nearest` ..."""

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
