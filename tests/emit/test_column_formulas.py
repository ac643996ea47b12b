"""Formulas of columns of numbers: each has the value of the column in every row that has one, by Python's own reading."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resnext_dsl.emit.patterns.pattern_tree import ABSENT, Slot
from resnext_dsl.emit.text.column_formulas import formula
from resnext_dsl.emit.text.value_columns import agree

numbers = st.integers(0, 12)
rows = st.lists(st.tuples(numbers, numbers, numbers | st.just(ABSENT)), min_size=1, max_size=3)


@settings(max_examples=200)
@given(rows)
@example([(7, 3, 3), (9, 4, 4)])
@example([(6, 2, 3), (8, 4, ABSENT)])
@example([(0, 5, 5), (0, 3, 3)])
def test_a_formula_has_the_value_of_each_row(table: list[tuple[int, int, int]]) -> None:
    a, b, column = (list(values) for values in zip(*table, strict=True))
    if all(value is ABSENT for value in column):
        return
    found = formula(Slot(tuple(column)), {"a": Slot(tuple(a)), "b": Slot(tuple(b))})
    if found is None:
        return
    for one, other, value in table:
        assert value is ABSENT or eval(found.text, {}, {"a": one, "b": other}) == value
    assert set(found.names) == {name for name in "ab" if name in found.text}


@pytest.mark.parametrize(
    ("column", "text"),
    [
        ((14, 18), "w * 2"),
        ((7, 9), None),  # the column itself is no formula
        ((3, 4), "w // 2"),
        ((2, 3), None),  # a third with a remainder
        ((21, ABSENT), "w * 3"),
        ((5, 7), "w - in_channels"),
        ((9, 11), "in_channels + w"),
        ((14, 18, 2), None),
    ],
)
def test_formulas_of_one_column_come_first_and_only_a_half_has_a_remainder(
    column: tuple[int, ...], text: str | None
) -> None:
    integers = {"w": Slot((7, 9, 11)[: len(column)]), "in_channels": Slot((2, 2, 5)[: len(column)])}
    found = formula(Slot(column), integers)
    assert (found and found.text) == text


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_a_sum_and_a_product_name_their_columns_in_order(names: str) -> None:
    values = {"a": (2, 5, 7), "b": (3, 3, 11)}
    integers = {name: Slot(values[name]) for name in names}
    for column, text in (((5, 8, 18), "a + b"), ((6, 15, 77), "a * b"), ((1, -2, 4), "b - a")):
        found = formula(Slot(column), integers)
        assert found is not None
        assert found.text == text


def test_a_column_agrees_with_one_that_has_its_values_and_more() -> None:
    """The order of the two matters: a row without a value in the first asks for nothing."""
    some, whole = Slot((1, ABSENT, 3)), Slot((1, 2, 3))
    assert agree(some, whole)
    assert not agree(whole, some)
    assert agree(whole, whole)
    assert not agree(Slot((1, 2, 4)), whole)
    assert not agree(Slot((True, 2, 3)), whole)  # 1 and true are equal, and are other literals
