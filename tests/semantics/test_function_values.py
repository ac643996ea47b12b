"""Functions as values: parameters, arguments, elements of lists and domains hold them, and a call of the name calls them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from emit_oracle import check_equal
from space_oracle import check, space_from

import resnext_dsl as rx
from resnext_dsl.semantics.functions import BUILTINS
from resnext_dsl.semantics.values import show, source_text, type_name

SPEC = """
fn scaled(c) = floor(c * 2 + 1)
fn twice(f, c) = f(f(c))

network n {
    input x: 3x16x16
    param rounding = ceil in {ceil, floor, round}
    param times: function = scaled
    param pair = [floor, scaled]
    let lowest = min

    template block(c, f = floor) { conv(f(c * 1.5), 3x3) }

    conv(rounding(2.4), 3x3)
    block(3); block(3, rounding); block(3, f=times)
    conv(twice(times, 3), 1x1)
    for f in pair { conv(f(5), 1x1) }
    repeat 2 { let pick = first; conv(pick(4, 6), 1x1) }
    conv(lowest([9, 5]), 1x1)
    conv(7 if rounding == ceil else 8, 1x1)
    conv(7 if times == scaled and times != ceil and count([floor, times], scaled) == 1 else 8, 1x1)
}
"""


def channels(**overrides: Any) -> list[int]:
    return [node.shape[0] for node in rx.loads(SPEC, **overrides).ir.nodes[1:]]


def net(body: str, before: str = "") -> str:
    return f"{before}\nnetwork n {{ input x: 3x8x8; {body} }}"


def test_a_call_of_the_name_calls_the_function() -> None:
    assert channels() == [3, 4, 5, 10, 15, 5, 11, 4, 6, 5, 7, 7]
    assert channels(rounding="floor") == [2, 4, 4, 10, 15, 5, 11, 4, 6, 5, 8, 7]
    assert channels(rounding="scaled", pair="[round]") == [5, 4, 10, 10, 15, 5, 4, 6, 5, 8, 7]
    assert channels(times="ceil") == [3, 4, 5, 5, 3, 5, 11, 4, 6, 5, 7, 8]


def test_a_value_of_another_network_is_an_override() -> None:
    values = {name: parameter.value for name, parameter in rx.loads(SPEC).parameters.items()}
    assert channels(rounding=values["times"], times=values["rounding"]) == channels(rounding="scaled", times="ceil")


def test_functions_have_a_type_and_a_text() -> None:
    values = [parameter.value for parameter in rx.loads(SPEC).parameters.values()]
    assert [type_name(value) for value in values] == ["function", "function", "list"]
    assert [show(value) for value in values] == ["ceil", "scaled", "[floor, scaled]"]
    assert [source_text(value) for value in values] == ["ceil", "scaled", "[floor, scaled]"]
    assert str(rx.loads(SPEC).parameters["rounding"].domain) == "{ceil, floor, round}"


@pytest.mark.parametrize("name", BUILTINS)
def test_every_built_in_function_is_a_value(name: str) -> None:
    spec = net("param f: function = round; conv(4, 1x1)")
    assert source_text(rx.loads(spec, f=name).parameters["f"].value) == name


def test_a_declaration_hides_a_built_in_function() -> None:
    spec = net("param round = 5; conv(round, 1x1)")
    assert rx.loads(spec).ir.nodes[1].shape[0] == 5


def test_a_derived_network_takes_a_function(tmp_path: Path) -> None:
    (tmp_path / "n.arch").write_text(SPEC, encoding="utf-8")
    derived = 'from "n.arch" import n\nfn other(c) = c + 1\nnetwork m = n(rounding=floor, pair=[other])'
    network = rx.loads(derived, root=tmp_path)
    assert [node.shape[0] for node in network.ir.nodes[1:]] == [2, 4, 4, 10, 15, 6, 4, 6, 5, 8, 7]


def test_candidates_hold_functions_as_text(tmp_path: Path) -> None:
    (tmp_path / "n.arch").write_text(SPEC, encoding="utf-8")
    space = rx.space(str(tmp_path / "n.arch"))
    candidates = space.sample(3, seed=0)
    assert {candidate["rounding"] for candidate in candidates} == {"ceil", "floor", "round"}
    for candidate in candidates:
        assert space.candidate(json.loads(json.dumps(candidate.to_json()))) == candidate
        assert hash(space.candidate(candidate.to_json())) == hash(candidate)
        assert str(candidate) == f"--set rounding={candidate['rounding']}"
        assert [n.shape for n in space.bind(candidate).ir.nodes] == [
            n.shape for n in rx.loads(SPEC, rounding=candidate["rounding"]).ir.nodes
        ]


def test_columns_of_functions_cost_what_each_network_costs() -> None:
    rows = {"rounding": ["ceil", "floor", "round", "scaled"] * 2, "times": ["scaled"] * 4 + ["floor"] * 4}
    check(space_from(SPEC), rows)


def test_emitted_source_does_not_name_the_functions() -> None:
    body = "template b(c, f) { conv(f(c * 1.5), 3x3); bn; relu }\n stage s { b(3, floor); b(3, ceil); b(5, g) }"
    network = rx.loads(f"fn g(c) = floor(c) + 1\nnetwork n {{ input x: 3x8x8; {body} }}")
    assert [dict(scope.arguments) for scope in network.ir.scopes.values() if scope.kind == "template"] == [
        {"c": 3}, {"c": 3}, {"c": 5},
    ]  # fmt: skip
    check_equal(network.ir)
    assert "ceil" not in network.emit()


ERRORS = [
    ("param r = ceil; conv(r(1, 2), 3x3)", "E203", "`ceil` takes 1 argument; found 2", "`r` is the function `ceil` here", "r(1, 2)"),
    ("param r = ceil; conv(r(x=1), 3x3)", "E201", "`ceil` takes no named arguments; found `x`", "`r` is the function `ceil` here", "x=1"),
    ("param r = pair; conv(r(1), 3x3)", "E202", "`pair` needs the argument `b`", "usage: `pair(a, b)`", "r"),
    ("param r = pair; conv(r(1, 2, 3), 3x3)", "E203", "`pair` takes at most 2 arguments; this one is too many", "usage: `pair(a, b)`", "3"),
    ("param r = 3; conv(r(2), 3x3)", "E207", "`r` is an int, not a function", "", "r"),
    ("conv(round, 3x3)", "E204", "`channels` of `conv` cannot be round", "call the function: `round(...)`", "round"),
    ("conv(round + 1, 3x3)", "E204", "`+` does not accept a function and an int", "call the function: `round(...)`", "round + 1"),
    ("repeat round { relu }", "E204", "the number of passes must be an int; found round", "call the function: `round(...)`", "round"),
    ("if pair { relu }", "E204", "a condition must be true or false; found pair", "call the function: `pair(...)`", "pair"),
    ("relu; ceil", "E207", "`ceil` is a function, not an operator or template", "a function gives a number or another value: `let n = ceil(...)`", "ceil"),
    ("relu; pair(1, 2)", "E207", "`pair` is a function, not an operator or template", "a function gives a number or another value: `let n = pair(...)`", "pair"),
    ("param r: function = 3; conv(4, 3x3)", "E204", "`r` must be a function; found 3", "", "3"),
    ("param r = ceil in {ceil, relu}; conv(4, 3x3)", "E204", "the parameter is a function; its domain contains relu", "", "relu"),
    ("param r = ceil in {floor, round}; conv(4, 3x3)", "E205", "the default of `r` (=ceil) is not in its domain {floor, round}", "", "ceil"),
    ("param r: funktion = ceil; conv(4, 3x3)", "E101", "unknown type `funktion`", "did you mean `function`?", "funktion"),
    ("param r = cell; conv(4, 3x3)", "E101", "unknown name `cell`", "did you mean `ceil`?", "cell"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "message", "hint", "text"), ERRORS)
def test_a_wrong_function_is_one_error(body: str, code: str, message: str, hint: str, text: str) -> None:
    spec = net(body, "fn pair(a, b) = a + b")
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(spec)
    (found,) = (each for each in caught.value.diagnostics if each.severity == "error")
    assert (found.code, found.message, found.hint, found.span.text) == (code, message, hint, text)


def test_an_override_of_another_type_is_an_error() -> None:
    with pytest.raises(rx.ArchError, match="`rounding` must be a function; found 3"):
        rx.loads(SPEC, rounding=3)
    with pytest.raises(rx.ArchError, match="unknown name `cell`"):
        rx.loads(SPEC, rounding="cell")
