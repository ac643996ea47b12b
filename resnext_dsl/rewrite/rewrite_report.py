"""The report of rewriting: applied rules, sizes before and after, and the splits that stayed, with reasons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph
from resnext_dsl.operators import OPERATORS
from resnext_dsl.rewrite.workspace import Workspace


class Fired(NamedTuple):
    """A rewritten place.

    Attributes:
        place: Name of the scope, and of the operator in it.
        rules: Names of the applied rules, in the order of their application.
        number: The number of paths or operators that became one, or that one became.
        span: The statement.
    """

    place: str
    rules: tuple[str, ...]
    number: int
    span: Span

    @classmethod
    def of(cls, work: Workspace, index: int, rules: Sequence[str], number: int) -> Fired:
        """The entry for a node."""
        node = work.nodes[index]
        return cls(_place(work, index), tuple(dict.fromkeys(rules)), number, node.span)


class Left(NamedTuple):
    """A split, or another place that a pass examined, that stayed unchanged.

    Attributes:
        place: Name of the scope, and of the operator in it.
        reason: The side condition that does not hold.
        span: The statement of the split.
        cause: The statement that the reason names.
    """

    place: str
    reason: str
    span: Span
    cause: Span

    @classmethod
    def of(cls, work: Workspace, index: int, reason: str, cause: int) -> Left:
        """The entry for a node; the reason names the node `cause`."""
        return cls(_place(work, index), reason, work.nodes[index].span, work.nodes[cause].span)


class GraphSize(NamedTuple):
    """The size of a graph: operators, kernel launches, and bytes that the operators read and write at batch 1.

    Every operator that computes or moves elements is a launch; views are not. Each operator reads or writes each of
    its values and parameters once, in float32, as on a machine without caches.
    """

    nodes: int
    launches: int
    bytes: int


@dataclass(slots=True)
class RewriteReport:
    """The report of rewriting.

    Attributes:
        before: Size of the graph as written.
        after: Size of the rewritten graph.
        fired: The rewritten places, in order.
        left: Place -> the split that stayed there.
    """

    before: GraphSize
    after: GraphSize
    fired: list[Fired] = field(default_factory=list)
    left: dict[str, Left] = field(default_factory=dict)

    def fire(self, fired: Fired) -> None:
        """Record a rewritten place; an earlier entry in `left` for the place no longer holds."""
        self.fired.append(fired)
        self.left.pop(fired.place, None)

    def leave(self, left: Left) -> None:
        """Record a place that stayed unchanged."""
        self.left[left.place] = left


def size_of(graph: Graph) -> GraphSize:
    """The size of a graph."""
    launches = moved = 0
    for node in graph.nodes:
        if node.operator == "input":
            continue
        row = OPERATORS[node.operator]
        shapes = tuple([graph.nodes[source].shape for source in node.inputs])
        if row.memory.view(node.attributes, shapes, False):
            continue
        launches += max(1, len(node.inputs) - 1) if row.pairwise else 1
        elements = sum(map(math.prod, shapes)) + math.prod(node.shape)
        moved += 4 * (elements + row.parameters(node.attributes, shapes))
    return GraphSize(len(graph.nodes) - 1, launches, moved)


def _place(work: Workspace, index: int) -> str:
    node = work.nodes[index]
    return f"{node.scope}.{node.name.rpartition('.')[2]}" if node.scope else node.name
