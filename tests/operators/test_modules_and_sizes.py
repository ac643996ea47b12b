"""The modules of operators depend on height and width only where columns of shared instances know it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_cases import CASES

from resnext_dsl.columns.instance_uses import SIZED
from resnext_dsl.operators import OPERATORS, Attributes, Operator, Shape, validate
from resnext_dsl.operators.base import RuleError


@pytest.mark.parametrize("operator", OPERATORS)
@settings(max_examples=20)
@given(st.data())
def test_a_module_depends_on_height_and_width_only_if_columns_know_it(operator: str, data: st.DataObject) -> None:
    row, more = OPERATORS[operator], data.draw(st.tuples(*[st.integers(0, 9)] * 3))
    arguments, small = data.draw(CASES[operator])
    large = tuple((shape[0], *(side + extra for side, extra in zip(shape[1:], more, strict=False))) for shape in small)
    attributes = validate(row, dict(arguments), small[0])
    if operator in SIZED or not all(_fits(row, attributes, shapes) for shapes in (small, large)):
        return
    assert row.algebra.tensors(attributes, small) == row.algebra.tensors(attributes, large)
    assert row.source(attributes, small) == row.source(attributes, large)


def _fits(row: Operator, attributes: Attributes, shapes: tuple[Shape, ...]) -> bool:
    try:
        row.shape(attributes, shapes)
    except RuleError:
        return False
    return True
