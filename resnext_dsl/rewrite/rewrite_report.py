"""What rewriting did: which rule fired where, what that saved, and which split stayed as it was, and why."""

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
    """An attempt that succeeded.

    Attributes:
        place: Name of the scope that it happened in, and of the operator there.
        rules: Names of the rules that were applied, in their order.
        number: How many paths, or operators, became one; or one became.
        span: The statement.
    """

    place: str
    rules: tuple[str, ...]
    number: int
    span: Span

    @classmethod
    def of(cls, work: Workspace, index: int, rules: Sequence[str], number: int) -> Fired:
        """At a node."""
        node = work.nodes[index]
        return cls(_place(work, index), tuple(dict.fromkeys(rules)), number, node.span)


class Left(NamedTuple):
    """A split, or what else a pass looks at, that stayed as it was.

    Attributes:
        place: As of `Fired`.
        reason: The side condition that does not hold.
        span: The statement of the split.
        cause: The statement that the reason is about.
    """

    place: str
    reason: str
    span: Span
    cause: Span

    @classmethod
    def of(cls, work: Workspace, index: int, reason: str, cause: int) -> Left:
        """At a node."""
        return cls(_place(work, index), reason, work.nodes[index].span, work.nodes[cause].span)


class GraphSize(NamedTuple):
    """What a graph takes to run: operators, kernel launches, and bytes that they read and write at batch 1.

    A launch is an operator that computes or moves elements; views are none. The bytes are those of values and
    parameters, in float32, each read or written once by each operator: what a machine without caches would move.
    """

    nodes: int
    launches: int
    bytes: int


@dataclass(slots=True)
class RewriteReport:
    """What happened, in order, and the sizes before and after.

    Attributes:
        before: Size of the graph as written.
        after: Size of what it became.
        fired: What was rewritten.
        left: What stayed as it was, by its place.
    """

    before: GraphSize
    after: GraphSize
    fired: list[Fired] = field(default_factory=list)
    left: dict[str, Left] = field(default_factory=dict)

    def fire(self, fired: Fired) -> None:
        """Notes that something was rewritten; what was said of its place before no longer holds."""
        self.fired.append(fired)
        self.left.pop(fired.place, None)

    def leave(self, left: Left) -> None:
        """Notes that something stayed as it was."""
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
