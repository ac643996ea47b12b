"""Rules of initialisation for a rewritten graph: its weights start as those of the graph as written do.

A scheme that looks at the shape of a tensor gives another spread where tensors lie side by side: the rows of 32 paths
are one matrix of 32 times the outgoing connections. There the spread that the paths have is stated as a number.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph, Node, tensors_of
from resnext_dsl.operators import OPERATORS, Shape
from resnext_dsl.rewrite.driver import Rewritten
from resnext_dsl.rewrite.steps import Key, WeightMap
from resnext_dsl.semantics.init_schemes import SchemeRule

Start = tuple[str, tuple[tuple[str, Any], ...]]
"""A scheme and its arguments; of those that look at shapes, what they come to."""


class StatedRule(NamedTuple):
    """How a field of some modules starts, stated without looking at shapes.

    Attributes:
        operator: Name of its row in the operator table.
        field: "weight" or "bias".
        scheme: A key of `initialization.SCHEMES`.
        arguments: Of the scheme, by name.
        path: Name of the scope or node that it is about; "" for all of the network.
    """

    operator: str
    field: str
    scheme: str
    arguments: tuple[tuple[str, Any], ...]
    path: str


def moved(graph: Graph, rewritten: Rewritten, rules: Sequence[SchemeRule]) -> tuple[SchemeRule, ...]:
    """The rules for a rewritten graph.

    Args:
        graph: As written.
        rewritten: Its other form; where that computes with weights, it is not for training, and the rules stay.
        rules: Those of the graph as written.
    """
    if rewritten.graph is graph or not rewritten.weights.invertible:
        return tuple(rules)
    origins, before = _origins(rewritten.weights), _tensors(graph)
    made: list[SchemeRule] = list(rules)
    for key, (node, shape) in _tensors(rewritten.graph).items():
        field = key.rpartition(".")[2]
        starts = {_start(rules, before[origin][0], field, before[origin][1]) for origin in origins[key]}
        if len(starts) == 1 and starts != {_start(rules, node, field, shape)}:
            scheme, arguments = starts.pop()
            made.append(StatedRule(node.operator, field, scheme, arguments, node.name))
    return tuple(made)


def _tensors(graph: Graph) -> dict[str, tuple[Node, Shape]]:
    """State_dict key -> node and shape of the weight that it is or stands beside; of fields that a rule can start."""
    found = {}
    for node in graph.nodes:
        held = tensors_of(graph, node)
        for tensor in held:
            if tensor.field in OPERATORS[node.operator].init_fields:
                found[f"{node.name}.{tensor.field}"] = node, held[0].shape
    return found


def _origins(weights: WeightMap) -> dict[str, set[str]]:
    """State_dict key of the rewritten graph -> keys of the tensors that are in it."""
    known: dict[Key, set[str]] = {key: {name} for name, key in weights.before.items()}
    for step in weights.steps:
        found = set().union(*(known[source] for source in step.sources))
        known.update(dict.fromkeys(step.targets, found))
    return {name: known[key] for name, key in weights.after.items()}


def _start(rules: Sequence[SchemeRule], node: Node, field: str, shape: Shape) -> Start:
    """How a field of a node starts, beside a weight of a shape."""
    rule = _followed([rule for rule in rules if (rule.operator, rule.field) == (node.operator, field)], node.name)
    if rule is None:
        # torch's own: `reset_parameters` of convolutions and linear layers; the others start with constants
        multiplies = OPERATORS[node.operator].multiplies
        return ("uniform", (("bound", 1 / math.sqrt(math.prod(shape[1:]))),)) if multiplies else ("", ())
    values = dict(rule.arguments)
    inside, outside = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
    if rule.scheme.startswith("kaiming"):
        fan = inside if values["fan"] == "fan_in" else outside
        if values["per_group"] and values["fan"] == "fan_out":
            fan //= getattr(node.attributes, "groups", 1)
        gain = 2.0 if values["gain"] == "relu" else 1.0
        return _spread(rule.scheme, math.sqrt(gain / fan))
    if rule.scheme.startswith("xavier"):
        return _spread(rule.scheme, math.sqrt(2 / (inside + outside)))
    if rule.scheme == "linear_uniform":
        return "uniform", (("bound", shape[0] ** -0.5),)
    return rule.scheme, tuple(rule.arguments)


def _spread(scheme: str, std: float) -> Start:
    """A normal or uniform distribution of a standard deviation."""
    return ("normal", (("std", std),)) if scheme.endswith("normal") else ("uniform", (("bound", math.sqrt(3) * std),))


def _followed(rules: Sequence[SchemeRule], name: str) -> SchemeRule | None:
    """The rule that a node follows: of the longest path, then the latest."""
    known = {rule.path: rule for rule in rules}
    while name and name not in known:
        name = name.rpartition(".")[0]
    return known.get(name)
