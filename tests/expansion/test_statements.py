"""The meaning of each statement, read off the graph that it gives."""

from __future__ import annotations

import pytest
from error_examples import net
from graph_reading import nodes

import resnext_dsl as rx


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
