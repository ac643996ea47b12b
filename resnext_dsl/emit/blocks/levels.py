"""Levels: the scopes that become modules, and the values that flow between them.

A scope is a level if its nodes are adjacent in the graph, and if one of them is a module or the scope is a part. A
`paths` scope is never a level, because the merge calls the paths one by one. A scope that uses a shared instance from
outside of it is no level, because its forward could not reach the module. Nodes of other scopes run in the forward of
the level around them.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from resnext_dsl.graph.ir import Graph, Node
from resnext_dsl.operators import OPERATORS, Expression, ModuleCall

Family = tuple[object, ...]


@dataclass(slots=True)
class ModuleLevel:
    """A scope that is called as a module.

    Attributes:
        name: Name of the scope; "" for the network.
        items: Nodes (by position) and levels (by name) in the order of execution.
        takes: Node outside whose value it reads -> its place among the inputs, in the order of first use.
        gives: Nodes inside whose values are read outside. The last one in the order of execution comes first.
    """

    name: str
    items: list[int | str]
    takes: dict[int, int]
    gives: list[int]


@dataclass(slots=True)
class _Extent:
    """The first node, the last node and the number of nodes of a scope, and whether one is a module."""

    first: int
    last: int
    count: int
    layered: bool

    def joined(self, other: _Extent | None) -> _Extent:
        """The extent of both scopes together."""
        if other is None:
            return _Extent(self.first, self.last, self.count, self.layered)
        first, last = min(self.first, other.first), max(self.last, other.last)
        return _Extent(first, last, self.count + other.count, self.layered or other.layered)


class Levels:
    """The levels of a graph.

    Attributes:
        sources: The module or expression of each node; None for the input.
        of: Name -> level, parents first.
        chain: Scope -> the levels around it, outermost first.
        home: The scope of each node; the node runs in the innermost level around it.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.sources = _sources(graph)
        self.home = self._homes()
        called = self._called()
        self.chain: dict[str, tuple[str, ...]] = {}
        for name in graph.scopes:
            outer = self.chain[name.rpartition(".")[0]] if name else ()
            self.chain[name] = (*outer, name) if name in called else outer
        self.of: dict[str, ModuleLevel] = {
            name: ModuleLevel(name, [], {}, []) for name in graph.scopes if name in called
        }
        self._place()
        self._connect()

    def _homes(self) -> list[str]:
        """The scope of each node. Expressions at the start of a path run in the scope around the paths.

        So a path that starts with a slice of the value is a plain row of layers.
        """
        graph, homes = self.graph, [node.scope for node in self.graph.nodes]
        opened: set[str] = set()
        for index, node in enumerate(graph.nodes):
            outer = node.scope.rpartition(".")[0]
            if outer and graph.scopes[outer].kind == "paths" and node.scope not in opened:
                inside = any(_within(homes[source], node.scope) for source in node.inputs)
                if isinstance(self.sources[index], Expression) and not inside:
                    homes[index] = outer
                else:
                    opened.add(node.scope)
        return homes

    def _called(self) -> set[str]:
        extents = self._extents()
        parts = {part.name for part in self.graph.parts}
        called, apart = {""}, self._reaching_outside()
        for name, extent in extents.items():
            if name in apart:
                continue
            together = extent.last - extent.first + 1 == extent.count
            if together and self.graph.scopes[name].kind != "paths" and (extent.layered or name in parts):
                called.add(name)
        return called

    def _reaching_outside(self) -> set[str]:
        """The scopes with a node whose module lies outside of their module."""
        scopes = self.graph.scopes
        apart: set[str] = set()
        for node in self.graph.nodes:
            if node.module is not None:
                name = node.scope
                while name:
                    if not node.module.startswith(f"{scopes[name].module_name}."):
                        apart.add(name)
                    name = name.rpartition(".")[0]
        return apart

    def _extents(self) -> dict[str, _Extent]:
        """The extent of each scope, the scopes inside it included."""
        extents: dict[str, _Extent] = {}
        for index, home in enumerate(self.home):
            layered = isinstance(self.sources[index], ModuleCall)
            extent = extents.get(home)
            if extent is None:
                extents[home] = _Extent(index, index, 1, layered)
            else:
                extent.last = index
                extent.count += 1
                extent.layered = extent.layered or layered
        for name in reversed(self.graph.scopes):
            if name and name in extents:
                outer = name.rpartition(".")[0]
                extents[outer] = extents[name].joined(extents.get(outer))
        return extents

    def _place(self) -> None:
        placed = {""}
        for index, node in enumerate(self.graph.nodes):
            chain = self.chain[self.home[index]]
            if chain[-1] not in placed:
                for outer, inner in itertools.pairwise(chain):
                    if inner not in placed:
                        placed.add(inner)
                        self.of[outer].items.append(inner)
            if node.operator != "input":
                self.of[chain[-1]].items.append(index)

    def _connect(self) -> None:
        read_outside: dict[str, set[int]] = {name: set() for name in self.of}
        homes, chains = self.home, self.chain
        for index, node in enumerate(self.graph.nodes):
            chain = chains[homes[index]]
            for source in node.inputs:
                origin = chains[homes[source]]
                if origin is chain:
                    continue
                common = _common(origin, chain)
                for name in chain[common:]:
                    takes = self.of[name].takes
                    takes.setdefault(source, len(takes))
                for name in origin[common:]:
                    read_outside[name].add(source)
        for pinned in self.pinned():
            for name in chains[homes[pinned]][1:]:
                read_outside[name].add(pinned)
        for name, nodes in read_outside.items():
            ordered = sorted(nodes)
            self.of[name].gives = ordered[-1:] + ordered[:-1]

    def pinned(self) -> list[int]:
        """Nodes whose values the methods of the network return."""
        stages = [part.node for part in self.graph.parts if part.kind in ("stem", "stage")]
        return [output.node for output in self.graph.outputs] + stages

    def within(self, outer: str, node: int) -> str | None:
        """The level directly inside `outer` that a node runs in; None if the node runs in `outer` itself."""
        chain = self.chain[self.home[node]]
        depth = len(self.chain[outer])
        return chain[depth] if len(chain) > depth else None

    def families(self) -> list[list[str]]:
        """Groups of levels that may be instances of one class; each group follows the groups that its members hold."""
        names = [name for name in self.of if name]
        families = {name: self._family(name) for name in names}
        order = _inside_out(self.of, families)
        if order is None:
            # A template holds itself, or two hold each other in turn. Families divided by nesting depth do not.
            depth: dict[str, int] = {}
            for name in reversed(names):
                inner = [item for item in self.of[name].items if isinstance(item, str)]
                depth[name] = 1 + max((depth[item] for item in inner), default=0)
            circular = _circular(self.of, families)
            families = {
                name: (*family, depth[name]) if family in circular else family for name, family in families.items()
            }
            order = _inside_out(self.of, families)
        assert order is not None
        groups: dict[Family, list[str]] = {family: [] for family in order}
        for name in names:
            groups[families[name]].append(name)
        return list(groups.values())

    def _family(self, name: str) -> Family:
        """The key of a level; levels from the same place of the spec have the same key."""
        scope = self.graph.scopes[name]
        place = (scope.span.source.name, scope.span.start, scope.span.end)
        if scope.kind == "template":
            return ("template", scope.label, *place)
        template = self.template(name)
        around = self._family(template) if template else ()
        inner = name[len(template) + 1 :] if template else name
        path = ".".join("*" if part.isdigit() else part for part in inner.split("."))
        return (scope.kind, path, *place, *around)

    def template(self, name: str) -> str:
        """The scope of the innermost template around a scope, itself included; "" if there is none."""
        while name and self.graph.scopes[name].kind != "template":
            name = name.rpartition(".")[0]
        return name


