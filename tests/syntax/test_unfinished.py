"""A closing brace where a statement goes on: the message says what is missing, and the statements after it are read."""

from __future__ import annotations

import pytest

import resnext_dsl as rx

UNFINISHED = [
    ("use", "found `}`, expected a value"),
    ("relu as", "found `}`, expected a name"),
    ("repeat", "found `}`, expected a value"),
    ("for a in", "found `}`, expected a value"),
    ("split 2 { relu }", "a split needs a merge; found `}`"),
    ("residual", "found `}`, expected `(` or `{`"),
    ("if true { relu } else", "found `}`, expected `if` or `{`"),
    ("param a =", "found `}`, expected a value"),
    ("budget", "found `}`, expected `(`, `{` or a name"),
    ("stem", "a block is missing; found `}`"),
    ("default bn", "found `}`, expected `(`"),
]


def found(text: str) -> list[tuple[str, str, int, int]]:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    spans = [diagnostic.span for diagnostic in caught.value.diagnostics]
    assert None not in spans
    return [(d.code, d.message, d.span.line, d.span.column) for d in caught.value.diagnostics if d.span is not None]


@pytest.mark.parametrize(("statement", "message"), UNFINISHED)
@pytest.mark.parametrize("end", [" }", "\n}"])
def test_a_brace_ends_an_unfinished_statement(statement: str, message: str, end: str) -> None:
    text = f"network n {{\n    input image: 3x8x8\n    {statement}{end}"
    line = text.count("\n") + 1
    assert found(text) == [("E002", message, line, text.rindex("}") - text.rfind("\n"))]


def test_a_brace_right_after_a_brace_is_one_error_and_the_rest_is_read() -> None:
    """The wrong token is the first one of what would be a statement, so the statement around it is left out."""
    errors = found("network n {\n    input image: 3x8x8\n    param a = 1 in {}\n    let = 3\n    relu\n}")
    assert errors == [("E002", "found `}`, expected a value", 3, 21), ("E002", "found `=`, expected a name", 4, 9)]
