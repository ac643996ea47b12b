"""Pairs the nodes of two graphs by their computation: names and the order of nodes do not count.

The colour of a node covers its operator, its attributes and the colours of the nodes before and after it (colour
refinement: Weisfeiler and Leman, 1968). Nodes of one colour whose inputs are paired are paired. If the graphs differ,
the colours leave out the attributes, and then the operators of one kind. So the nodes that differ are paired too, and
each difference has a place in both graphs. A linear layer equals a convolution of a map of one position. A `flatten` of
such a map has no pair.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node, commutes, identity_of, tensors_of, uses_of_modules
from resnext_dsl.operators import OPERATORS

SWEEPS = 8
"""Most sweeps over a graph, forward and backward in turn; most graphs need three."""

Facts = Callable[[Graph, Node], Hashable]


class Difference(NamedTuple):
    """Nodes at one place of two graphs that compute different functions.

    Attributes:
        a: Position of the node in the first graph.
        b: Position in the second graph.
        names: The attributes that differ; "operator" for another operator, "inputs" for inputs in another order.
    """

    a: int
    b: int
    names: tuple[str, ...]


class Pairing(NamedTuple):
    """The nodes of two graphs in pairs.

    Attributes:
        pairs: Position of a node in the first graph -> position of its node in the second.
        differences: The pairs that compute different functions.
    """

    pairs: dict[int, int]
    differences: tuple[Difference, ...]


class UnpairedError(Exception):
    """Two graphs do not have the same structure.

    Attributes:
        a: Position of the first node of the first graph without a pair; None if every one has a pair.
        b: Position of the first node of the second graph without a pair; None if every one has a pair.
    """

    def __init__(self, a: int | None, b: int | None) -> None:
        super().__init__(f"nodes {a} and {b} have no pair")
        self.a, self.b = a, b


def pair_nodes(a: Graph, b: Graph) -> Pairing:
    """Pairs all nodes of two graphs.

    Raises:
        UnpairedError: If the graphs have another structure, or layers with tensors of other shapes.
    """
    levels: list[tuple[Facts, bool]] = [(_function, False), (_layer, True), (_kind, True)]
    sheets = _Sheet(a), _Sheet(b)
    for facts, any_order in levels:
        colors = [_colors(sheet, facts, any_order) for sheet in sheets]
        pairs = _matched(*sheets, colors[0], colors[1], any_order)
        if pairs is not None:
            return Pairing(pairs, tuple(_differences(*sheets, pairs)))
    # Colours of the nodes before a node alone tell where the graphs part.
    before = [_colors(sheet, _kind, any_order=True, sweeps=1) for sheet in sheets]
    raise UnpairedError(_unmatched(before[0], before[1]), _unmatched(before[1], before[0]))


class _Sheet:
    """A graph without the nodes that only reshape a map of one position.

    Attributes:
        graph: The graph.
        kept: The positions of the nodes that count.
        inputs: Position of a node -> the nodes that it reads.
        outputs: The nodes of the outputs.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.kept: list[int] = []
        self.inputs: dict[int, tuple[int, ...]] = {}
        stands_for: list[int] = []
        for index, node in enumerate(graph.nodes):
            inputs = tuple([stands_for[source] for source in node.inputs])
            if node.operator == "flatten" and _is_one_position(graph, node):
                stands_for.append(inputs[0])
                continue
            stands_for.append(index)
            self.kept.append(index)
            self.inputs[index] = inputs
        self.outputs = [stands_for[output.node] for output in graph.outputs]


def _is_one_position(graph: Graph, node: Node) -> bool:
    """Whether the input of a node is features, or a map of one position."""
    return math.prod(graph.nodes[node.inputs[0]].shape[1:]) == 1


# --- the facts of a node at each level ---


def _function(graph: Graph, node: Node) -> Hashable:
    """The operator and its attributes."""
    if node.attributes is None:
        return node.operator, node.shape
    if _is_linear(graph, node):
        return "linear", node.shape[0], dict(node.attributes)["bias"]
    return node.operator, tuple(identity_of(node.attributes).items())


def _layer(graph: Graph, node: Node) -> Hashable:
    """The operator and the shapes of its tensors."""
    return "linear" if _is_linear(graph, node) else node.operator, _tensors(graph, node)


def _kind(graph: Graph, node: Node) -> Hashable:
    """The kind of the operator and the shapes of its tensors."""
    if _is_linear(graph, node) or node.operator == "input":
        return node.operator == "input", _tensors(graph, node)
    return OPERATORS[node.operator].kind, _tensors(graph, node)


