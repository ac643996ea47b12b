"""Arithmetic on columns: what Python computes for each candidate, or a candidate that is taken out."""

from __future__ import annotations

import math
import re
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from space_oracle import space_from

from resnext_dsl.columns.arithmetic import LARGEST, SMALL, Column, column
from resnext_dsl.columns.binding import ColumnEvaluator
from resnext_dsl.columns.lanes import DeadError, Lanes, NoClosedFormError
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.semantics.values import Environment, List
from resnext_dsl.syntax.parse import parse

GONE = "gone"
"""Stands for the value of a candidate that has none."""


def expression(text: str) -> Any:
    return parse(text_source(f"let value = ({text})", "<test>", DEFAULTS)).items[0].value  # type: ignore[union-attr]


def one_by_one(text: str, values: dict[str, list[Any]]) -> list[Any]:
    """The value of an expression for each combination, as single networks have it."""
    written, found = expression(text), []
    for row in product(*values.values()):
        env = Environment(None, dict(zip(values, row, strict=True)))
        try:
            found.append(Interpreter(DEFAULTS).evaluate(written, env))
        except ArchError:
            found.append(GONE)
    return found


def together(text: str, values: dict[str, list[Any]]) -> tuple[list[Any], list[bool]]:
    """The same by one run on columns, and which combinations overflowed."""
    lanes = Lanes(len(values), 10**6)
    shape = tuple(map(len, values.values()))
    env = Environment()
    for place, (name, numbers) in enumerate(values.items()):
        along = [1] * len(values)
        along[place] = len(numbers)
        env.names[name] = column(lanes, np.array(numbers).reshape(along))
    found = np.full(shape, GONE, dtype=object)
    written = expression(text)
    evaluator = ColumnEvaluator(DEFAULTS, lanes)
    try:
        outcomes = lanes.explore(lambda: evaluator.evaluate(written, env))
    except DeadError:
        outcomes = []
    for mask, value in outcomes:
        _fill(found, np.broadcast_to(mask, shape), value)
    return list(found.ravel()), list(np.broadcast_to(lanes.overflowed, shape).ravel())


def _fill(found: Any, mask: Any, value: Any) -> None:
    for place in zip(*np.nonzero(mask), strict=True):
        assert found[place] == GONE, "two ways for one candidate"
        found[place] = _at(value, mask.shape, place)


def _at(value: Any, shape: Any, place: Any) -> Any:
    if type(value) is Column:
        return np.broadcast_to(value.values, shape)[place].item()
    return List(_at(item, shape, place) for item in value) if isinstance(value, List) else value


def agree(text: str, values: dict[str, list[Any]]) -> None:
    """Asserts that columns compute what Python does, types included, and overflow only where 64 bits end."""
    wanted = one_by_one(text, values)
    found, overflowed = together(text, values)
    for row, want, got, over in zip(product(*values.values()), wanted, found, overflowed, strict=True):
        if over:
            assert got == GONE, (text, row)
        else:
            assert repr(_unsigned(got)) == repr(_unsigned(want)), (text, row)


def _unsigned(value: Any) -> Any:
    """A value whose zeros have no sign: nothing in the language tells."""
    return value + 0.0 if isinstance(value, float) else value


INTS = [0, 1, -1, 2, 3, -3, 7, 8, 10, 1000, -64]
FLOATS = [0.0, -0.0, 1.0, -1.0, 0.5, 2.5, -2.5, 3.5, 0.1, 1e-3, 100.7, 1e300, -1e300, 1e-300, 2.0**53, 4e18]


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "//", "%", "**", "<", "<=", ">", ">=", "==", "!="])
@pytest.mark.parametrize(
    ("left", "right"), [(INTS, INTS), (INTS, FLOATS), (FLOATS, INTS), (FLOATS, FLOATS)], ids=["ii", "if", "fi", "ff"]
)
def test_every_operator_on_every_pair(sign: str, left: list[Any], right: list[Any]) -> None:
    agree(f"a {sign} b", {"a": left, "b": right})
    agree(f"a {sign} 3", {"a": left})
    agree(f"2.5 {sign} b", {"b": right})


@pytest.mark.parametrize("numbers", [INTS, FLOATS], ids=["ints", "floats"])
@pytest.mark.parametrize("name", ["round", "floor", "ceil", "abs", "sqrt", "log2", "-", "min", "max", "sum"])
def test_every_function_of_one_number(name: str, numbers: list[Any]) -> None:
    agree(f"{name}([a, 2])" if name in ("min", "max", "sum") else f"{name}(a)", {"a": numbers})


@pytest.mark.parametrize("numbers", [INTS, FLOATS], ids=["ints", "floats"])
def test_the_nearest_multiple(numbers: list[Any]) -> None:
    agree("divisible(a, b)", {"a": numbers, "b": [1, 8, 3, 0, -1, 1000]})


