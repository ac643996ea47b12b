"""Expressions, functions, values, defaults and overrides, read off the network that they give."""

from __future__ import annotations

from pathlib import Path

import pytest
from error_examples import net
from graph_reading import channels, nodes

import resnext_dsl as rx


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 3 * 4", 14),
        ("2 * 3 ** 2", 18),
        ("2 ** 3 ** 2 // 64", 8),
        ("7 // 2 + 7 % 4", 6),
        ("-(-5)", 5),
        ("10 - 3 - 2", 5),
        ("1K", 1000),
        ("3 if 1 > 2 else 4 if false else 5", 5),
        ("8 if not 1 == 2 and (false or true) else 9", 8),
        ("[3, 4, 6, 3][-2]", 6),
        ("3x224x225[2]", 225),
        ("sum([c * 2 for c in [1, 2, 3] if c != 2])", 8),
        ("sum([a * b for a, b in [[1, 2], [3, 4]]])", 14),
        ("len(range(2, 7)) + max(1, 9, 3) + min([4, 2])", 16),
        ("round(2.6) + floor(2.9) + ceil(2.1) + abs(-3)", 11),
        ("count([1, 2, 1], 1)", 2),
        ("divisible(33, 8)", 32),
        ("divisible(10, 8)", 16),
        ("divisible(3 * 1.4, 8)", 8),
        ("floor(sqrt(17)) + floor(log2(9))", 7),
        ("max([1, 2] + [5])", 5),
    ],
)
def test_expressions(expression: str, value: int) -> None:
    assert channels(expression) == value


def test_functions_see_what_is_around_their_definition() -> None:
    assert channels("scaled(33)", "let unit = 8\nfn scaled(c) = divisible(c, unit)\n") == 32


def test_shapes_can_have_computed_parts() -> None:
    (node,) = nodes("let k = 3\n    conv(8, 1 x k + 2, padding=0)").values()
    assert node.shape == (8, 32, 28)


def test_a_template_sees_its_parameters_and_its_definition_only() -> None:
    template = "template t(c, stride = 1, act = relu) { conv(c, 3x3, stride=stride); act }\n"
    found = nodes("t(8, act=silu)\n    t(4, 2)", template)
    assert {name: (node.operator, node.shape) for name, node in found.items()} == {
        "t1.conv": ("conv", (8, 32, 32)),
        "t1.act": ("silu", (8, 32, 32)),
        "t2.conv": ("conv", (4, 16, 16)),
        "t2.act": ("relu", (4, 16, 16)),
    }
    with pytest.raises(rx.ArchError, match="unknown name `width`"):
        nodes("let width = 4\n    u", "template u { conv(width, 1x1) }\n")


def test_operators_and_templates_are_values_with_arguments_filled_in() -> None:
    before = "template two(block, c) { block(c); block(c=5) }\ntemplate wide(c, k = 3) { conv(c, k) }\n"
    found = nodes("two(wide(k=1), 7)", before)
    assert [node.shape[0] for node in found.values()] == [7, 5]


def test_defaults_hold_in_the_whole_network() -> None:
    found = nodes("default bn(eps=1e-3)\n    default conv(bias=true)\n    t\n    conv(3, 1x1, bias=false); bn(eps=0.5)",
                  "template t { conv(3, 1x1); bn }\n")  # fmt: skip
    assert [dict(node.attributes or ()).get("bias", dict(node.attributes or ()).get("eps")) for node in found.values()] == [
        True, 1e-3, False, 0.5,
    ]  # fmt: skip


def test_parameters_take_overrides_of_every_type(tmp_path: Path) -> None:
    text = net(
        "param width = 4 in {4, 8}\n    param act = relu in {relu, silu}\n    param kernel = 3x3\n"
        '    param more: float = 1\n    param depths = [1, 2]\n    param kind = "a"\n    param on = true\n'
        "    conv(round(width * more), kernel); act\n    repeat depths[1] { relu }\n"
        '    if on and kind == "b" { bn }'
    )
    network = rx.loads(text, width=16, act="silu", kernel="1 x 5", more=0.5, depths=[2, 0], kind="b", on=False)
    assert [(node.operator, node.shape[0]) for node in network.ir.nodes[1:]] == [("conv", 8), ("silu", 8)]
    assert network.parameters["width"].domain is not None
    assert 16 not in network.parameters["width"].domain
    (tmp_path / "n.arch").write_text(text)
    assert rx.load(tmp_path / "n.arch", kind="b").ir.nodes[-1].operator == "bn"


def test_derived_networks_have_their_bases_body_and_their_own_budget() -> None:
    wide = rx.load("wide_resnet50_2")
    assert wide.name == "wide_resnet50_2"
    assert rx.load("resnet101").limits != rx.load("resnet50").limits
    assert len(rx.load("resnet101").ir.nodes) > len(rx.load("resnet50").ir.nodes)


def test_a_parameter_that_only_an_evaluator_reads_is_told_so() -> None:
    network = rx.loads(
        "network n {\n input image: 3x8x8\n param lr = 0.1 in 0.01..1.0\n param _decay = 0 in 0..1\n conv(4, 3x3)\n}"
    )
    (warning,) = network.warnings
    assert (warning.code, warning.message) == ("W901", "`lr` is declared and never used")
    assert warning.hint == "if an evaluator reads it, begin its name with `_`"


@pytest.mark.parametrize("text", ["param s = auto in {auto, identity}", "param s = identity in {identity, projection}"])
@pytest.mark.parametrize("kind", ["auto", "identity", "projection"])
def test_a_word_that_is_an_operator_too_is_a_word_among_words(text: str, kind: str) -> None:
    spec = f"network n {{ input x: 8x9x9; {text}; residual(shortcut=s) {{ conv(8, 3x3) }} }}"
    parameter = rx.loads(spec, s=kind).parameters["s"]
    assert parameter.value == kind
    assert isinstance(parameter.value, str)
    assert all(isinstance(value, str) for value in parameter.domain.values)
    assert rx.loads(spec, s=kind).cost().params == 8 * 8 * 9 + (8 * 8 + 16 if kind == "projection" else 0)


def test_an_operator_among_operators_stays_one() -> None:
    spec = "network n { input x: 8x9x9; param act = identity in {identity, relu}; conv(8, 3x3); act }"
    assert [rx.loads(spec, act=act).ir.nodes[-1].operator for act in ("identity", "relu")] == ["conv", "relu"]


@pytest.mark.parametrize(
    "condition", ["s == identity", "identity == s", "not (s != identity)", "count([s, auto], identity) == 1"]
)
@pytest.mark.parametrize("kind", ["auto", "identity"])
def test_a_word_equals_the_operator_of_its_name(condition: str, kind: str) -> None:
    spec = f"network n {{ input x: 8x9x9; param s = auto in {{auto, identity}}; conv(1 if {condition} else 2, 1x1) }}"
    assert rx.loads(spec, s=kind).ir.nodes[-1].shape[0] == (1 if kind == "identity" else 2)
