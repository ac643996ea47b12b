"""The cost of a network in closed form: exact integers in fvcore's convention, at batch 1, for the declared input.

One fused multiply-add is one FLOP. An affine batch norm in eval mode counts 2 per element. The operator table holds the
rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Container, Iterable
from operator import attrgetter
from typing import Any, TypeVar

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node, later_uses, reachable
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Shape

Key = TypeVar("Key")

COST_MEASURES = ("params", "flops", "macs", "activations")
"""Names of the figures of a cost, in the order of cost tables."""


class Cost:
    """The cost of a network or of a part of it.

    Attributes:
        params: Learnable scalars, including the parameters of training-only outputs.
        flops: FLOPs of one inference, as fvcore counts them.
        macs: The part of `flops` in convolutions and linear layers.
        activations: Elements of the outputs of convolutions and linear layers, as fvcore's ActivationCountAnalysis
            counts them.
    """

    __slots__ = ("activations", "flops", "macs", "params")

    def __init__(self, params: int = 0, flops: int = 0, macs: int = 0, activations: int = 0) -> None:
        self.params = params
        self.flops = flops
        self.macs = macs
        self.activations = activations

    @property
    def figures(self) -> tuple[int, int, int, int]:
        """Parameters, FLOPs, multiply-adds and activations."""
        return _FIGURES(self)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cost) and self.figures == other.figures

    def __hash__(self) -> int:
        return hash(self.figures)

    def __repr__(self) -> str:
        figures = zip(COST_MEASURES, self.figures, strict=True)
        return f"Cost({', '.join(f'{name}={value}' for name, value in figures)})"

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.params + other.params,
            self.flops + other.flops,
            self.macs + other.macs,
            self.activations + other.activations,
        )


class TemplateCall(NamedTuple):
    """A place in the text that calls a template: the template's name, and the file and line of the call."""

    template: str
    file: str
    line: int


class CallCost(NamedTuple):
    """The number of calls from one place, and their total cost, including the calls inside them."""

    calls: int
    cost: Cost


_FIGURES: Callable[[Cost], tuple[int, int, int, int]] = attrgetter(*COST_MEASURES)


class _EqualNodes:
    """Nodes of one operator with equal attributes and input shapes. Most networks repeat a block."""

    __slots__ = ("cost", "count", "counted")

    def __init__(self, cost: Cost, counted: bool) -> None:
        self.cost = cost
        self.counted = counted
        self.count = 0


def _total(groups: Iterable[_EqualNodes]) -> Cost:
    params = flops = macs = activations = 0
    for group in groups:
        cost, count = group.cost, group.count
        params += count * cost.params
        flops += count * cost.flops
        macs += count * cost.macs
        activations += count * cost.activations
    return Cost(params, flops, macs, activations)


class NetworkCost(Cost):
    """The cost of a whole network, and the share of each part.

    Attributes:
        uncounted: Operators that fvcore does not count, with the number of their nodes.
        nodes: Each node with its cost.
        uncounted_nodes: Names of the nodes that fvcore does not count.
    """

    __slots__ = ("_graph", "_runs", "nodes", "uncounted", "uncounted_nodes")

    def __init__(
        self,
        graph: Graph,
        runs: set[int],
        total: Cost,
        uncounted: tuple[tuple[str, int], ...],
        nodes: tuple[tuple[Node, Cost], ...],
        uncounted_nodes: frozenset[str],
    ) -> None:
        super().__init__(*total.figures)
        self.uncounted = uncounted
        self.nodes = nodes
        self.uncounted_nodes = uncounted_nodes
        self._graph = graph
        self._runs = runs

    @property
    def depth(self) -> int:
        """Convolutions and linear layers on the longest path from the input to an output."""
        return depth_of(self._graph, self._runs)

    def by_stage(self) -> dict[str, Cost]:
        """Cost of each part (stem, stage, head, output) and of each node between them, in order."""
        return self._grouped(lambda node: [node.name.partition(".")[0]])

    def by_operator(self) -> dict[str, Cost]:
        """Cost of each operator, summed over its nodes. For operators in `uncounted`, 0 FLOPs means not counted."""
        return self._grouped(lambda node: [node.operator])

    def by_line(self) -> dict[tuple[str, int], Cost]:
        """Cost of each source line: (file, line) -> all nodes that come from its statements."""
        return self._grouped(lambda node: [(node.span.source.name, node.span.line)])

    def by_module(self) -> dict[str, Cost]:
        """Cost of each module by name: "" is the network, then `conv2`, ...; of a shared one, that of all its uses."""
        return self._grouped(lambda node: _with_parents(node.module_name))

    def by_template(self) -> dict[TemplateCall, CallCost]:
        """Cost of each place that calls a template, in the order of first calls.

        A call inside another call counts in both. The costs then add up to more than the whole.
        """
        calls: dict[TemplateCall, set[int]] = {}
        costs = self._grouped(lambda node: _places(node, calls))
        return {place: CallCost(len(calls[place]), cost) for place, cost in costs.items()}

    def _grouped(self, keys: Callable[[Node], Iterable[Key]]) -> dict[Key, Cost]:
        groups: dict[Key, Cost] = {}
        for node, cost in self.nodes:
            if node.operator != "input":
                for key in keys(node):
                    groups[key] = groups.get(key, Cost()) + cost
        return groups