@pytest.mark.parametrize(
    "text",
    [
        "[4, 8, 12][a]",
        "[a, b, 3][b]",
        "range(a, b)",
        "len(range(a))",
        "count([a, b, 3], a)",
        "[x * a for x in range(b) if x != a]",
        "sum([x if x > a else b for x in [1, 2, 3]])",
        "a if a > b else b if a > 0 else a / b",
        "a > 0 and b // a > 1 or not a == b",
        "max(a, b, 2) - min(a, b) + sum([a, b])",
        "[a, b] == [b, a]",
        "a x b == 2 x 3",
        "a == true",
        "[a] + [b]",
        "8 // (a - a)",
    ],
)
def test_what_depends_on_the_values(text: str) -> None:
    numbers = [-3, 0, 1, 2, 3, 7]
    agree(text, {"a": numbers, "b": numbers})


WIDE = [0, 1, -1, 3, 2**31, -(2**31), 2**53, 2**53 + 1, 2**62, LARGEST, -LARGEST]


@pytest.mark.parametrize(
    "text",
    [
        "a + b",
        "a - b",
        "a * b",
        "a // b",
        "a % b",
        "a / b",
        "a * b // 3",
        "a * 1.5",
        "a < b * 0.5",
        "-a",
        "abs(a) - b",
        "a ** 2",
    ],
)
def test_what_leaves_64_bits_is_taken_out(text: str) -> None:
    agree(text, {"a": WIDE, "b": WIDE})
    found, overflowed = together("a * b", {"a": WIDE, "b": WIDE})
    wanted = one_by_one("a * b", {"a": WIDE, "b": WIDE})
    for got, over, want in zip(found, overflowed, wanted, strict=True):
        if want != GONE and abs(want) > LARGEST:
            assert over
        elif want != GONE and abs(want) < 2**62:
            assert got == want


def test_what_only_some_have_does_not_take_the_others_out() -> None:
    _, overflowed = together("a * a if a < 1000 else 5", {"a": [1, 10, LARGEST]})
    assert not any(overflowed)


@pytest.mark.parametrize("text", ["a > 10 ** 20", "10 ** 20 >= a", "a == 2 ** 64", "a != 2 ** 80", "a < -(10 ** 20)"])
@pytest.mark.parametrize("numbers", [WIDE, [1.0, 1e30, 1e20, -1e30, 2.0**64]], ids=["ints", "floats"])
def test_comparison_with_what_is_beyond_64_bits(text: str, numbers: list[Any]) -> None:
    agree(text, {"a": numbers})


def test_as_many_numbers_as_there_may_be_paths_are_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnext_dsl.columns.arithmetic.PATHS", 3)
    agree("len(range(a))", {"a": [1, 5, 2, 5]})
    with pytest.raises(NoClosedFormError, match="a step needs each of 4 numbers by itself"):
        together("len(range(a))", {"a": [1, 5, 2, 4]})


def test_a_float_that_no_large_int_is() -> None:
    with pytest.raises(NoClosedFormError, match="no float is equal"):
        together("a < 10 ** 25 + 1", {"a": [1.0, 1e30]})


SPECIAL = [1.0, -0.0, math.nan, math.inf, -math.inf, 1e308]


@pytest.mark.parametrize(
    "text",
    [
        "a + 1",
        "a * b",
        "a - b",
        "round(a)",
        "a > b",
        "a == b",
        "max(a, b)",
        "a * 10 > b",
        "floor(a) + ceil(b)",
        "a / b",
        "a // b",
        "a % b",
        "sqrt(a)",
        "a ** b",
    ],
)
def test_what_is_no_number(text: str) -> None:
    agree(text, {"a": SPECIAL, "b": SPECIAL})


def test_what_is_no_number_is_no_overflow() -> None:
    assert together("round(a)", {"a": SPECIAL}) == ([1, 0, GONE, GONE, GONE, GONE], [False] * 5 + [True])


