"""Pairs of nodes by their computation: other names and another order of nodes, and each kind of difference."""

from __future__ import annotations

import random

import pytest

import resnext_dsl as rx
from resnext_dsl.graph.ir import Graph, commutes
from resnext_dsl.semantics.spec_files import shipped_names
from resnext_dsl.weights.graph_pairs import UnpairedError, pair_nodes

FEW = ("inception_v3", "densenet121", "resnext50_32x4d_a", "hrnet_w18", "nasnetalarge", "shufflenet_v2_x1_0")
OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in shipped_names() if name not in FEW]


def shuffled(graph: Graph, seed: int) -> Graph:
    """The same graph in another order of execution."""
    source = random.Random(seed)
    missing = [len(set(node.inputs)) for node in graph.nodes]
    ready, place = [0], dict[int, int]()
    while ready:
        index = ready.pop(source.randrange(len(ready)))
        place[index] = len(place)
        for reader, node in enumerate(graph.nodes):
            if index in node.inputs:
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
    order = sorted(place, key=place.__getitem__)
    nodes = [graph.nodes[i]._replace(inputs=tuple(place[s] for s in graph.nodes[i].inputs)) for i in order]
    outputs = [output._replace(node=place[output.node]) for output in graph.outputs]
    return graph._replace(nodes=tuple(nodes), parts=(), outputs=tuple(outputs))


@pytest.mark.parametrize("name", [*FEW, *OTHERS])
def test_the_order_of_nodes_does_not_count(name: str) -> None:
    graph = rx.load(name).ir
    other = shuffled(graph, 1)
    pairing = pair_nodes(graph, other)
    assert pairing.differences == ()
    pairs = pairing.pairs
    assert len(set(pairs.values())) == len(pairs)
    left = [node.operator for index, node in enumerate(graph.nodes) if index not in pairs]
    assert set(left) <= {"flatten"}
    for index, place in pairs.items():
        node, paired = graph.nodes[index], other.nodes[place]
        assert (node.operator, node.attributes, node.shape) == (paired.operator, paired.attributes, paired.shape)
        if set(node.inputs) <= set(pairs):
            inputs, theirs = [pairs[source] for source in node.inputs], list(paired.inputs)
            assert sorted(inputs) == sorted(theirs)
            assert commutes(node) or inputs == theirs


PATHS = """network n {{
    input image: 8x16x16
    split {{
        path {{ conv(8, 3x3); bn; relu }}
        path {{ {second}; bn({eps}); {act} }}
        path {{ identity }}
    }} merge concat
    avgpool(global); flatten; linear(5)
}}"""


def paths(second: str = "conv(8, 3x3, dilation=2)", eps: str = "", act: str = "relu") -> Graph:
    return rx.loads(PATHS.format(second=second, eps=eps, act=act)).ir


@pytest.mark.parametrize(
    ("changed", "operator", "names"),
    [
        ({"second": "conv(8, 3x3, dilation=3)"}, "conv", ("padding", "dilation")),
        ({"eps": "eps=1e-3"}, "bn", ("eps",)),
        ({"act": "silu"}, "relu", ("operator",)),
    ],
)
def test_nodes_that_differ_in_function_are_paired(changed: dict[str, str], operator: str, names: tuple[str]) -> None:
    graph = paths()
    (difference,) = pair_nodes(graph, paths(**changed)).differences
    node = graph.nodes[difference.a]
    assert (node.operator, node.name.split(".")[0:3]) == (operator, ["paths", "1", *node.name.split(".")[2:]])
    assert set(difference.names) <= set(names)
    assert set(difference.names) & set(names[-1:])


def test_paths_that_are_joined_in_another_order_are_named() -> None:
    graph = paths()
    text = PATHS.format(second="conv(8, 3x3)", eps="", act="relu")
    other = rx.loads(text.replace("path { conv(8, 3x3); bn;", "path { conv(8, 3x3, dilation=2); bn;", 1)).ir
    pairing = pair_nodes(graph, other)
    (difference,) = pairing.differences
    assert (graph.nodes[difference.a].operator, difference.names) == ("concat", ("inputs",))
    dilated = next(i for i, node in enumerate(graph.nodes) if node.operator == "conv" and node.attributes.dilation != 1)
    assert other.nodes[pairing.pairs[dilated]].attributes == graph.nodes[dilated].attributes


@pytest.mark.parametrize(
    ("second", "a", "b"),
    [
        ("conv(16, 3x3)", "conv", "conv"),
        ("conv(8, 3x3); bn", None, "bn"),
        ("identity", "conv", None),
    ],
)
def test_another_structure_has_no_pairs(second: str, a: str | None, b: str | None) -> None:
    graph, other = paths(), paths(second)
    with pytest.raises(UnpairedError) as caught:
        pair_nodes(graph, other)
    found = caught.value
    assert found.a is not None or found.b is not None
    assert a is None or (found.a is not None and graph.nodes[found.a].operator == a)
    assert b is None or (found.b is not None and other.nodes[found.b].operator == b)


def test_a_linear_layer_pairs_with_a_convolution_of_one_position() -> None:
    text = "network n {{ input image: 8x16x16; avgpool(global); {head} }}"
    before = rx.loads(text.format(head="conv(32, 1x1, bias=true); silu; flatten; linear(5)")).ir
    after = rx.loads(text.format(head="flatten; linear(32); silu; linear(5)")).ir
    for one, other in ((before, after), (after, before)):
        pairing = pair_nodes(one, other)
        assert pairing.differences == ()
        named = {one.nodes[a].operator: other.nodes[b].operator for a, b in pairing.pairs.items()}
        assert named.pop("conv", "linear") == "linear"
        assert named["silu"] == "silu"
    with pytest.raises(UnpairedError):
        pair_nodes(before, rx.loads(text.format(head="flatten; linear(32, bias=false); silu; linear(5)")).ir)