def _with_parents(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts) + 1)]


def _places(node: Node, calls: dict[TemplateCall, set[int]]) -> list[TemplateCall]:
    """The places of the calls that led to a node, outermost first; adds each call to `calls` under its place."""
    places: dict[TemplateCall, None] = {}
    for note in node.trail:
        kind, _, name = note.message.partition(" `")
        if kind == "template" and note.span is not None:
            place = TemplateCall(name.rstrip("`"), note.span.source.name, note.span.line)
            calls.setdefault(place, set()).add(id(note))  # expansion makes one note per call
            places[place] = None
    return list(places)


def cost_of(graph: Graph, training: bool = False) -> NetworkCost:
    """The cost of a graph. Training-only outputs always count in `params`, and in other figures if `training`.

    The parameters of a module that several nodes call count at the first of them.
    """
    runs = reachable(graph, [output.node for output in graph.outputs if training or not output.training_only])
    later = later_uses(graph)
    known: dict[Any, _EqualNodes] = {}
    groups: list[_EqualNodes] = []
    nodes = graph.nodes
    shapes = [node.shape for node in nodes]
    for index, node in enumerate(nodes):
        inside, again = index in runs, index in later
        key = node.operator, id(node.attributes), tuple([shapes[source] for source in node.inputs]), inside, again
        group = known.get(key)
        if group is None:
            group = known[key] = _EqualNodes(*_priced(node, key[2], inside, again))
        group.count += 1
        groups.append(group)
    uncounted = [node for node, group in zip(nodes, groups, strict=True) if not group.counted]
    return NetworkCost(
        graph,
        runs,
        _total(known.values()),
        uncounted=tuple(sorted(Counter([node.operator for node in uncounted]).items())),
        nodes=tuple(zip(nodes, [group.cost for group in groups], strict=True)),
        uncounted_nodes=frozenset([node.name for node in uncounted]),
    )


def _priced(node: Node, shapes: tuple[Shape, ...], runs: bool, again: bool) -> tuple[Cost, bool]:
    """The cost of a node, and whether fvcore counts it. A node that does not run is never missing from a count.

    Args:
        node: The node.
        shapes: The shapes of its inputs.
        runs: Whether it runs in the mode that is counted.
        again: Whether an earlier node owns its parameters.
    """
    if node.operator == "input":
        return Cost(), True
    row = OPERATORS[node.operator]
    params = 0 if again else row.parameters(node.attributes, shapes)
    if not runs:
        return Cost(params), True
    flops = row.flops(node.attributes, shapes) if row.flops is not None else None
    macs = flops or 0 if row.multiplies else 0
    if row.weight_flops is not None:
        macs -= row.weight_flops(node.attributes, shapes)
    return Cost(params, flops or 0, macs, row.activations(node.shape)), flops is not None


def depth_of(graph: Graph, runs: set[int], members: Container[int] | None = None) -> int:
    """Convolutions and linear layers on the longest path from the input to an output; of `members` only, if given."""
    multipliers = {name for name in {node.operator for node in graph.nodes[1:]} if OPERATORS[name].multiplies}
    depths = [0] * len(graph.nodes)
    for index in sorted(runs):
        node = graph.nodes[index]
        inputs = node.inputs
        before = depths[inputs[0]] if len(inputs) == 1 else max([depths[source] for source in inputs], default=0)
        counts = node.operator in multipliers and (members is None or index in members)
        depths[index] = before + 1 if counts else before
    return max(depths, default=0)
