"""Checks the invariants of a graph: what every later stage relies on, and every pass must keep.

A broken invariant is a mistake of ours, not of the spec's author: `InvariantError` names the node.
"""

from __future__ import annotations

from resnext_dsl.graph import Graph, Node
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import RuleError, Shape


class InvariantError(AssertionError):
    """The graph is not well formed."""


def verify(graph: Graph) -> Graph:
    """The graph itself, if it is well formed.

    Raises:
        InvariantError: With the name of the node, scope or output that breaks an invariant, and how.
    """
    names: set[str] = set()
    known: dict[tuple[str, int, tuple[Shape, ...]], Shape] = {}
    for index, node in enumerate(graph.nodes):
        if node.name in names:
            raise InvariantError(f"node `{node.name}` is there twice")
        names.add(node.name)
        _placed(graph, node)
        if index == 0:
            _is_input(node)
        else:
            _is_applied(graph, index, node, known)
    _scopes(graph)
    _results(graph)
    return graph


def _placed(graph: Graph, node: Node) -> None:
    if node.scope not in graph.scopes:
        raise InvariantError(f"node `{node.name}` is in no scope: `{node.scope}`")
    parent, _, own = node.name.rpartition(".")
    if parent != node.scope or not own:
        raise InvariantError(f"node `{node.name}` is not named after its scope `{node.scope}`")
    if node.name in graph.scopes:
        raise InvariantError(f"node `{node.name}` has the name of a scope")
    if not node.shape or min(node.shape) < 1:
        raise InvariantError(f"node `{node.name}` has the shape {node.shape}")


def _is_input(node: Node) -> None:
    if node.operator != "input" or node.inputs:
        raise InvariantError(f"node `{node.name}` is first and not the input")


def _is_applied(graph: Graph, index: int, node: Node, known: dict[tuple[str, int, tuple[Shape, ...]], Shape]) -> None:
    """Checks an operator; `known` has the shapes that the rules have given for attributes and input shapes so far."""
    row = OPERATORS.get(node.operator)
    if row is None:
        raise InvariantError(f"node `{node.name}` has the unknown operator `{node.operator}`")
    if not isinstance(node.attributes, row.attributes):
        raise InvariantError(f"node `{node.name}` has no attributes of `{node.operator}`")
    shapes = []
    for source in node.inputs:
        if not 0 <= source < index:
            raise InvariantError(f"node `{node.name}` reads a node that does not stand before it")
        shapes.append(graph.nodes[source].shape)
    least, most = row.inputs
    if len(node.inputs) < least or (most is not None and len(node.inputs) > most):
        raise InvariantError(f"node `{node.name}` has {len(node.inputs)} inputs")
    key = node.operator, id(node.attributes), tuple(shapes)
    if key not in known:
        try:
            known[key] = row.shape(node.attributes, key[2])
        except RuleError as problem:
            raise InvariantError(f"node `{node.name}`: {problem}") from None
    if known[key] != node.shape:
        raise InvariantError(f"node `{node.name}` has the shape {node.shape}, its rule says {known[key]}")


def _scopes(graph: Graph) -> None:
    seen: set[str] = set()
    for name, scope in graph.scopes.items():
        if name != scope.name:
            raise InvariantError(f"scope `{name}` calls itself `{scope.name}`")
        parent = name.rpartition(".")[0]
        if name and parent not in seen:
            raise InvariantError(f"scope `{name}` stands before its parent")
        seen.add(name)


def _results(graph: Graph) -> None:
    if not graph.outputs or graph.outputs[0].training_only:
        raise InvariantError("the graph has no main output")
    places = [(output.name, output.node) for output in graph.outputs] + [(part.name, part.node) for part in graph.parts]
    for name, node in places:
        if not 0 <= node < len(graph.nodes):
            raise InvariantError(f"`{name}` is no node")
