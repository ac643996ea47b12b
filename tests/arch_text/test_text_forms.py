"""The texts of hand-made graphs in the form of torch modules."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest
from hand_made_graphs import GraphByHand

import resnext_dsl as rx
from resnext_dsl.arch_text import arch_text
from resnext_dsl.graph.ir import Graph, Output


def body_of(graph: Graph, **options: bool) -> list[str]:
    """The lines of the text between the input and the end, without indentation and parameters."""
    text, order = arch_text(graph, **options)
    network = rx.loads(text)
    assert [node.operator for node in network.ir.nodes] == [graph.nodes[index].operator for index in order]
    lines = [line.strip() for line in text.splitlines()]
    start = next(place for place, line in enumerate(lines) if line.startswith("input "))
    return [line for line in lines[start + 1 : -1] if line and not line.startswith("param ")]


def shown(text: str) -> list[str]:
    return [line.strip() for line in dedent(text).strip().splitlines()]


def bottleneck(made: GraphByHand, name: str, width: int, stride: int = 1, project: bool = False) -> None:
    """The block of torchvision's ResNet."""
    start = len(made.nodes) - 1
    for number, (channels, kernel, step) in enumerate(((width, 1, 1), (width, 3, stride), (4 * width, 1, 1)), 1):
        made.put(f"{name}.conv{number}", "conv", channels=channels, kernel=kernel, stride=step)
        made.put(f"{name}.bn{number}", "bn")
        if number < 3:
            made.put(f"{name}.relu{number}", "relu")
    end = len(made.nodes) - 1
    shortcut = start
    if project:
        padding = 0 if project else "same"
        made.put(f"{name}.downsample.0", "conv", start, channels=4 * width, kernel=1, stride=stride, padding=padding)
        shortcut = made.put(f"{name}.downsample.1", "bn")
    made.put(f"{name}.add", "add", end, shortcut)
    made.put(f"{name}.relu", "relu")


def resnet(**spelled: int) -> Graph:
    labels = {f"layer{k}__{n}": "Bottleneck" for k in (1, 2) for n in range(3)}
    made = GraphByHand((3, 64, 64), **labels)
    made.put("conv1", "conv", channels=16, kernel=7, stride=2)
    made.put("bn1", "bn")
    made.put("relu", "relu")
    for layer, width in ((1, 16), (2, 32)):
        for place in range(layer + 1):
            first = place == 0
            bottleneck(made, f"layer{layer}.{place}", width, 2 if first and layer > 1 else 1, project=first)
    made.put("avgpool", "avgpool", kernel="global")
    made.put("flatten", "flatten")
    made.put("fc", "linear", features=10)
    return made.graph()


RESNET = """
    template bottleneck(width, stride = 1) {
    residual { conv_bn_act(width, 1x1); conv_bn_act(width, 3x3, stride=stride); conv(width * 4, 1x1); bn }; relu
    }
    stem { conv_bn_act(16, 7x7, stride=2) }
    stage layer1 repeat depths[0] { bottleneck(width) }
    stage layer2 repeat depths[1] { bottleneck(width * 2, stride=first(2, 1)) }
    head { avgpool(global); flatten; linear(classes) }
"""


def test_a_resnet_has_residuals_repeats_and_parameters() -> None:
    text = arch_text(resnet(), "small", "small\nof two stages").text
    assert text.startswith("# small\n# of two stages\nfrom std.blocks import conv_bn_act\n\nnetwork small {\n")
    assert body_of(resnet()) == shown(RESNET)
    assert re.findall(r"param (\w+) += (.+)", text) == [
        ("classes", "10"),
        ("depths", "[2, 3]"),
        ("width", "16"),
        ("resolution", "64"),
    ]


def with_same_padding(graph: Graph) -> Graph:
    """The graph with `same` for the padding of 1x1 convolutions, as readers of modules spell it."""
    nodes = [
        node._replace(attributes=node.attributes.replaced(padding="same"))
        if node.operator == "conv" and node.attributes is not None and vars(node.attributes)["padding"] == (0, 0)
        else node
        for node in graph.nodes
    ]
    return graph._replace(nodes=tuple(nodes))


def test_a_read_projection_is_that_of_a_residual_only_on_request() -> None:
    graph = with_same_padding(resnet())
    assert body_of(graph, projections=True) == shown(RESNET)
    strict = "\n".join(body_of(graph))
    assert "} shortcut {" in strict
    assert "if channels_in != width * 4 { conv(width * 4, 1x1, stride=stride); bn }" in strict


