"""Checks the invariants of a graph: what every later stage relies on, and every pass must keep.

A broken invariant is a mistake of ours, not of the spec's author: `InvariantError` names the node.
"""

from __future__ import annotations

from resnext_dsl.graph import Graph, Node
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import RuleError, Shape

Applied = tuple[str, int, tuple[Shape, ...], Shape]
"""An operator, the identity of its attributes, the shapes of its inputs and of its result."""


class InvariantError(AssertionError):
    """The graph is not well formed."""


def verify(graph: Graph) -> Graph:
    """The graph itself, if it is well formed.

    Raises:
        InvariantError: With the name of the node, scope or output that breaks an invariant, and how.
    """
    names: set[str] = set()
    right: set[Applied] = set()
    for index, node in enumerate(graph.nodes):
        if node.name in names:
            raise InvariantError(f"node `{node.name}` is there twice")
        names.add(node.name)
        _placed(graph, node)
        if index == 0:
            _is_input(node)
        else:
            _is_applied(graph, index, node, right)
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


def _is_applied(graph: Graph, index: int, node: Node, right: set[Applied]) -> None:
    """Checks what an operator reads, and what it gives by the rules of its row; `right` has what they say to so far."""
    nodes, inputs = graph.nodes, node.inputs
    for source in inputs:
        if not 0 <= source < index:
            raise InvariantError(f"node `{node.name}` reads a node that does not stand before it")
    applied = node.operator, id(node.attributes), tuple([nodes[source].shape for source in inputs]), node.shape
    if applied not in right:
        _keeps_rules(node, applied[2])
        right.add(applied)


def _keeps_rules(node: Node, shapes: tuple[Shape, ...]) -> None:
    row = OPERATORS.get(node.operator)
    if row is None:
        raise InvariantError(f"node `{node.name}` has the unknown operator `{node.operator}`")
    if not isinstance(node.attributes, row.attributes):
        raise InvariantError(f"node `{node.name}` has no attributes of `{node.operator}`")
    least, most = row.inputs
    if len(shapes) < least or (most is not None and len(shapes) > most):
        raise InvariantError(f"node `{node.name}` has {len(shapes)} inputs")
    try:
        shape = row.shape(node.attributes, shapes)
    except RuleError as problem:
        raise InvariantError(f"node `{node.name}`: {problem}") from None
    if shape != node.shape:
        raise InvariantError(f"node `{node.name}` has the shape {node.shape}, its rule says {shape}")


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
