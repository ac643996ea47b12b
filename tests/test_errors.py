"""Every diagnostic code: a spec that has the mistake, one error for it, and the page that shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from error_examples import ELSEWHERE, EXAMPLES, net, output, page

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import CODES

CHECKOUT = Path(__file__).parent.parent


def test_every_code_has_an_example() -> None:
    assert set(EXAMPLES) | set(ELSEWHERE) == set(CODES)


@pytest.mark.parametrize("code", sorted(EXAMPLES))
def test_one_mistake_gives_one_error(code: str) -> None:
    found = re.findall(r"(?:error|warning)\[(\w+)\]", output(EXAMPLES[code]))
    assert set(found) == {code}
    assert len(found) == (2 if code == "E601" else 1)  # the example exceeds two limits


def test_the_page_of_diagnostics_is_what_the_tool_says() -> None:
    assert (CHECKOUT / "docs" / "errors.md").read_text(encoding="utf-8") == page()


def errors(text: str) -> list[rx.Diagnostic]:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    return list(caught.value.diagnostics)


def test_several_independent_errors_come_in_one_run_in_the_order_of_the_text() -> None:
    found = errors(net("conv(8, 3x3, strid=2)\n    stage a { conv(0, 1x1) }\n    stage b { rleu }"))
    assert [(d.code, d.span.line if d.span else 0) for d in found] == [("E201", 3), ("E205", 4), ("E101", 5)]


def test_several_syntax_errors_come_in_one_run() -> None:
    found = errors(net("conv(8, 3x3) bn\n    let a =\n    split 2 { relu }\n    relu"))
    assert [(d.code, d.span.line if d.span else 0) for d in found] == [("E002", 3), ("E002", 4), ("E002", 5)]
    assert "a split needs a merge" in found[2].message


def test_a_mistake_in_a_template_is_told_once_with_the_calls_that_lead_there() -> None:
    text = (
        "template inner(c) { conv(c, 3x3, groups=3) }\n"
        "template outer(c) { relu; inner(c) }\n"
        "network n { input x: 3x8x8\n stage s repeat 2 { outer(7) }\n stage t { outer(9) } }\n"
    )
    (found,) = errors(text)
    assert found.code == "E302"
    assert [note.message for note in found.trail] == ["stage `s`, pass 0", "template `outer`", "template `inner`"]
    assert found.render() == (
        "<spec>:1:26: error[E302]: `channels` (=7) must be divisible by `groups` (=3); nearest: 6\n"
        "   |\n"
        " 1 | template inner(c) { conv(c, 3x3, groups=3) }\n"
        "   |                          ^\n"
        "  note: <spec>:2:21: 3x8x8 comes from `relu` here\n"
        "  in template `inner` at <spec>:2:27\n"
        "  in template `outer` at <spec>:4:21\n"
        "  in stage `s`, pass 0 at <spec>:4:8"
    )


def test_what_depends_on_a_mistake_is_passed_over_in_silence() -> None:
    found = errors(net("let a = wdth * 2\n    conv(a, 3x3) as y\n    conv(a + 1, 3x3)\n    add(y)\n    linear(10)"))
    assert [d.code for d in found] == ["E101"]


def test_unequal_shapes_name_both_and_where_they_came_from() -> None:
    (found,) = errors(net("split { path { conv(8, 3x3) } path { conv(8, 3x3, stride=2) } } merge concat"))
    assert found.code == "E304"
    assert "8x32x32" in found.message
    assert "8x16x16" in found.message
    assert [note.span.column for note in found.notes if note.span] == [20, 42]


def test_a_residual_of_unequal_shapes_names_both() -> None:
    (found,) = errors(net("residual(shortcut=identity) { conv(8, 3x3) }"))
    assert found.message == "a residual adds values of equal shape: the body has 8x32x32, the shortcut has 3x32x32"


def test_unused_names_are_warnings() -> None:
    network = rx.loads(net("param width = 4\n    let a = 2\n    conv(8, 3x3)", "template t(q) { relu }\n"))
    assert {d.message for d in network.warnings} == {
        "`t` is declared and never used",
        "`q` is a parameter of template `t` and never used",
        "`width` is declared and never used",
        "`a` is declared and never used",
    }


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"width": "wide"}, "unknown name `wide`"),
        ({"width": 2.5}, "`width` must be an int; found 2.5"),
        ({"width": "9**9**9"}, "has too many digits"),
        ({"width": [1]}, "`width` must be an int; found [1]"),
        ({"width": None}, "`width` must be an int; found None"),
        ({"wdth": 4}, "network `n` has no parameter `wdth`"),
        ({"width": "("}, "cannot read the value"),
        ({"width": "__import__('os')"}, "cannot read the value"),
    ],
)
def test_overrides_are_checked(override: dict[str, object], message: str) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(message)):
        rx.loads(net("param width = 4\n    conv(width, 3x3)"), **override)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("relu.weight = ones", "`relu` has no weights to initialise"),
        (
            "bn.weight = kaiming_normal(fan_out)",
            "`kaiming_normal` initialises weights of convolutions and linear layers only",
        ),
        ("prelu.bias = zeros", "unknown field `bias`"),
        ("conv.weight = kaming_normal", "unknown scheme `kaming_normal`"),
        ("conv.weight = normal", "`normal` needs the argument `std`"),
    ],
)
def test_rules_of_initialisation_that_no_module_can_follow(rule: str, message: str) -> None:
    (found,) = errors(net(f"conv(8, 3x3); bn; relu\n    init {{ {rule} }}"))
    assert found.message == message


@pytest.mark.parametrize(
    ("override", "shown"),
    [
        ("1.5", "1.5"),
        ("4 // 0", "4 // 0"),
        ("2 * (7 / 0)", "7 / 0"),
        ("[1, 2][3]", "3"),
        ("4 +", "4 +"),
        ("other", "other"),
    ],
)
def test_a_mistake_in_an_override_is_shown_in_its_own_text(override: str, shown: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("param width = 4\n    conv(width, 3x3)"), width=override)
    span = caught.value.diagnostics[0].span
    assert span is not None
    assert span.source.text == override
    assert span.text.strip("()") == shown
    assert span.column == override.index(span.text) + 1
