"""Pairs the nodes of two graphs by their computation: names and the order of nodes do not count.

The colour of a node covers its operator, its attributes and the colours of the nodes before and after it (colour
refinement: Weisfeiler and Leman, 1968). Nodes of one colour whose inputs are paired are paired. If the graphs differ,
the colours leave out attributes, then operators of one kind, so that the nodes that differ are paired too and each
difference has a place in both graphs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node, commutes, tensors_of, uses_of_modules
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
        pairs: For each node of the first graph, the position of its node in the second.
        differences: The pairs that compute different functions.
    """

    pairs: tuple[int, ...]
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
    levels: list[tuple[Facts, bool]] = [(_attributes, False), (_layer, True), (_kind, True)]
    for facts, any_order in levels:
        colors = [_colors(graph, facts, any_order) for graph in (a, b)]
        pairs = _matched(a, b, colors[0], colors[1], any_order)
        if pairs is not None:
            return Pairing(tuple(pairs), tuple(_differences(a, b, pairs)))
    # Colours of the nodes before a node alone tell where the graphs part.
    before = [_colors(graph, _kind, any_order=True, sweeps=1) for graph in (a, b)]
    raise UnpairedError(_unmatched(before[0], before[1]), _unmatched(before[1], before[0]))


# --- the facts of a node at each level ---


def _attributes(graph: Graph, node: Node) -> Hashable:
    return node.operator, node.attributes if node.attributes is not None else node.shape


def _layer(graph: Graph, node: Node) -> Hashable:
    """The operator and the shapes of its tensors."""
    return node.operator, _tensors(graph, node)


def _kind(graph: Graph, node: Node) -> Hashable:
    """The kind of the operator and the shapes of its tensors."""
    return OPERATORS[node.operator].kind if node.operator != "input" else "input", _tensors(graph, node)


def _tensors(graph: Graph, node: Node) -> Hashable:
    return tuple((tensor.field, tensor.shape) for tensor in tensors_of(graph, node))


# --- colours ---


def _colors(graph: Graph, facts: Facts, any_order: bool, sweeps: int = SWEEPS) -> list[int]:
    """The colour of each node. Equal nodes of two graphs have equal colours within one process."""
    nodes = graph.nodes
    readers: list[list[tuple[int, int]]] = [[] for _ in nodes]
    unordered = [_is_unordered(node, any_order) for node in nodes]
    for index, node in enumerate(nodes):
        for position, source in enumerate(node.inputs):
            readers[source].append((index, 0 if unordered[index] else position))
    ends = Counter(output.node for output in graph.outputs)
    main, uses = graph.outputs[0].node, uses_of_modules(graph)
    shared = {index: len(indices) for indices in uses.values() for index in indices}
    colors = [
        hash((facts(graph, node), index == main, ends[index], shared.get(index, 1))) for index, node in enumerate(nodes)
    ]
    count = 0
    for sweep in range(sweeps):
        if sweep % 2 == 0:
            for index, node in enumerate(nodes):
                read = [colors[source] for source in node.inputs]
                colors[index] = hash((colors[index], tuple(sorted(read) if unordered[index] else read)))
        else:
            for index in range(len(nodes) - 1, -1, -1):
                behind = sorted((colors[reader], position) for reader, position in readers[index])
                colors[index] = hash((colors[index], tuple(behind)))
        if sweep > 1 and len(set(colors)) == count:
            break
        count = len(set(colors))
    return colors


def _is_unordered(node: Node, any_order: bool) -> bool:
    return commutes(node) or (any_order and len(node.inputs) > 1)


# --- pairs ---


def _matched(a: Graph, b: Graph, colors_a: list[int], colors_b: list[int], any_order: bool) -> list[int] | None:
    """The pairs; None if a node has none."""
    if Counter(colors_a) != Counter(colors_b):
        return None
    waiting: dict[Hashable, list[int]] = {}
    for index, node in enumerate(b.nodes):
        waiting.setdefault(_key(node, colors_b[index], node.inputs, any_order), []).append(index)
    pairs: list[int] = []
    for node, color in zip(a.nodes, colors_a, strict=True):
        key = _key(node, color, [pairs[source] for source in node.inputs], any_order)
        candidates = waiting.get(key)
        if not candidates:
            return None
        pairs.append(candidates.pop(_best(node, [b.nodes[other] for other in candidates])))
    return pairs


def _key(node: Node, color: int, inputs: Sequence[int], any_order: bool) -> Hashable:
    return color, tuple(sorted(inputs) if _is_unordered(node, any_order) else inputs)


def _best(node: Node, candidates: list[Node]) -> int:
    """The place of the first candidate that is equal to a node; else of the first candidate."""
    for place, other in enumerate(candidates):
        if (other.operator, other.attributes) == (node.operator, node.attributes):
            return place
    return 0


def _unmatched(colors: list[int], others: list[int]) -> int | None:
    """The first node whose colour has more nodes in its own graph than in the other."""
    left = Counter(others)
    for index, color in enumerate(colors):
        if not left[color]:
            return index
        left[color] -= 1
    return None


def _differences(a: Graph, b: Graph, pairs: list[int]) -> list[Difference]:
    found = []
    for index, other in enumerate(pairs):
        x, y = a.nodes[index], b.nodes[other]
        names = ["operator"] if x.operator != y.operator else []
        before, after = dict(x.attributes or ()), dict(y.attributes or ())
        names += [name for name, value in before.items() if name in after and after[name] != value]
        inputs = [pairs[source] for source in x.inputs]
        if not commutes(x) and inputs != list(y.inputs):
            names.append("inputs")
        if names:
            found.append(Difference(index, other, tuple(names)))
    return found
