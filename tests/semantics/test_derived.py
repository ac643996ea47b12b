"""Entries of a derived network: settings hold, and entries of a body are errors, because the body is that of the base."""

from __future__ import annotations

from pathlib import Path

import pytest

import resnext_dsl as rx

BASE = """network base {
    input image: 3x8x8
    param k = 4
    conv(k, 3x3); bn
    head { avgpool(global); flatten; linear(10) }
}
"""


def derived(folder: Path, entries: str) -> rx.Network:
    (folder / "base.arch").write_text(BASE)
    return rx.loads(f'from "base.arch" import base\nnetwork other = base(k=5) {{\n    {entries}\n}}\n', root=folder)


BODY = [
    "head { avgpool(global); flatten; linear(7) }",
    "stem { relu }",
    "stage s { relu }",
    "output o { relu }",
    "input image: 3x9x9",
    "let z = 3",
    "fn f(x) = x",
    "template t { relu }",
    "relu",
    "use image",
    "repeat 3 { relu }",
    "for i in [1] { relu }",
    "if k > 1 { relu }",
    "split 2 { relu } merge add",
    "residual { relu }",
]


@pytest.mark.parametrize("entry", BODY)
def test_an_entry_of_a_body_is_an_error(entry: str, tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, entry)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E105"
    assert diagnostic.message == "the derived network `other` has the body of its base, so this entry is not allowed"
    assert diagnostic.hint == (
        "it can state `budget`, `require`, `default` and `init`; write other changes in a network in full"
    )
    assert diagnostic.span is not None
    assert (diagnostic.span.line, diagnostic.span.text) == (3, entry)


def test_a_parameter_is_given_in_the_parentheses(tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError, match="so this entry is not allowed") as caught:
        derived(tmp_path, "param k = 3")
    assert caught.value.diagnostics[0].hint == "give the value of a parameter to the base: `base(k=...)`"


def test_every_entry_of_a_body_is_listed(tmp_path: Path) -> None:
    with pytest.raises(rx.ArchError) as caught:
        derived(tmp_path, "let z = 3\n    relu")
    assert [each.span.line for each in caught.value.diagnostics if each.span is not None] == [3, 4]


def test_settings_of_a_derived_network_hold(tmp_path: Path) -> None:
    network = derived(tmp_path, "default bn(eps=0.5)\n    init { conv.weight = zeros }\n    budget { params <= 1M }")
    assert dict(network.ir.nodes[2].attributes or ())["eps"] == 0.5
    assert [(rule.operator, rule.scheme) for rule in network.init] == [("conv", "zeros")]
    assert [limit.bound for limit in network.limits] == [1_000_000]
    with pytest.raises(rx.RequirementError, match="wider"):
        derived(tmp_path, 'require k > 5, "wider"')
