"""Checks the invariants of a graph, which every pass keeps and every later stage relies on.

A broken invariant is an internal error, not an error in the spec. `InvariantError` names the node.
"""

from __future__ import annotations

from resnext_dsl.graph.ir import Graph, Node, input_shapes, tensors_of, uses_of_modules
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import RuleError, Shape


class InvariantError(AssertionError):
    """The graph breaks an invariant: an internal error."""


def check_invariants(graph: Graph) -> Graph:
    """The graph itself, if it keeps every invariant.

    Raises:
        InvariantError: The graph breaks an invariant; the message names the node, scope or output.
    """
    _names(graph)
    _operators(graph)
    _scopes(graph)
    _modules(graph)
    _results(graph)
    return graph


def _names(graph: Graph) -> None:
    names = [node.name for node in graph.nodes]
    scopes = [node.scope for node in graph.nodes]
    for name, scope in zip(names, scopes, strict=True):
        if name.rpartition(".")[0] != scope or name[-1:] in (".", ""):
            raise InvariantError(f"node `{name}` is not named after its scope `{scope}`")
    distinct = set(names)
    if len(distinct) != len(names):
        twice = next(name for place, name in enumerate(names) if name in names[:place])
        raise InvariantError(f"two nodes have the name `{twice}`")
    for scope in set(scopes).difference(graph.scopes):
        raise InvariantError(f"the scope `{scope}` of node `{names[scopes.index(scope)]}` does not exist")
    for name in distinct.intersection(graph.scopes):
        raise InvariantError(f"node `{name}` has the name of a scope")


def _operators(graph: Graph) -> None:
    """Checks inputs, attributes and shape of each node by its row; equal applications of an operator once."""
    checked: set[tuple[str, int, tuple[Shape, ...], Shape]] = set()
    shapes: list[Shape] = []
    for index, node in enumerate(graph.nodes):
        read = []
        for source in node.inputs:
            if not 0 <= source < index:
                raise InvariantError(f"node `{node.name}` reads a node that does not precede it")
            read.append(shapes[source])
        shape = node.shape
        applied = node.operator, id(node.attributes), tuple(read), shape
        if applied not in checked:
            _sized(node)
            _is_input(node) if index == 0 else _keeps_rules(node, applied[2])
            checked.add(applied)
        shapes.append(shape)


def _sized(node: Node) -> None:
    if not node.shape or min(node.shape) < 1:
        raise InvariantError(f"node `{node.name}` has the shape {node.shape}")


def _is_input(node: Node) -> None:
    if node.operator != "input" or node.inputs:
        raise InvariantError(f"node `{node.name}` is the first node and not the input")


def _keeps_rules(node: Node, shapes: tuple[Shape, ...]) -> None:
    row = OPERATORS.get(node.operator)
    if row is None:
        raise InvariantError(f"node `{node.name}` has the unknown operator `{node.operator}`")
    if not isinstance(node.attributes, row.attributes):
        raise InvariantError(f"node `{node.name}` has the attributes of another operator than `{node.operator}`")
    least, most = row.inputs
    if len(shapes) < least or (most is not None and len(shapes) > most):
        raise InvariantError(f"node `{node.name}` has {len(shapes)} inputs")
    try:
        shape = row.shape(node.attributes, shapes)
    except RuleError as problem:
        raise InvariantError(f"node `{node.name}`: {problem}") from None
    if shape != node.shape:
        raise InvariantError(f"node `{node.name}` has the shape {node.shape}; the rule of its operator gives {shape}")


def _scopes(graph: Graph) -> None:
    seen: set[str] = set()
    for name, scope in graph.scopes.items():
        if name != scope.name:
            raise InvariantError(f"scope `{scope.name}` is stored under the name `{name}`")
        parent = name.rpartition(".")[0]
        if name and parent not in seen:
            raise InvariantError(f"scope `{name}` precedes its parent")
        seen.add(name)


def _modules(graph: Graph) -> None:
    """Checks that all nodes of one module can call it, and that no other node has the name of the module."""
    if all(node.module is None for node in graph.nodes):
        return
    for module, nodes in uses_of_modules(graph).items():
        first = graph.nodes[nodes[0]]
        for other in (graph.nodes[index] for index in nodes[1:]):
            alike = (first.operator, first.attributes) == (other.operator, other.attributes)
            if (
                not alike
                or tensors_of(graph, first) != tensors_of(graph, other)
                or not _one_source(graph, first, other)
            ):
                raise InvariantError(f"nodes `{first.name}` and `{other.name}` cannot share the module `{module}`")
    unshared = {node.name for node in graph.nodes if node.module is None}
    for node in graph.nodes:
        if node.module in unshared:
            raise InvariantError(f"node `{node.module}` has the name of the module of `{node.name}`")


def _one_source(graph: Graph, first: Node, other: Node) -> bool:
    source = OPERATORS[first.operator].source
    one, two = input_shapes(graph, first), input_shapes(graph, other)
    return one == two or source(first.attributes, one) == source(other.attributes, two)


def _results(graph: Graph) -> None:
    if not graph.outputs or graph.outputs[0].training_only:
        raise InvariantError("the graph has no main output")
    places = [(output.name, output.node) for output in graph.outputs] + [(part.name, part.node) for part in graph.parts]
    for name, node in places:
        if not 0 <= node < len(graph.nodes):
            raise InvariantError(f"`{name}` points to no node")