def test_equal_paths_are_counted() -> None:
    made = GraphByHand()
    ends = []
    for _ in range(4):
        made.put(f"a{len(made.nodes)}", "conv", 0, channels=4, kernel=3)
        ends.append(made.put(f"b{len(made.nodes)}", "relu"))
    made.put("join", "concat", *ends)
    assert body_of(made.graph()) == ["stage stage1 { split cardinality { conv(4, 3x3); relu } merge concat }"]


def test_slices_of_all_channels_are_those_of_a_split() -> None:
    made = GraphByHand((6, 8, 8))
    made.put("s1", "slice", 0, start=0, stop=2)
    left = made.put("c1", "conv", channels=4, kernel=1)
    right = made.put("s2", "slice", 0, start=2, stop=6)
    made.put("join", "concat", left, right)
    assert body_of(made.graph()) == [
        "stage stage1 { split [2, 4] slice { path { conv(4, 1x1) } path { identity } } merge concat }"
    ]


def test_squeeze_and_excitation_is_that_of_the_library() -> None:
    made = GraphByHand((8, 8, 8))
    start = made.put("conv", "conv", channels=16, kernel=3)
    made.put("pool", "avgpool", kernel="global")
    made.put("reduce", "conv", channels=4, kernel=1, bias=True)
    made.put("act", "silu")
    made.put("expand", "conv", channels=16, kernel=1, bias=True)
    gate = made.put("gate", "sigmoid")
    made.put("mul", "mul", start, gate)
    made.put("bn", "bn")
    assert "squeeze_excite(4, act=silu)" in "\n".join(body_of(made.graph()))


def test_values_that_are_read_far_away_have_names() -> None:
    made = GraphByHand((4, 16, 16))
    first = made.put("down1", "conv", channels=8, kernel=3)
    made.put("pool", "maxpool", kernel=2)
    made.put("down2", "conv", channels=8, kernel=3)
    made.put("up", "upsample", scale=2)
    made.put("cat", "concat", len(made.nodes) - 1, first)
    made.put("out", "conv", channels=2, kernel=1)
    text = "\n".join(body_of(made.graph()))
    assert re.search(r"upsample; concat\(\w+\)|path { identity }", text)


def test_blocks_that_differ_in_an_operator_have_a_condition() -> None:
    made = GraphByHand((8, 16, 16), **{f"block{k}": "Block" for k in range(5)})
    for number in range(5):
        if number % 2:
            made.put(f"block{number}.expand", "conv", channels=16, kernel=1)
            made.put(f"block{number}.norm", "bn")
            made.put(f"block{number}.act", "relu")
        made.put(f"block{number}.conv", "conv", channels=16, kernel=3)
        made.put(f"block{number}.bn", "bn")
        made.put(f"block{number}.gelu", "gelu")
        made.put(f"block{number}.project", "conv", channels=8, kernel=1)
    text = "\n".join(body_of(made.graph()))
    assert "template block(with_conv = false) {" in text
    assert "if with_conv { conv_bn_act(16, 1x1) }" in text
    assert text.count("conv_bn_act") == 2 + text.count("import")


def test_a_dense_block_is_a_list_that_grows() -> None:
    made = GraphByHand((8, 8, 8), dense="DenseBlock", **{f"dense__layer{k}": "DenseLayer" for k in range(4)})
    values = [0]
    for number in range(4):
        name = f"dense.layer{number}"
        source = made.put(f"{name}.cat", "concat", *values) if number else 0
        made.put(f"{name}.norm", "bn", source)
        made.put(f"{name}.act", "relu")
        made.put(f"{name}.squeeze", "conv", channels=8, kernel=1)
        values.append(made.put(f"{name}.conv", "conv", channels=4, kernel=3))
    made.put("dense.cat", "concat", *values)
    made.put("norm", "bn")
    assert body_of(made.graph()) == shown(
        """
        template dense_layer {
        if len(value_in) == 1 { use value_in[0] } else { concat }; bn; relu; conv(8, 1x1)
        conv(4, 3x3); use value_in + [value_here]
        }
        stage dense { use [value_here]; repeat 4 { dense_layer }; concat }
        head { bn }
        """
    )