def _sources(graph: Graph) -> list[ModuleCall | Expression | None]:
    known: dict[object, ModuleCall | Expression] = {}
    return [_source(graph, node, known) for node in graph.nodes]


def _source(graph: Graph, node: Node, known: dict[object, ModuleCall | Expression]) -> ModuleCall | Expression | None:
    if node.operator == "input":
        return None
    shapes = tuple([graph.nodes[source].shape for source in node.inputs])
    key = (node.operator, id(node.attributes), shapes)
    if key not in known:
        known[key] = OPERATORS[node.operator].source(node.attributes, shapes)
    return known[key]


def _within(scope: str, outer: str) -> bool:
    return scope == outer or scope.startswith(f"{outer}.")


def _common(left: tuple[str, ...], right: tuple[str, ...]) -> int:
    shared = 0
    for one, other in zip(left, right, strict=False):
        if one != other:
            break
        shared += 1
    return shared


def _circular(levels: dict[str, ModuleLevel], families: dict[str, Family]) -> set[Family]:
    """The families that hold themselves, directly or inside others."""
    inner: dict[Family, set[Family]] = {family: set() for family in families.values()}
    for name, family in families.items():
        inner[family].update(families[item] for item in levels[name].items if isinstance(item, str))
    circular = set()
    for family, direct in inner.items():
        held: set[Family] = set()
        pending = list(direct)
        while pending:
            other = pending.pop()
            if other not in held:
                held.add(other)
                pending += inner[other]
        if family in held:
            circular.add(family)
    return circular


def _inside_out(levels: dict[str, ModuleLevel], families: dict[str, Family]) -> list[Family] | None:
    """The families, each after the families inside it; None if families hold each other."""
    inner: dict[Family, dict[Family, None]] = {family: {} for family in families.values()}
    for name, family in families.items():
        for item in levels[name].items:
            if isinstance(item, str):
                inner[family][families[item]] = None
    order: list[Family] = []
    done: set[Family] = set()
    waiting = list(inner)
    while waiting:
        ready = [family for family in waiting if all(other in done for other in inner[family])]
        if not ready:
            return None
        order += ready
        done.update(ready)
        waiting = [family for family in waiting if family not in done]
    return order
