"""A graph during rewriting: nodes keep their numbers, and a failed attempt can be undone.

Rules change a graph in two ways: they make nodes, and they replace one value by another. Nodes that no node reads any
more are dropped. The moves of tensors are recorded as steps.

No rule changes a node that shares its module with other nodes: its weights belong to several places. Inside a workspace
such a node has the operator of the network's input, so that rules see a value and no operator.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from resnext_dsl.expansion.graph_builder import join
from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node, Scope, tensors_of, uses_of_modules
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.algebra import Tensor
from resnext_dsl.operators.base import Attributes, Shape
from resnext_dsl.rewrite.steps import Key, TensorStep, WeightMap


class Mark(NamedTuple):
    """A point to return to: the numbers of nodes and steps at that point."""

    nodes: int
    steps: int


OPAQUE = "input"
"""The operator of nodes that no rule changes."""


class Workspace:
    """A graph during rewriting.

    Attributes:
        nodes: The nodes by number; `inputs` hold numbers. The name of a new node is local to its scope. A node that
            shares its module has the operator `OPAQUE`.
        shared: The nodes that share their module, by number, each with the first node of the module.
        alive: Whether each node is part of the graph.
        users: The readers of each node, once for each argument.
        steps: The moves of tensors so far.
        scopes: The scopes of the graph, and the scopes that rules add.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self.nodes: list[Node] = list(graph.nodes)
        self.shared = {index: nodes[0] for nodes in uses_of_modules(graph).values() for index in nodes}
        for index in self.shared:
            self.nodes[index] = self.nodes[index]._replace(operator=OPAQUE)
        self.alive = [True] * len(self.nodes)
        self.users: list[list[int]] = [[] for _ in self.nodes]
        self.steps: list[TensorStep] = []
        self.scopes: dict[str, Scope] = dict(graph.scopes)
        self._rank: list[tuple[int, ...]] = [(index,) for index in range(len(self.nodes))]
        self._count = len(self.nodes)  # of nodes in the graph as written
        self._outputs = list(graph.outputs)
        self._parts = list(graph.parts)
        self._pins: dict[int, int] = {}
        for pinned in [output.node for output in graph.outputs] + [part.node for part in graph.parts]:
            self._pins[pinned] = self._pins.get(pinned, 0) + 1
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                self.users[source].append(index)

    # --- reading ---

    def live(self) -> Iterator[int]:
        """The nodes of the graph, each after its inputs."""
        return iter(sorted((i for i, alive in enumerate(self.alive) if alive), key=self._rank.__getitem__))

    def shapes(self, index: int) -> tuple[Shape, ...]:
        """The shapes of a node's inputs."""
        return tuple([self.nodes[source].shape for source in self.nodes[index].inputs])

    def tensors(self, index: int) -> tuple[Tensor, ...]:
        """The tensors that a node's module holds."""
        node = self.nodes[index]
        if node.operator == "input":
            return ()
        return OPERATORS[node.operator].algebra.tensors(node.attributes, self.shapes(index))

    def pinned(self, index: int) -> bool:
        """Whether a node's value is the result of a part or an output."""
        return index in self._pins

    def reader(self, index: int) -> int | None:
        """The only node that reads a value; None if there are several or none, or if the value is a result.

        Also None if the reader shares its module, since no rule can change it.
        """
        readers = self.users[index]
        alone = len(readers) == 1 and not self.pinned(index) and readers[0] not in self.shared
        return readers[0] if alone else None

    # --- changing ---

    def make(
        self,
        operator: str,
        attributes: Attributes,
        inputs: Sequence[int],
        origin: int,
        place: int,
        scope: str | None = None,
    ) -> int:
        """Adds a node.

        Args:
            operator: Name of the operator.
            attributes: Valid attributes.
            inputs: Nodes that it reads.
            origin: The node that gives it a span, a trail and a name.
            place: The node after which it runs.
            scope: The scope; by default the scope of `place`.
        """
        shapes = tuple([self.nodes[source].shape for source in inputs])
        shape = OPERATORS[operator].shape(attributes, shapes)
        like = self.nodes[origin]
        name = like.name.rpartition(".")[2]
        home = self.nodes[place].scope if scope is None else scope
        index = len(self.nodes)
        self.nodes.append(Node(name, operator, attributes, tuple(inputs), shape, like.span, home, like.trail))
        self.alive.append(True)
        self.users.append([])
        self._rank.append((*self._rank[place], index))  # after the node that it replaces, before the next
        for source in inputs:
            self.users[source].append(index)
        return index

    def put_scope(self, name: str, kind: Literal["paths", "path"], span: Span) -> None:
        """Adds a scope; inside a use of an instance, it lies in the module of the instance."""
        outer, _, label = name.rpartition(".")
        module = self.scopes[outer].module
        self.scopes[name] = Scope(name, kind, label, (), span, module=module and join(module, label))

    def step(self, kind: str, sources: Sequence[Key], targets: Sequence[Key], *arguments: object) -> None:
        """Record a move of tensors."""
        self.steps.append(TensorStep(kind, tuple(sources), tuple(targets), arguments))

    def keep(self, source: int, target: int) -> None:
        """Record that a node takes all tensors of another unchanged."""
        for tensor in self.tensors(source):
            self.step("share", [(source, tensor.field)], [(target, tensor.field)], 1)

    def replace(self, old: int, new: int) -> None:
        """Replace a value by another, and drop the nodes that no node reads any more."""
        readers, self.users[old] = self.users[old], []
        for reader in dict.fromkeys(readers):
            node = self.nodes[reader]
            self.nodes[reader] = node._replace(inputs=tuple(new if i == old else i for i in node.inputs))
        self.users[new] += readers
        if old in self._pins:
            self._pins[new] = self._pins.get(new, 0) + self._pins.pop(old)
            self._outputs = [o._replace(node=new) if o.node == old else o for o in self._outputs]
            self._parts = [p._replace(node=new) if p.node == old else p for p in self._parts]
        self.prune(old)

    def prune(self, index: int) -> None:
        """Drop a node without readers, and the nodes that only it has read."""
        waiting = [index]
        while waiting:
            current = waiting.pop()
            node = self.nodes[current]
            if not self.alive[current] or self.users[current] or self.pinned(current) or not node.inputs:
                continue
            self.alive[current] = False
            for source in node.inputs:
                self.users[source].remove(current)
                waiting.append(source)

    def drop_outputs(self, names: set[str]) -> None:
        """Drop outputs, their parts, and the nodes that only they have read."""
        dropped = [output.node for output in self._outputs if output.name in names]
        dropped += [part.node for part in self._parts if part.name in names]
        self._outputs = [output for output in self._outputs if output.name not in names]
        self._parts = [part for part in self._parts if part.name not in names]
        for node in dropped:
            self._pins[node] -= 1
            if not self._pins[node]:
                del self._pins[node]
            self.prune(node)

    def outputs(self, training_only: bool) -> set[str]:
        """Names of the outputs that exist in training only, or of all others."""
        return {output.name for output in self._outputs if output.training_only is training_only}

    def mark(self) -> Mark:
        """A point for `undo`; it holds until a value is replaced."""
        return Mark(len(self.nodes), len(self.steps))

    def undo(self, mark: Mark) -> None:
        """Remove the nodes and steps that were added after a mark."""
        for index in range(len(self.nodes) - 1, mark.nodes - 1, -1):
            for source in self.nodes[index].inputs:
                self.users[source].remove(index)
            del self.nodes[index], self.alive[index], self.users[index], self._rank[index]
        del self.steps[mark.steps :]

    # --- the result ---

    def graph(self) -> Graph:
        """The current graph, with full names for new nodes."""
        order = list(self.live())
        names = self._names(order)
        place = {index: position for position, index in enumerate(order)}
        nodes = []
        for index, name in zip(order, names, strict=True):
            node = self.nodes[index]
            inputs = tuple([place[source] for source in node.inputs])
            operator = self._graph.nodes[index].operator if index in self.shared else node.operator
            nodes.append(node._replace(name=name, operator=operator, inputs=inputs, module=self._module(index, name)))
        held = self.held(order)
        scopes = {name: scope for name, scope in self.scopes.items() if name in held}
        parts = tuple(part._replace(node=place[part.node]) for part in self._parts)
        outputs = tuple(output._replace(node=place[output.node]) for output in self._outputs)
        return Graph(self._graph.name, tuple(nodes), scopes, parts, outputs)

    def _module(self, index: int, name: str) -> str | None:
        """The module of a node with a full name; a new node inside a use of an instance lies in its module."""
        if index < self._count:
            return self.nodes[index].module
        scope = self.scopes[self.nodes[index].scope]
        return scope.module and join(scope.module, name.rpartition(".")[2])

    def held(self, order: Iterable[int]) -> set[str]:
        """The scopes that hold at least one of the nodes, and "" for the network."""
        held = {""}
        for index in order:
            scope = self.nodes[index].scope
            while scope not in held:
                held.add(scope)
                scope = scope.rpartition(".")[0]
        return held

    def weight_map(self) -> WeightMap:
        """The map from the state_dict of the graph as written to that of the current graph."""
        order = list(self.live())
        before = {
            f"{node.module_name}.{tensor.field}": (self.shared.get(index, index), tensor.field)
            for index, node in enumerate(self._graph.nodes)
            for tensor in tensors_of(self._graph, node)
        }
        after = {
            f"{self._module(index, name) or name}.{tensor.field}": (self.shared.get(index, index), tensor.field)
            for index, name in zip(order, self._names(order), strict=True)
            for tensor in (
                tensors_of(self._graph, self._graph.nodes[index]) if index in self.shared else self.tensors(index)
            )
        }
        return WeightMap(before, tuple(self.steps), after)

    def _names(self, order: list[int]) -> list[str]:
        """Full names. A new node has its local name in its scope, with a number if the name is taken."""
        taken = {self.nodes[index].name for index in order if index < self._count} | self.held(order)
        names = []
        for index in order:
            node = self.nodes[index]
            if index < self._count:
                names.append(node.name)
                continue
            name, number = join(node.scope, node.name), 1
            while name in taken:
                number += 1
                name = join(node.scope, f"{node.name}_{number}")
            taken.add(name)
            names.append(name)
        return names