def test_one_argument_that_changes_from_block_to_block_is_a_loop() -> None:
    made = GraphByHand((8, 8, 8), **{f"body__{k}": "Block" for k in range(4)})
    for number, width in enumerate((4, 8, 12, 20)):
        start = len(made.nodes) - 1
        made.put(f"body.{number}.a", "conv", channels=width, kernel=3)
        made.put(f"body.{number}.b", "gelu")
        made.put(f"body.{number}.c", "conv", channels=8, kernel=3)
        made.put(f"body.{number}.add", "add", len(made.nodes) - 1, start)
    assert "for each in [4, 8, 12, 20] { block(each) }" in "\n".join(body_of(made.graph()))


def test_a_module_that_is_called_twice_is_shared() -> None:
    made = GraphByHand((4, 8, 8))
    for _ in range(2):
        made.put(f"conv_{len(made.nodes)}", "conv", channels=4, kernel=3, module="conv_1")
        made.put(f"relu_{len(made.nodes)}", "relu")
    text, _ = arch_text(made.graph())
    assert "shared conv_1 = conv(4, 3x3)" in text
    assert rx.loads(text).cost().params == 4 * 4 * 9


def test_the_operators_of_an_auxiliary_output_are_its_body() -> None:
    made = GraphByHand((4, 8, 8))
    stem = made.put("stem", "conv", channels=4, kernel=3)
    made.put("body", "conv", channels=4, kernel=3)
    main = made.put("fc", "conv", channels=10, kernel=1)
    made.put("aux_conv", "conv", stem, channels=8, kernel=3)
    aux = made.put("aux_fc", "conv", channels=10, kernel=1)
    lines = body_of(made.graph(Output("main", main), Output("aux", aux, training_only=True)))
    assert re.fullmatch(r"output aux when training from \w+ { conv\(8, 3x3\); conv\(classes, 1x1\) }", lines[-1])


def test_modules_that_read_each_other_are_written_without_blocks() -> None:
    made = GraphByHand((4, 8, 8), a="Block", b="Block")
    first, second = made.put("a.n1", "relu", 0), made.put("b.n1", "gelu", 0)
    third, fourth = made.put("a.n2", "conv", second, channels=4, kernel=3), made.put("b.n2", "bn", first)
    a = made.put("a.n3", "add", first, third)
    b = made.put("b.n3", "add", second, fourth)
    made.put("join", "concat", a, b)
    assert not any(line.startswith("template") for line in body_of(made.graph()))


def test_most_unusual_arguments_become_defaults() -> None:
    made = GraphByHand((4, 8, 8))
    for number in range(3):
        made.put(f"conv{number}", "conv", channels=4, kernel=3, bias=True)
        made.put(f"bn{number}", "bn", eps=1e-3)
        made.put(f"act{number}", "elu")
    lines = body_of(made.graph())
    assert lines[:2] == ["default conv(bias=true)", "default bn(eps=0.001)"]
    assert "bias" not in "".join(lines[2:])


@pytest.mark.parametrize(
    ("name", "label", "template"),
    [("relu", "ReLU6Block", "re_lu6_block"), ("network", "Conv", "conv2"), ("2d", "conv_bn_act", "conv_bn_act2")],
)
def test_names_have_no_other_meaning(name: str, label: str, template: str) -> None:
    made = GraphByHand((4, 8, 8), **{f"x__{k}": label for k in range(2)})
    for number in range(2):
        start = len(made.nodes) - 1
        for part in range(4):
            made.put(f"x.{number}.n{part}", "conv", channels=4, kernel=3 + 2 * number)
        made.put(f"x.{number}.add", "add", len(made.nodes) - 1, start)
    text, _ = arch_text(made.graph(), name)
    network = rx.loads(text)
    assert f"template {template}" in text
    assert network.name not in ("relu", "network", "2d")


def test_a_node_that_no_output_needs_is_left_out() -> None:
    made = GraphByHand((4, 8, 8))
    made.put("dead", "relu")
    alive = made.put("alive", "gelu", 0)
    _, order = arch_text(made.graph(alive))
    assert order == (0, alive)


def test_a_wrong_text_is_an_internal_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnext_dsl.arch_text import operator_items

    made = GraphByHand((4, 8, 8))
    made.put("conv", "conv", channels=4, kernel=3)
    monkeypatch.setattr(
        operator_items, "values_of_attributes", lambda attributes: (8, *[*vars(attributes).values()][1:])
    )
    with pytest.raises(rx.ArchError, match="its arguments are") as caught:
        arch_text(made.graph())
    assert caught.value.diagnostics[0].code == "E801"
