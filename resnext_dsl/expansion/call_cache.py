"""Caches expanded template calls: a repeated call copies the nodes and scopes under its own name.

Most networks repeat a block, and most of the expansion time goes into its statements. The result of a template depends
on its arguments and on the shape of its input value, and on nothing else of its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from resnext_dsl.expansion.graph_builder import GraphBuilder, Running, too_many
from resnext_dsl.foundation.diagnostics import Note
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Node, Scope
from resnext_dsl.semantics.values import SCALARS, GraphValue, OperatorValue, TemplateValue


class Recording(NamedTuple):
    """The nodes and scopes of one expanded call.

    Attributes:
        scope: The name of the call's scope; the names of `nodes` and `scopes` begin with it.
        entry: The index of the node that gives the input value.
        start: The index of the first node.
        nodes: The nodes of the call.
        scopes: Its scopes.
        trail: The length of the trail inside the call.
        result: The value of the call.
        steps: The steps of computation that it took.
    """

    scope: str
    entry: int
    start: int
    nodes: tuple[Node, ...]
    scopes: tuple[Scope, ...]
    trail: int
    result: GraphValue
    steps: int


class Recorder:
    """Records one call, from the moment when its scope exists to its result."""

    def __init__(self, draft: GraphBuilder, scope: str, x: GraphValue, steps: int) -> None:
        self._draft, self._scope, self._entry, self._steps = draft, scope, x.node, steps
        self._start, self._scopes = len(draft.nodes), len(draft.scopes)
        self._diagnostics = len(draft.diagnostics)

    @property
    def clean(self) -> bool:
        """Whether the call has no diagnostics."""
        return len(self._draft.diagnostics) == self._diagnostics

    def recording(self, result: GraphValue, steps: int) -> Recording:
        """The nodes and scopes that were added since the start of the call."""
        draft = self._draft
        nodes = tuple(draft.nodes[self._start :])
        # The last scopes of the dict, from its end: a walk from its start would take quadratic time in all.
        inner = list(islice(reversed(draft.scopes.values()), len(draft.scopes) - self._scopes))
        scopes = (draft.scopes[self._scope], *reversed(inner))
        trail = len(draft.trail)
        return Recording(self._scope, self._entry, self._start, nodes, scopes, trail, result, steps - self._steps)


def call_key(callee: TemplateValue, names: Mapping[str, Any], passed: frozenset[str], x: GraphValue) -> Any:
    """The key of a call in the cache. Types are part of it, because 1, 1.0 and true are equal.

    The key also tells which arguments are the input value, because a copy reads its own input value in their place.
    """
    values = tuple(names.values())
    kinds = tuple([type(value) if type(value) in SCALARS else _kind(value) for value in values])
    entering = tuple([type(value) not in SCALARS and enters(value, x) for value in values])
    return id(callee.template), id(callee.environment), values, kinds, passed, x.shape, entering


def enters(value: Any, x: GraphValue) -> bool:
    """Whether an argument is the input value of the call, or contains it."""
    if isinstance(value, tuple):
        return any(enters(element, x) for element in value)
    if isinstance(value, OperatorValue | TemplateValue):
        return any(enters(argument, x) for _, argument in value.arguments)
    return isinstance(value, GraphValue) and value.node == x.node


def _kind(value: Any) -> Any:
    if isinstance(value, tuple):
        return (type(value), *map(_kind, value))
    if isinstance(value, OperatorValue | TemplateValue):
        return tuple(_kind(argument) for _, argument in value.arguments)
    return type(value)


def replay(draft: GraphBuilder, recording: Recording, scope: str, x: GraphValue) -> Running:
    """The value of the same call in another scope, on another value of the same shape."""
    nodes, shift, old = draft.nodes, len(draft.nodes) - recording.start, len(recording.scope)
    limit = draft.options.max_nodes
    if len(nodes) + len(recording.nodes) > limit:
        raise too_many(recording.scopes[0].span, limit)
    draft.grow(len(recording.nodes) + len(recording.scopes))
    start, entry, trail = recording.start, recording.entry, draft.trail
    for original in recording.scopes:
        name = scope + original.name[old:]
        draft.scopes[name] = Scope(
            name, original.kind, original.label, original.arguments, original.span, original.explicit
        )
    trails: dict[int, Any] = {}
    notes: dict[int, Note] = {}  # each call has its own notes, which identify it
    for node in recording.nodes:
        inputs = tuple([i + shift if i >= start else x.node if i == entry else i for i in node.inputs])
        inner = trails.get(id(node.trail))
        if inner is None:
            copies = (notes.setdefault(id(note), Note(*note)) for note in node.trail[recording.trail :])
            inner = trails[id(node.trail)] = (*trail, *copies)
        name, inside = scope + node.name[old:], scope + node.scope[old:]
        nodes.append(Node(name, node.operator, node.attributes, inputs, node.shape, node.span, inside, inner))
    result = recording.result.node
    place = result + shift if result >= start else x.node if result == entry else result
    return GraphValue(place, recording.result.shape)
