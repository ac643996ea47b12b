"""The meaning of each statement, read off the graph that it gives."""

from __future__ import annotations

import pytest
from emit_oracle import check_equal, network
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
        ("conv", 8), ("slice", 4), ("slice", 4), ("conv", 2), ("concat", 6),
    ]  # fmt: skip


def test_slices_of_a_value_have_names() -> None:
    parts = "conv(12, 1x1) as whole; slice(0, 4) as kept; use whole; slice(4, 8) as middle; use whole; slice(8, 12)"
    found = nodes(f"{parts}; conv(4, 3x3); add(middle); concat(kept)")
    assert [(n.operator, n.inputs, n.shape[0]) for n in found.values()] == [
        ("conv", (0,), 12), ("slice", (1,), 4), ("slice", (1,), 4), ("slice", (1,), 4),
        ("conv", (4,), 4), ("add", (5, 3), 4), ("concat", (6, 2), 8),
    ]  # fmt: skip
    model = check_equal(network(f"{parts}; conv(4, 3x3); add(middle); concat(kept)"))
    assert [name for name, _ in model.named_children()] == ["conv1", "conv2"]


def test_paths_stand_under_conditions_and_in_loops() -> None:
    body = """
    let wide = true
    split {
        if wide { path { conv(1, 1x1) }; path { conv(2, 1x1) } } else { path { conv(3, 1x1) } }
        if not wide { path { conv(4, 1x1) } } else if channels_here == 3 { path { conv(5, 1x1) } }
        repeat 2 as i { path { conv(6 + i, 1x1) }; if i == 1 { path { conv(8, 1x1) } } }
        for c, k in [[9, 1], [10, 3]] { path { conv(c, k, bias=first(true, false)) } }
        repeat 0 { path { relu } }
    } merge concat
    """
    graph = nodes(body)
    channels = [1, 2, 5, 6, 7, 8, 9, 10]
    assert {name: node.shape[0] for name, node in graph.items()} == {
        **{f"paths.{k}.conv": c for k, c in enumerate(channels)},
        "concat": sum(channels),
    }
    assert [dict(graph[f"paths.{k}.conv"].attributes or ())["bias"] for k in (6, 7)] == [True, False]


def test_slices_of_stated_widths_follow_each_other() -> None:
    graph = nodes("conv(8, 1x1)\n    split [1, 2, 5] slice as i { conv(i + 1, 1x1) } merge concat")
    slices = [dict(node.attributes or ()) for node in graph.values() if node.operator == "slice"]
    assert slices == [{"start": 0, "stop": 1}, {"start": 1, "stop": 3}, {"start": 3, "stop": 8}]
    assert graph["concat"].shape[0] == 6


def test_value_in_is_the_value_that_enters_the_template_or_the_pass_of_a_stage() -> None:
    before = "template outer(c) { conv(c, 1x1); inner(c, value_in); add(value_in) }\n"
    before += "template inner(c, other) { conv(c, 3x3); concat(other); use value_in; relu; concat(value_in) }\n"
    graph = nodes("conv(4, 1x1)\n    stage s repeat 2 { conv(channels_in, 3x3); add(value_in) }\n", before)
    assert graph["s.0.add"].inputs == (2, 1)
    assert graph["s.1.add"].inputs == (4, 3)
    body = "conv(4, 1x1) as v\n    stage s { outer(4) }"
    with pytest.raises(rx.ArchError, match="cannot be a value of shape 3x32x32"):
        nodes("conv(value_in, 1x1)")
    with pytest.raises(rx.ShapeError, match="`add`"):
        nodes(body, before)


def test_a_name_of_the_text_goes_before_value_in() -> None:
    graph = nodes("conv(4, 1x1) as value_in; conv(4, 3x3); add(value_in)")
    assert graph["add"].inputs == (2, 1)


SPLIT_ERRORS = [
    ("split { if false { path { relu } } } merge add", "E205", "a split needs at least one path; no condition of its "
     "paths holds", "split { if false { path { relu } } } merge add", "add a path without a condition"),
    ("split [1, 1] slice { relu } merge add", "E302", "the widths of the slices must add up to `channels` (=3); their "
     "sum is 2", "[1, 1]", ""),
    ("split [1, 3] slice { relu } merge add", "E302", "the widths of the slices must add up to `channels` (=3); their "
     "sum is 4", "[1, 3]", ""),
    ("split [3, 0] slice { relu } merge add", "E205", "the widths of slices must be ints of at least 1; found 0",
     "[3, 0]", ""),
    ("split [1.5, 1.5] slice { relu } merge add", "E205", "the widths of slices must be ints of at least 1; found 1.5",
     "[1.5, 1.5]", ""),
    ("split [] slice { relu } merge add", "E205", "the widths of slices must be ints of at least 1; found an empty "
     "list", "[]", ""),
    ("split [1, 2] slice { path { relu } } merge add", "E205", "the number of widths (=2) must be the number of paths "
     "(=1)", "[1, 2]", "each path takes one slice"),
    ("split [1, 2] { relu } merge add", "E204", "the number of paths must be an int; found [1, 2]", "[1, 2]",
     "`split WIDTHS slice` gives each path a slice of the channels"),
    ("split 2 { path { relu }; if true { path { relu } } } merge add", "E105", "a split with listed paths takes no "
     "count", "2", "remove the count: the list gives the number of paths"),
    ("split { for c in 3 { path { relu } } } merge add", "E204", "`for` needs a list; found 3", "3",
     "write `range(3)`"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code", "message", "text", "hint"), SPLIT_ERRORS)
def test_wrong_splits_are_one_error(body: str, code: str, message: str, text: str, hint: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        nodes(body)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    assert (diagnostic.code, diagnostic.message, diagnostic.span.text, diagnostic.hint) == (code, message, text, hint)


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


def test_a_residual_under_a_condition_is_its_body_alone_where_the_condition_fails() -> None:
    body = """
    conv(4, 1x1)
    stage s repeat 3 as i { residual(shortcut=identity, when=i != 1 and channels_here == 4) { conv(4, 3x3) } }
    residual(projection, false) { relu }
    residual(when=false) { conv(2, 1x1) } shortcut { conv(9, 1x1) }
    """
    assert list(nodes(body)) == [
        "conv1", "s.0.conv", "s.0.add", "s.1.conv", "s.2.conv", "s.2.add", "relu", "conv2",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code", "message", "text"),
    [
        ("when=3", "E204", "a condition must be true or false; found 3", "3"),
        ("when=q", "E101", "unknown name `q`", "q"),
        ("when=true, when=false", "E203", "`residual` has the argument `when` twice", "when"),
        ("wen=true", "E201", "`residual` has no argument `wen`", "wen"),
    ],
)
def test_wrong_conditions_of_residuals(arguments: str, code: str, message: str, text: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        nodes(f"residual({arguments}) {{ relu }}")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span is not None
    assert (diagnostic.code, diagnostic.message, diagnostic.span.text) == (code, message, text)


@pytest.mark.parametrize(
    ("paths", "code"),
    [
        ("repeat 1000 { repeat 1000 { repeat 1000 { path { relu } } } }", "E405"),
        ("repeat 100001 { path { relu } }", "E405"),
        ("repeat 1000 as i { repeat 1000 as j { if i + j == channels_here { path { relu } } } }", "E405"),
        ("for a in range(1000) { for b in range(1000) { if a < channels_here { path { relu } } } }", "E405"),
    ],
)
def test_paths_in_loops_are_bounded(paths: str, code: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        nodes(f"split {{ {paths} }} merge add")
    assert [each.code for each in caught.value.diagnostics] == [code]
