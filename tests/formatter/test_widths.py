"""Widths of the layout from both sides: a line of exactly 120, comments and signs at exactly the spread, and one more."""

from __future__ import annotations

import pytest

from resnext_dsl.formatter.format import ALIGN_SPREAD, format_text
from resnext_dsl.formatter.page import COMMENT_SPREAD
from resnext_dsl.foundation.source import Source


def formatted(text: str) -> str:
    return format_text(Source("<test>", text))


@pytest.mark.parametrize(("extra", "lines"), [(0, 1), (1, 3)])
def test_a_list_of_exactly_120_columns_stays_on_its_line(extra: int, lines: int) -> None:
    line = "let widths = [1000, 2000, " + "3" * 10
    line += ", " + "c" * (120 - len(line) - 3 + extra) + "]"
    assert len(line) == 120 + extra
    text = formatted(line + "\n")
    assert len(text.splitlines()) == lines
    assert max(map(len, text.splitlines())) <= 120
    assert (text == line + "\n") == (lines == 1)


@pytest.mark.parametrize(("extra", "lines"), [(0, 1), (1, 3)])
def test_a_block_of_exactly_120_columns_stays_on_its_line(extra: int, lines: int) -> None:
    line = "template unit(c) { relu; bn; conv(c, 1x1) as "
    line += "n" * (120 - len(line) - 2 + extra) + " }"
    assert len(line) == 120 + extra
    text = formatted(line + "\n")
    assert (len(text.splitlines()) == 1) == (lines == 1)
    assert max(map(len, text.splitlines())) <= 120


def columns(text: str) -> list[int]:
    """The columns of the comments."""
    return [line.index("#") for line in text.splitlines() if "#" in line]


@pytest.mark.parametrize("spread", [0, 1, COMMENT_SPREAD - 1, COMMENT_SPREAD])
def test_comments_of_lines_that_differ_by_at_most_the_spread_are_aligned(spread: int) -> None:
    text = formatted(f"template t {{\n    conv(c, 1x1) # one\n    conv(c{'0' * spread}, 1x1) # two\n}}\n")
    assert columns(text) == [len("    conv(4, 1x1)  ") + spread] * 2


def test_comments_of_lines_that_differ_by_more_are_not_aligned() -> None:
    zeros = "0" * (COMMENT_SPREAD + 1)
    text = formatted(f"template t {{\n    conv(c, 1x1) # one\n    conv(c{zeros}, 1x1) # two\n}}\n")
    assert columns(text) == [18, 18 + COMMENT_SPREAD + 1]


def test_comments_are_aligned_within_one_indent_only() -> None:
    text = formatted(
        "template t {\n    relu # one\n    silu6 # two\n    repeat 2 {\n        bn # three\n        conv(4, 1x1) # four\n"
        "    }\n    gelu # five\n}\n"
    )
    assert columns(text) == [11, 11, 22, 22, 10]


@pytest.mark.parametrize("difference", [0, 1, ALIGN_SPREAD - 1, ALIGN_SPREAD, ALIGN_SPREAD + 1])
def test_signs_are_aligned_up_to_the_spread(difference: int) -> None:
    text = formatted(f"let a = 1\nlet a{'b' * difference} = 2\n")
    first, second = (line.index("=") for line in text.splitlines())
    assert second == len("let a ") + difference
    assert first == (second if difference <= ALIGN_SPREAD else len("let a "))


@pytest.mark.parametrize("extra", [0, 1])
def test_signs_are_aligned_if_the_longest_line_has_120_columns_then(extra: int) -> None:
    value = "c" * (120 - len("let widths = ") + extra)
    text = formatted(f"let a = {value}\nlet widths = 2\n")
    assert text.splitlines()[0] == (f"let a      = {value}" if not extra else f"let a = {value}")
    assert len(text.splitlines()[0]) == (120 if not extra else 120 - len("     ") + extra)


def test_a_comment_below_with_another_indent_keeps_its_own_column() -> None:
    text = formatted("let a = b + # one\n    c # two\nlet d = 3 # three\n")
    assert text == "let a = b +  # one\n    c  # two\nlet d = 3  # three\n"


@pytest.mark.parametrize(
    "declaration", ["let b = 2", "param b = 2", "require 1 < 2", "default conv(bias=true)", "stage b { relu }"]
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_declaration_of_a_network_has_a_row_of_its_own(declaration: str, place: int) -> None:
    statements = ["relu", "gelu"]
    statements.insert(place, declaration)
    text = formatted(f"network n {{\n    input x: 3x8x8\n    {'; '.join(statements)}\n}}\n")
    rows = [line.strip() for line in text.splitlines()[2:-1] if line.strip()]
    assert (
        rows
        == {0: [declaration, "relu; gelu"], 1: ["relu", declaration, "gelu"], 2: ["relu; gelu", declaration]}[place]
    )
