"""Messages of the language that once pointed the wrong way."""

from __future__ import annotations

import pytest
from error_examples import net
from graph_reading import channels

import resnext_dsl as rx


def wrong(text: str) -> tuple[str, str, str, str]:
    """The code, message, place and hint of the only error."""
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    return diagnostic.code, diagnostic.message, diagnostic.span.text, diagnostic.hint


def test_the_sum_of_an_empty_list_is_0() -> None:
    assert channels("sum([]) + 4") == 4
    assert channels("sum([c for c in [1, 2] if c > 2]) + 1") == 1


@pytest.mark.parametrize("name", ["min", "max"])
def test_an_empty_list_has_no_least_or_greatest_value(name: str) -> None:
    code, message, text, _ = wrong(net(f"conv({name}([]), 1x1)"))
    assert (code, text) == ("E206", f"{name}([])")
    assert message == "`min` and `max` need at least one value; found an empty list"


@pytest.mark.parametrize(
    "body",
    [
        "relu as a; relu as a",
        "stage s { relu as a; gelu as a }",
        "residual { relu as a; relu as a }",
        "repeat 2 { relu } as a; split 2 { relu } merge add as a",
    ],
)
def test_one_name_for_two_values_of_a_block_is_an_error(body: str) -> None:
    with pytest.raises(rx.ArchError, match="two values of a block have the name `a`") as caught:
        rx.loads(net(body))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E102"
    assert diagnostic.span is not None
    (note,) = diagnostic.notes
    assert note.span is not None
    assert note.span.start < diagnostic.span.start
    assert note.message == "`a` is first the name of this value"


def test_values_of_different_blocks_can_have_one_name() -> None:
    assert rx.loads(net("if true { relu as a } else { gelu as a }\nconv(4, 1x1); concat(a)")).ir.nodes


def test_a_multiplication_sign_in_a_shape_names_the_letter() -> None:
    text = "network n { input image: 3\N{MULTIPLICATION SIGN}8\N{MULTIPLICATION SIGN}8\nconv(4, 1x1) }"
    code, _, _, hint = wrong(text)
    assert code == "E002"
    assert hint == "write the letter x in place of `\N{MULTIPLICATION SIGN}`: `3x8x8`"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("--4", 4),
        ("---4 + 8", 4),
        ("8 * 2 ** --1", 16),
        ("round(8 * 2 ** -1)", 4),
        ("4 if not not true else 5", 4),
        ("4 if not not not true else 5", 5),
        ("-2 ** 2 + 8", 4),
        ("round(64 * 2 ** 2 ** -1 / 2 ** 0.5)", 64),
    ],
)
def test_signs_and_negations_can_follow_each_other(expression: str, expected: int) -> None:
    assert channels(expression) == expected


def test_a_negative_exponent_is_the_last_of_a_chain() -> None:
    """Python reads `2 ** -1 ** 2` as `2 ** -(1 ** 2)`, which few readers expect."""
    assert wrong(net("conv(2 ** -1 ** 2, 1x1)"))[0] == "E002"


@pytest.mark.parametrize("expression", ["-" * 5000 + "4", "not " * 5000 + "true"])
def test_a_long_chain_of_signs_is_nested_too_deep(expression: str) -> None:
    with pytest.raises(rx.ArchError, match="the spec is nested too deep") as caught:
        rx.loads(net(f"let z = {expression}"))
    assert caught.value.diagnostics[0].code == "E403"
