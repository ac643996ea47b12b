"""Each rule on a graph to which it applies, each side condition on one to which it does not, with the report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from forms_oracle import Reference, compare
from references import fill

import resnext_dsl as rx
from resnext_dsl.costs.fvcore_count import agree, measure
from resnext_dsl.networks.network import Network
from resnext_dsl.rewrite import FORMS, fold, join


def network(body: str, shape: str = "8x6x6") -> Network:
    return rx.loads(
        f"network net {{\n    input image: {shape}\n{body}\n    head {{ avgpool(global); flatten; linear(3) }}\n}}\n"
    )


JOINS = [
    ("split 4 { conv(4, 3x3) } merge concat", {"same_input"}, "conv"),
    ("split 2 { relu; conv(4, 3x3) } merge concat", {"same_input"}, "paths.0.relu conv"),
    ("split 4 slice { conv(2, 3x3); bn } merge concat", {"slices_undone", "grouped", "channelwise"}, "conv bn"),
    ("split 2 slice { conv(4, 1x1, groups=2) } merge concat", {"slices_undone", "grouped"}, "conv"),
    ("split 4 { conv(2, 1x1); conv(8, 3x3) } merge add", {"same_input", "sum_of_convolutions"}, "conv1 conv2"),
    ("split 4 { conv(2, 1x1); conv(8, 3x3) } merge mean", {"same_input", "sum_of_convolutions"}, "conv1 conv2 mean"),
    (
        "split { path { conv(4, 1x1); relu } path { conv(6, 1x1); relu } } merge concat",
        {"same_input", "channelwise"},
        "conv relu",
    ),
    (
        "split 2 { conv(4, 1x1); split 2 { conv(2, 3x3) } merge concat } merge concat",
        {"same_input", "grouped"},
        None,
    ),
    (
        "split 2 slice { residual { conv(4, 3x3); bn }; relu } merge concat",
        {"slices_undone", "grouped", "channelwise"},
        "conv bn add relu",
    ),
    ("split 2 slice { identity; maxpool(3x3, stride=1) } merge concat", {"slices_undone", "channelwise"}, "maxpool"),
    ("split 2 slice { groupnorm(2); prelu(per_channel=true) } merge concat", {"slices_undone", "channelwise"}, None),
    ("split 2 { conv_transpose(4, 2x2, stride=2) } merge concat", {"same_input"}, "conv_transpose"),
    ("split 2 slice { conv_transpose(8, 2x2, stride=2) } merge add", {"slices_undone", "sum_of_convolutions"}, None),
    ("split 2 slice { conv_transpose(4, 2x2, stride=2) } merge concat", {"slices_undone", "grouped"}, None),
    ("split { path { conv(8, 3x3) } path { conv(8, 3x3, bias=true) } } merge concat", set(), None),
    ("split 2 slice { split { path { identity } path { avgpool(global); conv(4, 1x1); sigmoid } } merge mul } merge concat", {"slices_undone", "grouped", "channelwise"}, None),
    ("split 2 { conv(4, 3x3, stride=2, padding=same_upper) } merge concat", {"same_input"}, "conv"),
    ("split 2 slice { blur_pool(3x3); fixed_conv([[0.1, 0.7]]) } merge concat", {"slices_undone", "channelwise"}, "blur_pool fixed_conv"),
    ("split 2 { conv(4, 3x3, standardize=scaled, gamma=1.5, bias=true) } merge concat", {"same_input"}, "conv"),
    ("split 2 slice { conv(4, 3x3, standardize=scaled); relu; conv(4, 1x1, standardize=true) } merge concat", {"slices_undone", "grouped", "channelwise"}, "conv1 relu conv2"),
    ("split 2 slice { conv(4, 4x4, padding=same_upper); maxpool(2x2, padding=same_upper); avgpool(3x3, stride=2, padding=same_upper) } merge concat", {"slices_undone", "grouped", "channelwise"}, "conv maxpool avgpool"),
    (
        "conv(16, 1x1); split { path { slice(0, 8); conv(8, 1x1, bias=true) } path { slice(8, 16); conv(8, 1x1) } path { slice(0, 8) } } merge add",
        {"slices_undone", "sum_of_convolutions"},
        None,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("body", "rules", "names"), JOINS)
def test_paths_become_one(body: str, rules: set[str], names: str | None) -> None:
    net = network(f"    stage s {{ {body} }}")
    difference, rewritten = compare(Reference(net), "fastest", "train")
    fired = {rule for entry in rewritten.report.fired for rule in entry.rules}
    assert fired >= rules
    assert bool(fired) is bool(rules)
    assert max(difference) <= 1e-10
    if names is not None:
        inside = [node.name.removeprefix("s.") for node in rewritten.graph.nodes if node.name.startswith("s.")]
        assert inside == names.split()


LEFT = [
    ("split 4 { conv(2, 1x1); bn; conv(8, 3x3); bn } merge add", "the paths end in `bn`; only convolutions and linear layers can be summed"),
    ("split 4 { conv(2, 1x1); conv(8, 3x3, bias=true) } merge add", "`conv` has a bias in 4 paths; one summed bias would train differently"),
    ("conv(8, 1x1); split 2 { conv(8, 1x1) } merge add", "several paths return the same value of `conv`"),
    ("split 2 { conv(8, 3x3, groups=2) } merge add", "`groups` of `conv` is more than 1"),
    ("split 2 { conv(4, 1x1, groups=2) } merge concat", "`groups` of `conv` is more than 1, on a value that all paths read"),
    ("split { path { conv(4, 1x1) } path { conv(4, 3x3) } } merge concat", "`kernel` of `conv` is 1x1 in one path and 3x3 in another"),
    ("split { path { conv(4, 1x1) } path { conv(4, 1x1, bias=true) } } merge concat", "`bias` of `conv` is false in one path and true in another"),
    ("split { path { conv(4, 3x3, stride=2) } path { conv(4, 3x3, stride=2, padding=same_upper) } } merge concat", "`padding` of `conv` is `same` in one path and `same_upper` in another"),
    ("split 2 { conv(2, 1x1); conv(8, 3x3, standardize=true) } merge add", "the weights of `conv` are standardized over the inputs of each path"),
    ("split { path { conv(4, 3x3) } path { conv(4, 3x3, standardize=scaled) } } merge concat", "`standardize` of `conv` is false in one path and `scaled` in another"),
    ("split { path { blur_pool(3x3) } path { blur_pool(5x5) } } merge concat", "`blur_pool` cannot be one operator for all paths: `kernel` is (3, 3) in one path and (5, 5) in another"),
    ("split 2 { conv(4, 1x1); dropout(0.1) } merge concat", "`dropout` cannot be one operator for all paths: it draws random numbers for each path"),
    ("split 2 slice { conv(4, 1x1); layernorm } merge concat", "`layernorm` cannot be one operator for all paths: it looks across channels"),
    ("split 2 { conv(4, 1x1); prelu } merge concat", "`prelu` cannot be one operator for all paths: one slope is learned for all channels"),
    ("split { path { conv(4, 1x1); bn(eps=1e-3) } path { conv(4, 1x1); bn } } merge concat", "`bn` cannot be one operator for all paths: `eps` is 0.001 in one path and 1e-05 in another"),
    ("split { path { conv(4, 1x1); relu } path { maxpool(3x3, stride=1) } } merge concat", "the operators of the paths differ: `relu` and `maxpool`"),
    ("split { path { conv(4, 1x1); conv(4, 3x3) } path { conv(6, 1x1); conv(4, 3x3) } } merge concat", "`conv` takes 4 and 6 channels a group"),
    ("split 2 { conv(4, 1x1); relu } merge maximum", "no rule joins paths that `maximum` merges"),
    ("split { path { conv(4, 1x1) as v; relu } path { add(v); conv(4, 1x1); relu } } merge concat", None),
    ("split { path { conv(4, 1x1) as a; conv(4, 3x3); add(a) } path { conv(4, 1x1) as a; conv(4, 3x3) as b; conv(4, 3x3); add(a, b) } } merge concat", "`add` takes 2 and 3 values in different paths"),
    ("split { path { relu } path { gelu } path { silu } } merge add", "the paths end in `relu` and `gelu` and `silu`; only convolutions and linear layers can be summed"),
    ("split { path { relu } path { gelu } path { silu } path { tanh } } merge add", "the paths end in `relu` and `gelu` and `silu`; only convolutions and linear layers can be summed"),
    ("split { path { slice(4, 8); conv(4, 1x1) } path { slice(0, 4); conv(4, 1x1) } } merge concat", "the slices overlap, leave gaps or stand in another order"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "reason"), LEFT)
def test_a_split_that_is_left_alone_says_why(body: str, reason: str | None) -> None:
    body = body.replace("add(v)", "conv(4, 1x1); add(v)")
    net = network(f"    stage s {{\n        {body}\n    }}")
    rewritten = net.rewrite()
    assert rewritten.graph is net.ir
    assert not rewritten.report.fired
    (left,) = rewritten.report.left.values()
    if reason is not None:
        assert left.reason == reason
    assert left.span.line == left.cause.line == 4
    assert left.place.startswith("s.")


def test_a_norm_in_each_path_blocks_the_sum_in_training_only() -> None:
    net = network("    stage s { split 4 { conv(2, 1x1); bn; relu; conv(8, 3x3); bn } merge add; relu }")
    assert net.rewrite(mode="train").graph is net.ir
    difference, rewritten = compare(Reference(net), "fastest", "inference")
    assert difference.outputs <= 1e-10
    inside = [node.name for node in rewritten.graph.nodes if node.name.startswith("s.")]
    assert inside == ["s.conv1", "s.relu_2", "s.conv2", "s.relu"]


FOLDS = [
    ("conv(8, 3x3); bn; relu", {"folded"}, "conv relu"),
    ("conv(8, 3x3, bias=true); bn(affine=false); relu", {"folded"}, "conv relu"),
    ("conv(8, 3x3); scale(0.3); layer_scale(0.5)", {"folded"}, "conv"),
    ("conv_transpose(4, 2x2, stride=2, groups=2); bn", {"folded"}, "conv_transpose"),
    ("conv(8, 3x3); dropout(0.5); identity; relu", {"inactive"}, "conv relu"),
    ("conv(64, 1x1); conv(4, 1x1, bias=true); relu", {"composed"}, "conv2 relu"),
    ("conv(2, 1x1); conv(8, 1x1); relu", set(), "conv1 conv2 relu"),
    ("split { path { conv(8, 3x3); bn } path { conv(8, 1x1); bn } path { bn } } merge add; relu", {"folded", "parallel"}, None),
    ("residual { conv(8, 3x3) }; relu", {"parallel"}, None),
    ("conv(8, 3x3); bn; blur_pool(3x3); fixed_conv([[0.1, 0.7], [0.3, 0.0]]); relu", {"folded"}, "conv blur_pool fixed_conv relu"),
    ("conv(8, 3x3, standardize=true, eps=0.01); relu", {"baked"}, "conv relu"),
    ("conv(8, 3x3, groups=2, standardize=scaled, gamma=1.5, bias=true); bn; relu", {"baked", "folded"}, "conv relu"),
    ("residual { conv(8, 3x3, standardize=scaled, stride=1, padding=same_upper) }; relu", {"baked", "parallel"}, "conv relu"),
    ("split 2 { conv(2, 1x1); conv(8, 3x3, standardize=true) } merge add", {"baked", "same_input", "sum_of_convolutions"}, "conv1 conv2"),
    ("residual { conv(8, 3x3, padding=same_upper) }; relu", {"parallel"}, "conv relu"),
    ("residual { conv(8, 2x2, padding=same_upper) }; relu", set(), "conv add relu"),
    ("conv(8, 3x3, stride=2, padding=same_upper); bn; relu", {"folded"}, "conv relu"),
    ("split { path { conv(8, 3x3, stride=2, padding=same_upper) } path { conv(8, 3x3, stride=2, padding=same_upper, bias=true) } } merge add", {"parallel"}, "paths.0.conv"),
    ("split { path { conv(8, 3x3, stride=2, padding=same_upper) } path { conv(8, 1x1, stride=2, padding=same_upper) } } merge add", set(), "paths.0.conv paths.1.conv add"),
    ("residual { conv(8, 3x3, groups=2) }; relu", {"parallel"}, None),
    ("split { path { conv(8, 3x3) } path { conv(8, 5x5, bias=true) } path { conv(8, 1x3) } } merge add", {"parallel"}, None),
    ("split { path { conv(8, 3x3) } path { conv(8, 3x3, dilation=2) } path { identity } } merge add", {"parallel"}, None),
]  # fmt: skip


@pytest.mark.parametrize(("body", "rules", "names"), FOLDS)
def test_rules_of_inference(body: str, rules: set[str], names: str | None) -> None:
    net = network(f"    stage s {{ {body} }}")
    difference, rewritten = compare(Reference(net), "fastest", "inference")
    fired = {rule for entry in rewritten.report.fired for rule in entry.rules}
    assert fired == rules
    assert difference.outputs <= 1e-10
    assert rewritten.weights.invertible is (fired <= {"inactive"})
    if names is not None:
        assert [
            node.name.removeprefix("s.") for node in rewritten.graph.nodes if node.name[:2] == "s."
        ] == names.split()


def test_a_network_of_repvgg_blocks_becomes_plain() -> None:
    net = network(
        "    stage s repeat 3 { split { path { conv(8, 3x3); bn } path { conv(8, 1x1); bn } path { bn } } merge add; relu }"
    )
    difference, rewritten = compare(Reference(net), "fastest", "inference")
    assert difference.outputs <= 1e-10
    assert [node.operator for node in rewritten.graph.nodes] == [
        "input", *["conv", "relu"] * 3, "avgpool", "flatten", "linear",
    ]  # fmt: skip


def test_a_depthwise_convolution_is_not_spelled_as_paths() -> None:
    net = network("    stage s { conv(8, 3x3, groups=8) }")
    message = r"error\[E608\]: the network cannot be spelled in form \(a\)"
    with pytest.raises(rx.ArchError, match=message) as caught:
        net.compile(form="a")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint == "forms: written, c, fastest"
    assert [note.message for note in diagnostic.notes] == [
        "`s.conv`: the paths of a depthwise convolution would have one channel each"
    ]


SUMMED = [
    ("conv(8, 1x1); conv(8, 3x3, groups=4); conv(8, 1x1)", "", "add"),
    ("conv(8, 3x3, groups=4); bn; relu; conv(8, 1x1); bn", "", "add"),
    (
        "conv(8, 3x3, groups=4); conv(8, 1x1, bias=true)",
        "the convolution after the paths has a bias, so they are concatenated, not summed",
        "concat",
    ),
    (
        "conv(8, 3x3, groups=4); split { path { identity } path { avgpool(global); sigmoid } } merge mul; conv(8, 1x1)",
        "several operators read the paths' values, so they are concatenated, not summed",
        "concat",
    ),
    (
        "conv(8, 3x3, groups=4); layernorm; conv(8, 1x1)",
        "`layernorm` reads the paths' values, so they are concatenated, not summed",
        "concat",
    ),
]


@pytest.mark.parametrize(("body", "reason", "merge"), SUMMED)
def test_paths_go_on_to_their_sum_where_they_can(body: str, reason: str, merge: str) -> None:
    net = network(f"    stage s {{ {body} }}")
    difference, rewritten = compare(Reference(net), "a", "train")
    assert max(difference) <= 1e-10
    assert any(node.name == f"s.{merge}" for node in rewritten.graph.nodes)
    reasons = [left.reason for left in rewritten.report.left.values() if "summed" in left.reason]
    assert reasons == ([reason] if reason else [])


def test_more_paths_than_the_bound_on_nodes_are_refused() -> None:
    text = "network net { input image: 64x4x4; conv(64, 1x1); conv(64, 3x3, groups=32); avgpool(global); flatten; linear(2) }"
    assert rx.loads(text).rewrite("b")
    tight = rx.loads(text, options=rx.Options(max_nodes=40))
    with pytest.raises(rx.ArchError, match="E608") as caught:
        tight.rewrite("b")
    assert "32 paths would make more than 40 operators" in str(caught.value)


def test_unknown_forms_and_modes_are_refused() -> None:
    net = network("    stage s { relu }")
    with pytest.raises(ValueError, match="form 'd' is none of written, a, b, c, fastest"):
        net.rewrite("d")
    with pytest.raises(ValueError, match="mode 'fast' is none of train, inference"):
        net.compile(mode="fast")


EQUAL = [
    (
        "split { path { split { path { conv(4, 1x1) } path { conv(4, 3x3) } } merge concat } path { conv(4, 5x5) } } merge concat",
        "split { path { conv(4, 1x1) } path { conv(4, 3x3) } path { conv(4, 5x5) } } merge concat",
    ),
    ("split 2 { conv(4, 1x1); relu } merge concat", "conv(8, 1x1); relu"),
    ("split 2 slice { conv(4, 3x3) } merge concat", "conv(8, 3x3, groups=2)"),
    ("split 2 { split 2 { conv(4, 1x1) } merge concat } merge concat", "conv(16, 1x1)"),
    ("split 4 { conv(2, 1x1); conv(8, 1x1) } merge add", "conv(8, 1x1); conv(8, 1x1)"),
    ("identity; conv(8, 1x1)", "conv(8, 1x1); identity"),
    (
        "split { path { conv(4, 1x1); relu } path { conv(4, 3x3); relu } } merge concat",
        "split { path { conv(4, 1x1) } path { conv(4, 3x3) } } merge concat; relu",
    ),
]


@pytest.mark.parametrize(("one", "other"), EQUAL)
def test_spellings_of_one_architecture_have_one_fingerprint(one: str, other: str) -> None:
    assert network(f"    stage s {{ {one} }}").fingerprint == network(f"    stage t {{ {other} }}").fingerprint


UNEQUAL = [
    ("split 2 { conv(4, 1x1); prelu } merge concat", "conv(8, 1x1); prelu"),
    ("split 2 slice { conv(4, 3x3) } merge concat", "conv(8, 3x3, groups=4)"),
    ("split 2 { conv(4, 1x1); bn; conv(8, 1x1); bn } merge add", "conv(8, 1x1); bn; conv(8, 1x1); bn"),
    ("conv(8, 1x1, bias=true)", "conv(8, 1x1)"),
]


@pytest.mark.parametrize(("one", "other"), UNEQUAL)
def test_other_architectures_have_other_fingerprints(one: str, other: str) -> None:
    assert network(f"    stage s {{ {one} }}").fingerprint != network(f"    stage s {{ {other} }}").fingerprint


def test_the_page_of_forms_names_every_rule() -> None:
    page = (Path(__file__).parents[2] / "docs" / "forms.md").read_text(encoding="utf-8")
    rules = [*join.RULES, join.sum_of_convolutions, *fold.RULES]
    names = {rule.__name__ for rule in rules} | {"groups_as_paths", "sum_of_paths", "training_output_removed"}
    names |= {"nested_add", "nested_slice"}
    assert set(re.findall(r"^\| `(\w+)` \| (?!spell)", page, re.MULTILINE)) - set(FORMS) == names


def test_padding_follows_the_size_of_the_image_in_every_form() -> None:
    window = "stride=2, padding=same_upper"
    body = f"""
    stage s {{
        split 2 {{ conv(4, 3x3, {window}); bn; relu }} merge concat
        split {{ path {{ conv(8, 3x3, {window}); bn }} path {{ conv(8, 3x3, {window}) }} }} merge add
        residual {{ conv(8, 5x5, padding=same_upper); bn }}
        maxpool(3x3, {window})
        split 2 slice {{ conv(4, 2x2, {window}) }} merge concat
    }}"""
    net = network(body, "3x40x40")
    written = net.compile(form="written", seed=0, dtype=torch.double).eval()
    fill(written, seed=1)
    for form, mode in (("fastest", "train"), ("fastest", "inference"), ("written", "inference")):
        other = net.compile(form=form, mode=mode, weights=written.state_dict(), dtype=torch.double).eval()
        for height, width in ((40, 40), (37, 33), (16, 31)):
            x = torch.randn(2, 3, height, width, dtype=torch.double)
            torch.testing.assert_close(other(x), written(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(("standardize", "each"), [("true", 4), ("scaled", 5)])
def test_standardization_costs_a_norm_of_the_weights_until_it_is_baked_in(standardize: str, each: int) -> None:
    net = network(f"    stage s {{ conv(16, 3x3, groups=2, standardize={standardize}) }}")
    plain = network("    stage s { conv(16, 3x3, groups=2) }")
    image, weights = (8, 6, 6), 16 * 4 * 9
    written, inference = net.compile(form="written"), net.compile(mode="inference")
    counted = measure(written, image)
    agree(net.cost(), counted)
    assert counted.flops_by_operator["batch_norm"] == each * weights
    assert net.cost().macs == plain.cost().macs
    assert net.cost().flops == plain.cost().flops + each * weights
    assert measure(inference, image).cost.flops == plain.cost().flops
    x = torch.randn(2, *image)
    written.eval()
    torch.testing.assert_close(net.compile(mode="inference", weights=written.state_dict())(x), written(x))


def test_the_paths_of_standardized_weights_are_not_summed() -> None:
    net = network(
        "    stage s { conv(8, 1x1, standardize=scaled); conv(8, 3x3, groups=2, standardize=true); conv(4, 1x1, standardize=true) }"
    )
    difference, rewritten = compare(Reference(net), "a", "train")
    assert max(difference) <= 1e-10
    (left,) = rewritten.report.left.values()
    assert (
        left.reason == "the convolution after the paths has standardized weights, so they are concatenated, not summed"
    )
