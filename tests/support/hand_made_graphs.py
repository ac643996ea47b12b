"""Graphs that are made by hand, in the form of those that are read from torch modules."""

from __future__ import annotations

import random
from typing import Any

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.invariants import check_invariants
from resnext_dsl.graph.ir import Graph, Node, Output, Scope
from resnext_dsl.operators import OPERATORS, validate
from resnext_dsl.operators.base import Shape

NOWHERE = Span(Source("<graph>", ""), 0, 0)


class GraphByHand:
    """A graph that grows node by node."""

    def __init__(self, shape: Shape = (3, 32, 32), **labels: str) -> None:
        """Starts with the input; `labels` are the classes of modules, by their names with `__` for a dot."""
        self.nodes = [Node("image", "input", None, (), shape, NOWHERE, "")]
        self.scopes = {"": Scope("", "network", "Net", (), NOWHERE)}
        self.labels = {name.replace("__", "."): label for name, label in labels.items()}

    def put(self, name: str, operator: str, *inputs: int, module: str | None = None, **arguments: Any) -> int:
        """Adds a node; without inputs, it reads the node before it."""
        sources = inputs or (len(self.nodes) - 1,)
        shapes = tuple(self.nodes[source].shape for source in sources)
        row = OPERATORS[operator]
        attributes = validate(row, arguments, shapes[0])
        scope = name.rpartition(".")[0]
        self._open(scope)
        shape = row.shape(attributes, shapes)
        self.nodes.append(Node(name, operator, attributes, sources, shape, NOWHERE, scope, (), module))
        return len(self.nodes) - 1

    def _open(self, scope: str) -> None:
        if scope not in self.scopes:
            self._open(scope.rpartition(".")[0])
            label = self.labels.get(scope, "Sequential")
            self.scopes[scope] = Scope(scope, "template", label, (), NOWHERE)

    def graph(self, *outputs: int | Output) -> Graph:
        """The graph; its main output is the last node, unless others are given."""
        results = [one if isinstance(one, Output) else Output("main", one) for one in outputs]
        graph = Graph(
            "net", tuple(self.nodes), self.scopes, (), tuple(results or [Output("main", len(self.nodes) - 1)])
        )
        return check_invariants(graph)


def random_graph(seed: int, size: int = 30) -> Graph:
    """A graph without structure: every node reads any nodes before it; some modules have random nodes."""
    pick = random.Random(seed)
    made = GraphByHand((4, 8, 8), **{f"m{k}": f"Block{k % 2}" for k in range(4)})
    unread = {0}
    for number in range(size):
        scope = pick.choice(["", "", "m0.", "m1.", "m2.", "m3."])
        sources = pick.sample(range(len(made.nodes)), k=min(len(made.nodes), pick.choice((1, 1, 1, 2, 2, 3))))
        if unread and pick.random() < 0.7:
            sources[0] = pick.choice(sorted(unread))
        channels = {made.nodes[source].shape[0] for source in sources}
        if len(sources) > 1:
            operator = pick.choice(("add", "mul", "concat", "maximum")) if len(channels) == 1 else "concat"
            if sum(made.nodes[source].shape[0] for source in sources) > 64 and len(channels) > 1:
                sources, operator = sources[:1], "relu"
        else:
            operator = pick.choice(("conv", "conv", "bn", "relu", "silu", "slice"))
        arguments: dict[str, Any] = {}
        if operator == "conv":
            arguments = {"channels": pick.choice((4, 8)), "kernel": pick.choice((1, 3)), "bias": pick.random() < 0.3}
        if operator == "slice":
            arguments = {"start": 0, "stop": max(1, made.nodes[sources[0]].shape[0] // 2)}
        index = made.put(f"{scope}n{number}", operator, *sources, **arguments)
        unread -= set(sources)
        unread.add(index)
    results = sorted(unread)
    outputs = [Output("main", results[-1])]
    outputs += [Output(f"other{k}", node, pick.random() < 0.5) for k, node in enumerate(results[:-1])]
    return made.graph(*outputs)
