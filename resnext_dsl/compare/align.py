"""Aligns two graphs: pairs the operators of one with the operators of the other.

Scopes are paired by name; a part with equal content and another name is paired too. The operators directly in a scope
are paired by their order, since the numbers in their names only count them.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS

MOST = 250_000
"""Most pairs of operators of one scope that are compared; in larger scopes, operators are paired by name."""


class Alignment(NamedTuple):
    """The pairs of operators of two graphs.

    Attributes:
        pairs: Position of a node in the first graph -> position in the second.
        back: Position of a node in the second graph -> position in the first.
        parts: Name of a part in the second graph -> its other name in the first.
    """

    pairs: dict[int, int]
    back: dict[int, int]
    parts: dict[str, str]

    def name_in_a(self, name: str) -> str:
        """Replaces the part in a name of the second graph by its name in the first graph."""
        part, dot, rest = name.partition(".")
        return self.parts.get(part, part) + dot + rest


def align(a: Graph, b: Graph) -> Alignment:
    """Pairs the operators of two graphs; swapping the graphs swaps the pairs."""
    alignment = Alignment({}, {}, _renamed_parts(a, b))
    scopes_b = _by_scope(b)
    inside_b = {alignment.name_in_a(scope): positions for scope, positions in scopes_b.items()}
    for scope, positions in _by_scope(a).items():
        for i, j in _aligned(a, positions, b, inside_b.get(scope, [])):
            alignment.pairs[i], alignment.back[j] = j, i
    return alignment


def _by_scope(graph: Graph) -> dict[str, list[int]]:
    positions: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        positions.setdefault(node.scope, []).append(index)
    return positions


# --- parts under another name ---


def _renamed_parts(a: Graph, b: Graph) -> dict[str, str]:
    """Parts of `b` with the same content as a part of `a`, if neither name is in both graphs."""
    waiting: dict[object, list[str]] = {}
    for name, content in _parts_without(a, b):
        waiting.setdefault(content, []).append(name)
    renamed: dict[str, str] = {}
    for name, content in _parts_without(b, a):
        if waiting.get(content):
            renamed[name] = waiting[content].pop(0)
    return renamed


def _parts_without(graph: Graph, other: Graph) -> Iterator[tuple[str, object]]:
    """Outermost scopes whose name the other graph lacks, with their content."""
    content: dict[str, list[object]] = {}
    for node in graph.nodes:
        part = node.name.partition(".")[0]
        if part in graph.scopes and part not in other.scopes:
            content.setdefault(part, []).append((node.operator, node.attributes))
    return ((name, tuple(nodes)) for name, nodes in content.items())


# --- operators of one scope ---


def _aligned(a: Graph, left: list[int], b: Graph, right: list[int]) -> list[tuple[int, int]]:
    """Pairs of similar operators of a scope, in their order."""
    nodes_a, nodes_b = [a.nodes[i] for i in left], [b.nodes[j] for j in right]
    if len(left) * len(right) > MOST:
        return _by_name(nodes_a, left, nodes_b, right)
    # The order of the sides selects one of several best alignments; a fixed order makes swapping safe.
    if _order(nodes_b) < _order(nodes_a):
        return [(left[i], right[j]) for j, i in _best(nodes_b, nodes_a)]
    return [(left[i], right[j]) for i, j in _best(nodes_a, nodes_b)]


def _by_name(nodes_a: list[Node], left: list[int], nodes_b: list[Node], right: list[int]) -> list[tuple[int, int]]:
    positions = {_last_word(node): (j, node) for j, node in zip(right, nodes_b, strict=True)}
    pairs = []
    for i, node in zip(left, nodes_a, strict=True):
        j, other = positions.get(_last_word(node), (-1, node))
        if j >= 0 and _similarity(node, other):
            pairs.append((i, j))
    return pairs


def _order(nodes: list[Node]) -> tuple[int, list[str]]:
    return len(nodes), [f"{_last_word(node)} {node.operator} {node.attributes} {node.shape}" for node in nodes]


def _best(a: list[Node], b: list[Node]) -> list[tuple[int, int]]:
    """The ordered pairs with the largest total similarity (Needleman and Wunsch, 1970; a gap costs nothing)."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            similarity = _similarity(a[i], b[j])
            paired = table[i + 1][j + 1] + similarity if similarity else 0
            table[i][j] = max(paired, table[i + 1][j], table[i][j + 1])
    pairs, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        similarity = _similarity(a[i], b[j])
        if similarity and table[i][j] == table[i + 1][j + 1] + similarity:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif table[i][j] == table[i + 1][j]:
            i += 1
        else:
            j += 1
    return pairs


def _similarity(a: Node, b: Node) -> int:
    """The similarity of two operators; 0 if they cannot be paired."""
    if a.operator == b.operator:
        return 4 + 2 * (a.attributes == b.attributes) + (_last_word(a) == _last_word(b)) + (a.shape == b.shape)
    if "input" in (a.operator, b.operator):
        return 0
    return int(OPERATORS[a.operator].kind == OPERATORS[b.operator].kind)


def _last_word(node: Node) -> str:
    return node.name.rpartition(".")[2]
