"""Chooses the `default` lines of a network: unusual arguments that most of its operators of one name have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from resnext_dsl.arch_text.argument_text import Defaults, is_default, value_words
from resnext_dsl.arch_text.step_tree import fields_of
from resnext_dsl.graph.ir import Graph
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import REQUIRED

SETTLED = {
    "conv": ("bias", "standardize", "eps"),
    "conv_transpose": ("bias",),
    "bn": ("eps", "momentum", "affine"),
    "layernorm": ("eps", "affine"),
    "groupnorm": ("eps", "affine"),
    "instancenorm": ("eps", "affine"),
    "maxpool": ("padding", "ceil"),
    "avgpool": ("padding", "ceil", "count_include_pad"),
}
"""The arguments that a network may settle for all its operators of one name."""

FEWEST = 2
"""A default holds for at least this number of operators."""


def defaults_of(graph: Graph, kept: Iterable[int]) -> Defaults:
    """The network's own defaults: operator -> argument -> value."""
    counts: dict[tuple[str, str], Counter[Any]] = {}
    whole: dict[tuple[str, str], set[Any]] = {}
    nodes = [graph.nodes[index] for index in kept]
    uses = Counter([(node.operator, id(node.attributes)) for node in nodes if node.operator in SETTLED])
    attributes_of = {id(node.attributes): node.attributes for node in nodes}
    for (operator, key), count in uses.items():
        attributes = attributes_of[key]
        for name in SETTLED[operator]:
            value = getattr(attributes, name)
            if _is_global(attributes):
                whole.setdefault((operator, name), set()).add(value)
            else:
                counts.setdefault((operator, name), Counter())[value] += count
    defaults: Defaults = {}
    for (operator, name), values in counts.items():
        value, count = values.most_common(1)[0]
        usual = OPERATORS[operator].attributes.fields[name]
        if not whole.get((operator, name), set()) <= {value}:
            continue  # each pooling of the whole map would state the usual value
        if count >= FEWEST and 2 * count > values.total() and not is_default(usual, value) and type(value) is not tuple:
            defaults.setdefault(operator, {})[name] = value
    return defaults


def _is_global(attributes: Any) -> bool:
    """Whether a pooling takes the whole map, so that its other arguments have no effect."""
    return getattr(attributes, "kernel", None) == "global"


def default_lines(defaults: Defaults) -> list[str]:
    """The lines that declare the defaults."""
    return [
        f"default {operator}({', '.join(f'{name}={value_words(name, value)}' for name, value in values.items())})"
        for operator, values in defaults.items()
    ]


def usual_arguments(operator: str, defaults: Defaults) -> dict[str, Any]:
    """The arguments that an operator has if a text states none of them."""
    fields = OPERATORS[operator].attributes.fields
    settled = defaults.get(operator, {})
    return {name: settled.get(name, fields[name]) for name in fields_of(operator) if fields[name] is not REQUIRED}


def has_usual(operator: str, values: tuple[Any, ...], stated: tuple[str, ...], defaults: Defaults) -> bool:
    """Whether an operator has the usual arguments, apart from those that a text states."""
    usual = usual_arguments(operator, defaults)
    return all(
        name in stated or (name in usual and is_default(usual[name], value))
        for name, value in zip(fields_of(operator), values, strict=True)
    )
