"""Every invariant of a graph, broken on purpose."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.graph.invariants import InvariantError, check_invariants
from resnext_dsl.graph.ir import Graph, Node

TEXT = """network n {
    input image: 3x8x8
    stage a repeat 2 { residual { conv(3, 3x3); bn; relu } }
    head { avgpool(global); flatten; linear(10) }
}
"""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return rx.loads(TEXT).ir


def place_of(graph: Graph, name: str) -> int:
    return next(place for place, node in enumerate(graph.nodes) if node.name == name)


def changed(graph: Graph, node: str, /, **fields: Any) -> Graph:
    place = place_of(graph, node)
    nodes = list(graph.nodes)
    nodes[place] = nodes[place]._replace(**fields)
    return graph._replace(nodes=tuple(nodes))


def without_scope(graph: Graph) -> Graph:
    return graph._replace(scopes={name: scope for name, scope in graph.scopes.items() if name != "a.1"})


def moved_scope(graph: Graph) -> Graph:
    return graph._replace(scopes=dict(reversed(graph.scopes.items())))


def doubled(graph: Graph) -> Graph:
    first: Node = graph.nodes[place_of(graph, "a.0.bn")]
    return changed(graph, "a.0.relu", name=first.name, scope=first.scope)


def called_otherwise(graph: Graph) -> Graph:
    scopes = {name: scope._replace(name="b") if name == "a" else scope for name, scope in graph.scopes.items()}
    return graph._replace(scopes=scopes)


def attributes_of(graph: Graph, name: str) -> Any:
    return graph.nodes[place_of(graph, name)].attributes


BROKEN: list[tuple[str, Callable[[Graph], Graph]]] = [
    ("two nodes have the name `a.0.bn`", doubled),
    ("the scope `a.1` of node `a.1.conv` does not exist", without_scope),
    ("node `a.1.conv` is not named after its scope `a.0`", lambda g: changed(g, "a.1.conv", scope="a.0")),
    ("node `a.1.` is not named after its scope `a.1`", lambda g: changed(g, "a.1.conv", name="a.1.")),
    ("node `a.0` has the name of a scope", lambda g: changed(g, "a.0.conv", name="a.0", scope="a")),
    ("scope `head` precedes its parent", moved_scope),
    ("scope `b` is stored under the name `a`", called_otherwise),
    ("reads a node that does not precede it", lambda g: changed(g, "a.0.conv", inputs=(9,))),
    ("reads a node that does not precede it", lambda g: changed(g, "a.0.conv", inputs=(-1,))),
    ("node `a.0.conv` has the shape ()", lambda g: changed(g, "a.0.conv", shape=())),
    ("node `a.0.conv` has the shape (3, 0, 8)", lambda g: changed(g, "a.0.conv", shape=(3, 0, 8))),
    (
        "node `a.0.conv` has the shape (4, 8, 8); the rule of its operator gives",
        lambda g: changed(g, "a.0.conv", shape=(4, 8, 8)),
    ),
    ("node `image` is the first node and not the input", lambda g: changed(g, "image", operator="relu")),
    ("node `a.0.conv` has the unknown operator `fold`", lambda g: changed(g, "a.0.conv", operator="fold")),
    (
        "has the attributes of another operator than `bn`",
        lambda g: changed(g, "a.0.bn", attributes=attributes_of(g, "a.0.conv")),
    ),
    ("node `a.0.bn` has 2 inputs", lambda g: changed(g, "a.0.bn", inputs=(0, 1))),
    ("node `head.linear`: ", lambda g: changed(g, "head.linear", inputs=(1,))),
    ("the graph has no main output", lambda g: g._replace(outputs=())),
    (
        "the graph has no main output",
        lambda g: g._replace(outputs=(g.outputs[0]._replace(training_only=True),)),
    ),
    ("`main` points to no node", lambda g: g._replace(outputs=(g.outputs[0]._replace(node=99),))),
    ("`a` points to no node", lambda g: g._replace(parts=(g.parts[0]._replace(node=-1),))),
]


@pytest.mark.parametrize(("message", "breaks"), BROKEN, ids=[message for message, _ in BROKEN])
def test_what_is_broken_is_named(graph: Graph, message: str, breaks: Callable[[Graph], Graph]) -> None:
    with pytest.raises(InvariantError, match=re.escape(message)):
        check_invariants(breaks(graph))


def test_a_graph_that_is_right_is_given_back(graph: Graph) -> None:
    assert check_invariants(graph) is graph
