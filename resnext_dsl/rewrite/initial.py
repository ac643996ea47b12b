"""Initialisation rules for a rewritten graph, which give its weights the distribution that they have as written.

Some schemes depend on the shape of a tensor. They give another spread after tensors are concatenated: the rows of 32
paths are one matrix with 32 times the outgoing connections. A rule with the spread of the paths as a number replaces
such a scheme.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from resnext_dsl.emit import FieldInit
from resnext_dsl.graph.ir import Graph, Node, tensors_of
from resnext_dsl.operators import OPERATORS, Shape
from resnext_dsl.rewrite.driver import Rewritten
from resnext_dsl.rewrite.steps import Key, WeightMap
from resnext_dsl.semantics.init_schemes import SchemeRule

Start = tuple[str, tuple[tuple[str, Any], ...]]
"""A scheme and its arguments; a scheme that depends on shapes is replaced by its distribution."""


def moved(graph: Graph, rewritten: Rewritten, rules: Sequence[SchemeRule]) -> tuple[SchemeRule, ...]:
    """The rules for a rewritten graph.

    Args:
        graph: The graph as written.
        rewritten: Its other form. If it computes with weights, it is not for training, and the rules stay.
        rules: The rules of the graph as written.
    """
    if rewritten.graph is graph or not rewritten.weights.invertible:
        return tuple(rules)
    origins, before = _origins(rewritten.weights), _tensors(graph)
    all_rules: list[SchemeRule] = list(rules)
    for key, (node, shape) in _tensors(rewritten.graph).items():
        field = key.rpartition(".")[2]
        starts = {_start(rules, before[origin][0], field, before[origin][1]) for origin in origins[key]}
        if len(starts) == 1 and starts != {_start(rules, node, field, shape)}:
            scheme, arguments = starts.pop()
            all_rules.append(FieldInit(node.operator, field, scheme, arguments, node.module_name))
    return tuple(all_rules)


def _tensors(graph: Graph) -> dict[str, tuple[Node, Shape]]:
    """State_dict key -> node and shape of its weight, for each field that a rule can initialise."""
    tensors = {}
    for node in graph.nodes:
        held = tensors_of(graph, node)
        for tensor in held:
            if tensor.field in OPERATORS[node.operator].init_fields:
                tensors[f"{node.module_name}.{tensor.field}"] = node, held[0].shape
    return tensors


def _origins(weights: WeightMap) -> dict[str, set[str]]:
    """State_dict key of the rewritten graph -> keys of the tensors that it comes from."""
    known: dict[Key, set[str]] = {key: {name} for name, key in weights.before.items()}
    for step in weights.steps:
        names = set().union(*(known[source] for source in step.sources))
        known.update(dict.fromkeys(step.targets, names))
    return {name: known[key] for name, key in weights.after.items()}


def _start(rules: Sequence[SchemeRule], node: Node, field: str, shape: Shape) -> Start:
    """The initial distribution of a field of a node whose weight has a shape."""
    rule = _followed(
        [rule for rule in rules if (rule.operator, rule.field) == (node.operator, field)], node.module_name
    )
    if rule is None:
        # as by torch's `reset_parameters` of convolutions and linear layers; other tensors start with constants
        multiplies = OPERATORS[node.operator].multiplies and field != "gain"
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
    """A normal or uniform distribution with a standard deviation."""
    return ("normal", (("std", std),)) if scheme.endswith("normal") else ("uniform", (("bound", math.sqrt(3) * std),))


def _followed(rules: Sequence[SchemeRule], name: str) -> SchemeRule | None:
    """The rule that a node follows: the last rule of the longest path."""
    known = {rule.path: rule for rule in rules}
    while name and name not in known:
        name = name.rpartition(".")[0]
    return known.get(name)