def _deeper(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    infix = st.sampled_from(["+", "-", "*", "/", "//", "%", "<", "<=", "==", "!=", "and", "or"])
    functions = st.sampled_from(["round", "floor", "ceil", "abs", "sqrt", "-", "not "])
    return st.one_of(
        st.tuples(inner, infix, inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(functions, inner).map(lambda t: f"({t[0]}({t[1]}))"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        st.tuples(inner, inner).map(lambda t: f"[{t[0]}, {t[1]}]"),
        st.tuples(inner, inner).map(lambda t: f"{t[0]}[{t[1]}]" if t[0].startswith("[") else f"max({t[0]}, {t[1]})"),
        st.tuples(inner, inner).map(lambda t: f"sum([{t[0]}, {t[1]}])"),
        st.tuples(inner, st.sampled_from("123")).map(lambda t: f"(({t[0]}) ** {t[1]})"),
        inner.map(lambda text: f"divisible({text}, 8)"),
        inner.map(lambda text: f"sum([x * 2 for x in [1, 2, 3] if x < {text}] + [0])"),
    )


leaves = st.sampled_from(["a", "b", "x", "f", "a", "b", "x", "0", "1", "2", "3", "0.5", "2.5", "true"])
expressions = st.recursive(leaves, _deeper, max_leaves=8)
ints = st.lists(
    st.integers(-20, 100) | st.sampled_from([0, 1, 2**31, 2**62, -LARGEST]), min_size=2, max_size=4, unique=True
)
floats = st.lists(
    st.floats(-100, 100) | st.sampled_from([0.0, 0.5, 1e200, -1e300, math.inf, math.nan]),
    min_size=2,
    max_size=3,
    unique=True,
)


@settings(max_examples=150)
@given(expressions, ints, ints, floats)
@example("round(x)", [0, 1], [0, 1], [math.inf, 1.0])
@example("((a * b) // b)", [1, 2**62], [3, 4], [0.5, 1.5])
def test_any_expression(text: str, a: list[int], b: list[int], x: list[float]) -> None:
    values = {"a": a, "b": b, "x": x, "f": [True, False]}
    try:
        agree(text, values)
    except NoClosedFormError as problem:
        if not re.search("64 bits|equal", str(problem)):
            raise


def test_a_list_of_columns_is_bound_without_a_path_for_each_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def settle(_: Column) -> Any:
        raise AssertionError("a column took a path for one of its numbers")

    monkeypatch.setattr(Column, "_settle", settle)
    space = space_from(
        "network n { input x: 3x8x8\n param widths = [4, 8]; param kernel = 3x3\n"
        "conv(widths[0], kernel); conv(widths[1], 1x1) }"
    )
    first, second = np.arange(1, 21), np.arange(20, 0, -1)
    found = space.cost({"widths": np.stack([first, second], axis=1)})
    assert found.method == "closed form"
    assert found.valid.all()
    assert (found.params == 27 * first + first * second).all()
    found = space.cost({"kernel": np.array([[1, 1], [3, 1], [1, 5], [3, 3]])})
    assert found.params.tolist() == [3 * 4 * area + 32 for area in (1, 3, 5, 9)]


# More numbers than a column that is cached by its content has: their bound is carried along, not computed from them.
MANY = [*range(1, SMALL + 1), 2**31, 2**62 - 1, 2**62, 2**62 + 1, LARGEST - 1, LARGEST, -(2**62) - 1, -LARGEST]


@pytest.mark.parametrize(
    "text",
    [
        "a + a",
        "a + 1 + 1",
        "a - (-a)",
        "a * 2",
        "(-a) * 2",
        "abs(a) + abs(a)",
        "a // 1 * 2",
        "a // (-1) + a // (-1)",
        "a % 9223372036854775807 * 2",
        "(a if a > 4000 else 7) * 2",
        "(7 if a < 4000 else a) * 2",
        "max(a, 3) * 2",
        "min(a, -1) - a",
        "sum([a, a])",
        "a ** 1 * 2",
        "a ** 2 + a ** 2",
        "round(a * 1.0) * 2",
        "[a, 1][0] * 2",
    ],
)
def test_many_numbers_near_the_end_of_64_bits_are_found_out(text: str) -> None:
    wanted = one_by_one(text, {"a": MANY})
    found, overflowed = together(text, {"a": MANY})
    for number, want, got, over in zip(MANY, wanted, found, overflowed, strict=True):
        if over:
            assert got == GONE, number
            assert abs(number) > 2**30, number
        else:
            assert got == want, number
            assert abs(got) <= LARGEST, number


def test_a_width_of_many_candidates_from_two_branches_is_found_out() -> None:
    """The width is merged from two branches, the first with small numbers; its bound is that of the second."""
    widths = [*range(1, SMALL + 2), 2**20, 2**30, 2**31 - 1]
    space = space_from(
        """network n {
        input image: 1x2x2
        param a = 1
        if a < 5 { conv(7, 1x1) } else { conv(a, 1x1) }
        conv(2147483647, 1x1)
    }"""
    )
    found = space.cost({"a": widths})
    for width, flops, over in zip(widths, found.flops.tolist(), found.overflowed.tolist(), strict=True):
        first = 7 if width < 5 else width
        wanted = 4 * first + 4 * first * (2**31 - 1)
        assert (flops, over) == ((wanted, False) if wanted <= LARGEST else (0, True)), width