def _is_linear(graph: Graph, node: Node) -> bool:
    """Whether a node is a linear layer, or a convolution of a map of one position that equals one."""
    if node.operator != "conv":
        return node.operator == "linear"
    known = dict(node.attributes or ())
    return (
        known["groups"] == 1
        and not known["standardize"]
        and set(known["kernel"]) == {1}
        and _is_one_position(graph, node)
    )


def _tensors(graph: Graph, node: Node) -> Hashable:
    linear = _is_linear(graph, node)
    return tuple((one.field, one.shape[:2] if linear else one.shape) for one in tensors_of(graph, node))


# --- colours ---


def _colors(sheet: _Sheet, facts: Facts, any_order: bool, sweeps: int = SWEEPS) -> dict[int, int]:
    """The colour of each node. Equal nodes of two graphs have equal colours within one process."""
    graph, nodes = sheet.graph, sheet.graph.nodes
    readers: dict[int, list[tuple[int, int]]] = {index: [] for index in sheet.kept}
    unordered = {index: _is_unordered(nodes[index], any_order) for index in sheet.kept}
    for index in sheet.kept:
        for position, source in enumerate(sheet.inputs[index]):
            readers[source].append((index, 0 if unordered[index] else position))
    ends, main = Counter(sheet.outputs), sheet.outputs[0]
    shared = {index: len(indices) for indices in uses_of_modules(graph).values() for index in indices}
    colors = {
        index: hash((facts(graph, nodes[index]), index == main, ends[index], shared.get(index, 1)))
        for index in sheet.kept
    }
    count = 0
    for sweep in range(sweeps):
        if sweep % 2 == 0:
            for index in sheet.kept:
                read = [colors[source] for source in sheet.inputs[index]]
                colors[index] = hash((colors[index], tuple(sorted(read) if unordered[index] else read)))
        else:
            for index in reversed(sheet.kept):
                behind = sorted((colors[reader], position) for reader, position in readers[index])
                colors[index] = hash((colors[index], tuple(behind)))
        if sweep > 1 and len(set(colors.values())) == count:
            break
        count = len(set(colors.values()))
    return colors


def _is_unordered(node: Node, any_order: bool) -> bool:
    return commutes(node) or (any_order and len(node.inputs) > 1)


# --- pairs ---


def _matched(
    a: _Sheet, b: _Sheet, colors_a: dict[int, int], colors_b: dict[int, int], any_order: bool
) -> dict[int, int] | None:
    """The pairs; None if a node has none."""
    if Counter(colors_a.values()) != Counter(colors_b.values()):
        return None
    waiting: dict[Hashable, list[int]] = {}
    for index, color in colors_b.items():
        waiting.setdefault(_key(b.graph.nodes[index], color, b.inputs[index], any_order), []).append(index)
    pairs: dict[int, int] = {}
    for index, color in colors_a.items():
        node = a.graph.nodes[index]
        candidates = waiting.get(_key(node, color, [pairs[source] for source in a.inputs[index]], any_order))
        if not candidates:
            return None
        pairs[index] = candidates.pop(_best(node, [b.graph.nodes[other] for other in candidates]))
    return pairs


def _key(node: Node, color: int, inputs: Sequence[int], any_order: bool) -> Hashable:
    return color, tuple(sorted(inputs) if _is_unordered(node, any_order) else inputs)


def _best(node: Node, candidates: list[Node]) -> int:
    """The place of the first candidate that is equal to a node; else of the first candidate."""
    for place, other in enumerate(candidates):
        if (other.operator, other.attributes) == (node.operator, node.attributes):
            return place
    return 0


def _unmatched(colors: Mapping[int, int], others: Mapping[int, int]) -> int | None:
    """The first node whose colour has more nodes in its own graph than in the other."""
    left = Counter(others.values())
    for index, color in colors.items():
        if not left[color]:
            return index
        left[color] -= 1
    return None


def _differences(a: _Sheet, b: _Sheet, pairs: dict[int, int]) -> list[Difference]:
    differences = []
    for index, other in pairs.items():
        x, y = a.graph.nodes[index], b.graph.nodes[other]
        names: list[str] = []
        if _function(a.graph, x) != _function(b.graph, y):
            before, after = ({} if n.attributes is None else identity_of(n.attributes) for n in (x, y))
            names += ["operator"] if x.operator != y.operator else []
            names += [name for name, value in before.items() if name in after and after[name] != value]
        if not commutes(x) and [pairs[source] for source in a.inputs[index]] != list(b.inputs[other]):
            names.append("inputs")
        if names:
            differences.append(Difference(index, other, tuple(names)))
    return differences
