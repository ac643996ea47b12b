"""Facts about a network's layers that a state_dict does not hold: place in the graph, attributes, names of values."""

from __future__ import annotations

import re
from functools import cached_property
from typing import Any

from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.graph.ir import Graph, Node, tensors_of
from resnext_dsl.weights.name_words import words_of

COMPARED = (
    "kernel",
    "stride",
    "padding",
    "dilation",
    "groups",
    "eps",
    "ceil",
    "output_padding",
    "count_include_pad",
    "mode",
    "standardize",
    "gamma",
)
"""Attributes that change a layer's function and no shape of its parameters."""

_VALUE_NAME = re.compile(r"\bas\s+([A-Za-z_]\w*)\s*\Z")
_READ_NAME = re.compile(r"\buse\s+([A-Za-z_]\w*)\s*[;\n]\s*\Z")
AFTER = "#after"
"""The word of a layer that is the first one with weights in its path, and not the first operator."""

MAX_CHAIN = 8
"""The most operators after a layer in which the name of its value is looked for."""


class LayerFacts:
    """The layers of a graph by the names of their modules; a module that several nodes call is that of its first node.

    The name of a layer that is spread over paths has `*` in place of a number.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._series: dict[tuple[int, int], bool] = {}

    @cached_property
    def _positions(self) -> dict[str, int]:
        positions: dict[str, int] = {}
        for position, node in enumerate(self.graph.nodes):
            positions.setdefault(node.module_name, position)
        return positions

    @cached_property
    def _readers(self) -> list[list[int]]:
        readers: list[list[int]] = [[] for _ in self.graph.nodes]
        for position, node in enumerate(self.graph.nodes):
            for source in node.inputs:
                readers[source].append(position)
        return readers

    def knows(self, layer: str) -> bool:
        """Whether the graph has a layer of this name."""
        return layer.replace("*", "0") in self._positions

    def span(self, layer: str) -> Span:
        """The statement of a layer."""
        return self._node(layer).span

    def _node(self, layer: str) -> Node:
        return self.graph.nodes[self._positions[layer.replace("*", "0")]]

    def in_series(self, first: str, second: str) -> bool:
        """Whether the value of the first layer reaches the second one."""
        start, end = (self._positions[layer.replace("*", "0")] for layer in (first, second))
        if (start, end) not in self._series:
            self._series[start, end] = self._reaches(start, end)
        return self._series[start, end]

    def _reaches(self, start: int, end: int) -> bool:
        waiting, seen = [end], {end}
        while waiting:
            position = waiting.pop()
            if position == start:
                return True
            fresh = [s for s in self.graph.nodes[position].inputs if s >= start and s not in seen]
            seen.update(fresh)
            waiting += fresh
        return False

    def words(self, layer: str) -> frozenset[str]:
        """The words of a layer's name and templates, of the value that it gives or reads, and of poolings before it."""
        if layer not in self._words:
            words = words_of(layer) | self._template_words(layer)
            self._words[layer] = words | self._value_words(layer) | self._path_words(layer)
        return self._words[layer]

    @cached_property
    def _words(self) -> dict[str, frozenset[str]]:
        return {}

    def dilations(self, scope: str) -> set[tuple[int, int]]:
        """The dilations of the convolutions in a scope."""
        inside = [node for node in self.graph.nodes if node.operator == "conv" and node.name.startswith(f"{scope}.")]
        return {dict(node.attributes or ())["dilation"] for node in inside}

    def _template_words(self, layer: str) -> frozenset[str]:
        words: frozenset[str] = frozenset()
        scope = self._node(layer).scope
        while scope:
            if self.graph.scopes[scope].kind == "template":
                words |= words_of(self.graph.scopes[scope].label)
            scope = scope.rpartition(".")[0]
        return words

    def _value_words(self, layer: str) -> frozenset[str]:
        """The words of `as NAME` behind the layer and its followers, and of `use NAME` before it."""
        words: frozenset[str] = frozenset()
        position = self._positions[layer.replace("*", "0")]
        for _ in range(MAX_CHAIN):
            span = self.graph.nodes[position].span
            name = _VALUE_NAME.search(span.text)
            if name:
                words |= words_of(name[1])
                break
            readers = self._readers[position]
            if len(readers) != 1 or len(self.graph.nodes[readers[0]].inputs) != 1:
                break
            position = readers[0]
        return words | self._read_words(layer)

    def _read_words(self, layer: str) -> frozenset[str]:
        position = self._positions[layer.replace("*", "0")]
        for _ in range(MAX_CHAIN):
            span = self.graph.nodes[position].span
            name = _READ_NAME.search(span.source.text, max(0, span.start - 120), span.start)
            if name:
                return words_of(name[1])
            inputs = self.graph.nodes[position].inputs
            if len(inputs) != 1 or len(self._readers[inputs[0]]) != 1:
                break
            position = inputs[0]
        return frozenset()

    def _path_words(self, layer: str) -> frozenset[str]:
        """`pool` for a layer behind a pooling, and `AFTER` if a path begins with operators that have no weights."""
        position = self._positions[layer.replace("*", "0")]
        words: set[str] = set()
        for passed in range(MAX_CHAIN):
            inputs = self.graph.nodes[position].inputs
            if len(inputs) != 1:
                break
            position = inputs[0]
            if len(self._readers[position]) != 1:
                if passed:
                    words.add(AFTER)
                break
            if tensors_of(self.graph, self.graph.nodes[position]):
                break
            if "pool" in self.graph.nodes[position].operator:
                words.add("pool")
        return frozenset(words)

    def kind_of_scope(self, name: str) -> str:
        """The kind of a scope; "" for a name that is no scope."""
        return self._kinds.get(name.replace("*", "0"), "")

    @cached_property
    def _kinds(self) -> dict[str, str]:
        return {scope.module_name: scope.kind for scope in self.graph.scopes.values()}

    def context(self, scope: str) -> tuple[object, ...]:
        """The operators of a scope, or the one layer of that name, with the attributes that no shape shows."""
        name = scope.replace("*", "0")
        if name not in self._contexts:
            nodes = [self.graph.nodes[position] for position in self._positions.values()]
            inside = [n for n in nodes if n.module_name == name or n.module_name.startswith(f"{name}.")]
            self._contexts[name] = tuple((node.operator, *self._compared(node)) for node in inside)
        return self._contexts[name]

    @cached_property
    def _contexts(self) -> dict[str, tuple[object, ...]]:
        return {}

    def attributes(self, layer: str) -> dict[str, Any]:
        """The attributes of a layer that no shape shows."""
        return dict(self._compared(self._node(layer)))

    def _compared(self, node: Node) -> tuple[tuple[str, Any], ...]:
        attributes = dict(node.attributes) if node.attributes is not None else {}
        return tuple((name, attributes[name]) for name in COMPARED if name in attributes)
