"""Which operators of two graphs stand for each other.

Scopes are found by name, parts that hold the same under another name too; the operators directly in a scope by their
order, since the numbers in their names only count them.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS

MOST = 250_000
"""Pairs of operators of one scope that are weighed against each other; with more, names decide."""


class Alignment(NamedTuple):
    """How the second of two graphs is laid over the first.

    Attributes:
        pairs: Positions of nodes in the first graph -> positions in the second.
        back: The same, from the second to the first.
        parts: Name of a part in the second -> its name in the first, where that is another.
    """

    pairs: dict[int, int]
    back: dict[int, int]
    parts: dict[str, str]

    def name_in_a(self, name: str) -> str:
        """A name of the second graph with the first graph's name of its part."""
        part, dot, rest = name.partition(".")
        return self.parts.get(part, part) + dot + rest


def align(a: Graph, b: Graph) -> Alignment:
    """Lays one graph over another; swapping them swaps the answer."""
    made = Alignment({}, {}, _renamed_parts(a, b))
    scopes_b = _by_scope(b)
    inside_b = {made.name_in_a(scope): positions for scope, positions in scopes_b.items()}
    for scope, positions in _by_scope(a).items():
        for i, j in _aligned(a, positions, b, inside_b.get(scope, [])):
            made.pairs[i], made.back[j] = j, i
    return made


def _by_scope(graph: Graph) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for index, node in enumerate(graph.nodes):
        found.setdefault(node.scope, []).append(index)
    return found


# --- parts under another name ---


def _renamed_parts(a: Graph, b: Graph) -> dict[str, str]:
    """Parts of `b` that hold exactly what a part of `a` holds, where neither name is in both graphs."""
    waiting: dict[object, list[str]] = {}
    for name, content in _parts_without(a, b):
        waiting.setdefault(content, []).append(name)
    found: dict[str, str] = {}
    for name, content in _parts_without(b, a):
        if waiting.get(content):
            found[name] = waiting[content].pop(0)
    return found


def _parts_without(graph: Graph, other: Graph) -> Iterator[tuple[str, object]]:
    """Outermost scopes that the other graph does not name, and what they hold."""
    content: dict[str, list[object]] = {}
    for node in graph.nodes:
        part = node.name.partition(".")[0]
        if part in graph.scopes and part not in other.scopes:
            content.setdefault(part, []).append((node.operator, node.attributes))
    return ((name, tuple(held)) for name, held in content.items())


# --- operators of one scope ---


def _aligned(a: Graph, left: list[int], b: Graph, right: list[int]) -> list[tuple[int, int]]:
    """Pairs of the operators of a scope that are alike, in their order."""
    nodes_a, nodes_b = [a.nodes[i] for i in left], [b.nodes[j] for j in right]
    if len(left) * len(right) > MOST:
        return _by_name(nodes_a, left, nodes_b, right)
    # Of several best answers the search takes one by the order of its sides; a fixed order keeps the two ways equal.
    if _order(nodes_b) < _order(nodes_a):
        return [(left[i], right[j]) for j, i in _best(nodes_b, nodes_a)]
    return [(left[i], right[j]) for i, j in _best(nodes_a, nodes_b)]


def _by_name(nodes_a: list[Node], left: list[int], nodes_b: list[Node], right: list[int]) -> list[tuple[int, int]]:
    positions = {_own(node): (j, node) for j, node in zip(right, nodes_b, strict=True)}
    found = []
    for i, node in zip(left, nodes_a, strict=True):
        j, other = positions.get(_own(node), (-1, node))
        if j >= 0 and _likeness(node, other):
            found.append((i, j))
    return found


def _order(nodes: list[Node]) -> tuple[int, list[str]]:
    return len(nodes), [f"{_own(node)} {node.operator} {node.attributes} {node.shape}" for node in nodes]


def _best(a: list[Node], b: list[Node]) -> list[tuple[int, int]]:
    """The pairs in order whose likeness adds up to most (Needleman and Wunsch, 1970; a gap costs nothing)."""
    table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) - 1, -1, -1):
        for j in range(len(b) - 1, -1, -1):
            likeness = _likeness(a[i], b[j])
            paired = table[i + 1][j + 1] + likeness if likeness else 0
            table[i][j] = max(paired, table[i + 1][j], table[i][j + 1])
    found, i, j = [], 0, 0
    while i < len(a) and j < len(b):
        likeness = _likeness(a[i], b[j])
        if likeness and table[i][j] == table[i + 1][j + 1] + likeness:
            found.append((i, j))
            i, j = i + 1, j + 1
        elif table[i][j] == table[i + 1][j]:
            i += 1
        else:
            j += 1
    return found


def _likeness(a: Node, b: Node) -> int:
    """How alike two operators are; 0 where they cannot stand for each other."""
    if a.operator == b.operator:
        return 4 + 2 * (a.attributes == b.attributes) + (_own(a) == _own(b)) + (a.shape == b.shape)
    if "input" in (a.operator, b.operator):
        return 0
    return int(OPERATORS[a.operator].kind == OPERATORS[b.operator].kind)


def _own(node: Node) -> str:
    return node.name.rpartition(".")[2]
