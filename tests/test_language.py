"""What each construct of the language means, read off the graph that it makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from error_examples import net

import resnext_dsl as rx
from resnext_dsl.graph.ir import Node


def nodes(body: str, before: str = "", **overrides: object) -> dict[str, Node]:
    """The nodes of a network around a body, the input aside, by name."""
    return {node.name: node for node in rx.loads(net(body, before), **overrides).ir.nodes[1:]}


def channels(expression: str, before: str = "") -> int:
    """The value of an expression, as the width of a convolution."""
    (node,) = nodes(f"conv({expression}, 1x1)", before).values()
    return node.shape[0]


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
    before = "template two(block, c) { block(c); block }\ntemplate wide(c, k = 3) { conv(c, k) }\n"
    found = nodes("two(wide(k=1, c=5), 7)", before)
    assert [node.shape[0] for node in found.values()] == [7, 5]


def test_channels_in_is_that_of_the_template_and_channels_here_that_of_the_statement() -> None:
    found = nodes("t", "template t { conv(8, 1x1); conv(channels_in * 2, 1x1); conv(channels_here * 2, 1x1) }\n")
    assert [node.shape[0] for node in found.values()] == [8, 6, 12]


def test_a_stage_repeats_and_first_and_last_know_the_pass() -> None:
    found = nodes("stage s repeat 3 as i { conv(8 * (i + 1), 3x3, stride=first(2, 1), bias=last(true, false)) }")
    assert {name: node.shape for name, node in found.items()} == {
        "s.0.conv": (8, 16, 16),
        "s.1.conv": (16, 16, 16),
        "s.2.conv": (24, 16, 16),
    }
    assert [dict(node.attributes or ())["bias"] for node in found.values()] == [False, False, True]


def test_for_unpacks_rows() -> None:
    found = nodes("for c, k in [[4, 1], [8, 3]] { conv(c, k); relu }")
    assert list(found) == ["repeat.0.conv", "repeat.0.relu", "repeat.1.conv", "repeat.1.relu"]


def test_conditions_take_the_first_branch_that_holds() -> None:
    body = "let a = 2\n    if a == 1 { relu } else if a == 2 { silu } else { gelu }\n    if a > 5 { bn }"
    assert [node.operator for node in nodes(body).values()] == ["silu"]


def test_a_split_runs_its_paths_side_by_side() -> None:
    found = nodes("split 3 as k { conv(k + 1, 1x1) } merge concat")
    assert found["concat"].shape == (6, 32, 32)
    assert found["concat"].inputs == (1, 2, 3)
    assert [found[f"paths.{k}.conv"].inputs for k in range(3)] == [(0,)] * 3


def test_a_path_may_use_a_value_of_an_earlier_path() -> None:
    found = nodes("split { path { conv(3, 1x1) as y } path { conv(3, 3x3); add(y); relu } } merge concat")
    assert found["paths.1.add"].inputs == (2, 1)


def test_a_split_of_one_path_needs_no_merge() -> None:
    assert list(nodes("split 1 { relu } merge add")) == ["paths.0.relu"]


def test_slices_are_equal_parts_of_the_channels() -> None:
    found = nodes("conv(8, 1x1)\n    split slice { path { identity } path { conv(2, 3x3) } } merge concat")
    assert [(n.operator, n.shape[0]) for n in found.values()] == [
        ("conv", 8), ("slice", 4), ("slice", 4), ("identity", 4), ("conv", 2), ("concat", 6),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "body", "operators"),
    [
        ("auto", "conv(3, 3x3)", ["conv", "add"]),
        ("auto", "conv(8, 3x3, stride=2)", ["conv", "conv", "bn", "add"]),
        ("projection", "conv(3, 3x3)", ["conv", "conv", "bn", "add"]),
        ("identity", "conv(3, 3x3)", ["conv", "add"]),
        ("pad", "conv(8, 3x3, stride=2)", ["conv", "subsample", "pad_channels", "add"]),
        ("skip", "conv(8, 3x3)", ["conv"]),
        ("skip", "conv(3, 3x3)", ["conv", "add"]),
    ],
)
def test_shortcuts(kind: str, body: str, operators: list[str]) -> None:
    found = list(nodes(f"residual(shortcut={kind}) {{ {body} }}").values())
    assert [node.operator for node in found] == operators


def test_a_shortcut_may_have_a_body() -> None:
    found = nodes("residual { conv(8, 3x3, stride=2) } shortcut { avgpool(2x2, stride=2); conv(8, 1x1) }")
    assert list(found) == ["conv", "shortcut.avgpool", "shortcut.conv", "add"]
    assert found["add"].inputs == (1, 3)


def test_values_have_names_and_can_be_gone_back_to() -> None:
    body = "stage a { conv(4, 3x3) } as e\n    conv(8, 3x3)\n    use a\n    conv(2, 1x1) as y\n    concat(e, image)"
    with pytest.raises(rx.ArchError):
        nodes(body.replace("image)", "nothing)"))
    network = rx.loads(net(body))
    assert [node.name for node in network.ir.nodes] == ["image", "a.conv", "conv2", "concat"]
    assert network.ir.nodes[-1].inputs == (2, 1, 0)
    assert [d.code for d in network.warnings] == ["W902"]  # the convolution that `use` turned away from


def test_values_can_be_given_to_templates() -> None:
    found = nodes("conv(4, 3x3) as skip\n    relu\n    up(skip)", "template up(other) { concat(other) }\n")
    assert found["up.concat"].inputs == (2, 1)


def test_a_template_given_the_value_that_enters_it_reads_that_value_in_later_calls() -> None:
    found = nodes("conv(3, 3x3) as b; join(b); join(b)", "template join(v) { conv(3, 1x1); add(v) }\n")
    assert found["join1.add"].inputs == (2, 1)
    assert found["join2.add"].inputs == (4, 1)


def test_outputs_of_training_cost_parameters_and_nothing_else() -> None:
    network = rx.loads(
        net("stage a { conv(4, 3x3) }\n    output aux when training from a { conv(2, 1x1) }\n    conv(4, 1x1)")
    )
    assert [(o.name, o.training_only) for o in network.ir.outputs] == [("main", False), ("aux", True)]
    assert network.cost().params == 3 * 4 * 9 + 4 * 2 + 4 * 4
    assert network.cost().macs == (3 * 4 * 9 + 4 * 4) * 32 * 32
    assert network.cost(training=True).macs == (3 * 4 * 9 + 4 * 4 + 4 * 2) * 32 * 32


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


def test_the_fingerprint_is_that_of_the_architecture() -> None:
    first = rx.loads(net("conv(8, 3x3); bn; relu  # one\n    add(image)".replace("    add(image)", "")))
    again = rx.loads(net("let c = 8\n    unit(c)", "template unit(c) { conv(c, 3x3); bn; relu }\n"))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != rx.loads(net("conv(8, 3x3); bn; silu")).fingerprint
    shared = rx.loads(net("conv(8, 3x3) as a; relu as b; use a; relu; add(b)"))
    twice = rx.loads(net("conv(8, 3x3) as a; relu as b; add(b)"))
    assert shared.fingerprint != twice.fingerprint


def test_the_networkx_graph_carries_what_the_interface_promises() -> None:
    graph = rx.load("resnext50_32x4d_a").graph
    assert type(graph).__name__ == "MultiDiGraph"
    node = graph.nodes["conv3.0.paths.7.conv2"]
    assert node["operator"] == "conv"
    assert node["attributes"].model_dump()["stride"] == (2, 2)
    assert node["shape"] == (8, 28, 28)
    assert node["span"].source.name.endswith("std/blocks.arch")
    assert [key["position"] for key in graph.get_edge_data("conv3.0.paths.7.conv3", "conv3.0.add1").values()] == [7]


def test_the_graph_is_the_same_in_every_process() -> None:
    program = (
        "import hashlib, resnext_dsl as rx\n"
        "n = rx.load('inception_v4')\n"
        "print(n.fingerprint, hashlib.sha256(repr([(x.name, x.inputs, x.shape) for x in n.ir.nodes]).encode()).hexdigest())\n"
        "print(hashlib.sha256(n.emit().encode()).hexdigest())\n"
    )
    seen = set()
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1


def test_a_parameter_that_only_an_evaluator_reads_is_told_so() -> None:
    network = rx.loads(
        "network n {\n input image: 3x8x8\n param lr = 0.1 in 0.01..1.0\n param _decay = 0 in 0..1\n conv(4, 3x3)\n}"
    )
    (warning,) = network.warnings
    assert (warning.code, warning.message) == ("W901", "`lr` is declared and never used")
    assert warning.hint == "as it should be if an evaluator reads it; `_` before its name says so"
