"""Calls of templates that have been expanded before: their nodes and scopes are copied under the new name.

Most networks repeat a block, and most of expansion is the statements inside it. What a template does depends on its
arguments and on the value that enters it, and on nothing of its caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from resnext_dsl.expansion.graph_builder import Draft, Running, too_many
from resnext_dsl.foundation.diagnostics import Note
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Node, Scope
from resnext_dsl.semantics.values import SCALARS, GraphValue, OperatorValue, TemplateValue


class Recording(NamedTuple):
    """What one call of a template made.

    Attributes:
        scope: Name of the call's scope; those of `nodes` and `scopes` begin with it.
        entry: Position of the node whose value entered.
        start: Position of the first node.
        trail: Length of the trail inside the call.
        result: Position of the node of its value.
        steps: Steps of computation that it took.
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
    """Marks where a call begins, when its scope has its place: a path's scope has it before the call is looked at."""

    def __init__(self, draft: Draft, scope: str, x: GraphValue, steps: int) -> None:
        self._draft, self._scope, self._entry, self._steps = draft, scope, x.node, steps
        self._start, self._scopes = len(draft.nodes), len(draft.scopes)
        self._diagnostics = len(draft.diagnostics)

    @property
    def clean(self) -> bool:
        """Whether nothing has been found wrong since."""
        return len(self._draft.diagnostics) == self._diagnostics

    def recording(self, result: GraphValue, steps: int) -> Recording:
        """What has been made since."""
        draft = self._draft
        nodes = tuple(draft.nodes[self._start :])
        scopes = (draft.scopes[self._scope], *islice(draft.scopes.values(), self._scopes, None))
        trail = len(draft.trail)
        return Recording(self._scope, self._entry, self._start, nodes, scopes, trail, result, steps - self._steps)


def call_key(callee: TemplateValue, names: Mapping[str, Any], given: frozenset[str], x: GraphValue) -> Any:
    """What a call's result depends on; 1, 1.0 and true are equal, so types are part of it.

    So are the arguments that are the entering value: a copy reads what enters it in their place.
    """
    values = tuple(names.values())
    kinds = tuple([type(value) if type(value) in SCALARS else _kind(value) for value in values])
    entering = tuple([type(value) not in SCALARS and enters(value, x) for value in values])
    return id(callee.template), id(callee.environment), values, kinds, given, x.shape, entering


def enters(value: Any, x: GraphValue) -> bool:
    """Whether an argument is the value that enters the call, or holds it."""
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


def replay(draft: Draft, recording: Recording, scope: str, x: GraphValue) -> Running:
    """The value of the same call in another scope, on another value of the same shape."""
    nodes, shift, old = draft.nodes, len(draft.nodes) - recording.start, len(recording.scope)
    limit = draft.options.max_nodes
    if len(nodes) + len(recording.nodes) > limit:
        raise too_many(recording.scopes[0].span, limit)
    draft.grow(len(recording.nodes) + len(recording.scopes))
    start, entry, trail = recording.start, recording.entry, draft.trail
    for made in recording.scopes:
        name = scope + made.name[old:]
        draft.scopes[name] = Scope(name, made.kind, made.label, made.arguments, made.span, made.explicit)
    trails: dict[int, Any] = {}
    notes: dict[int, Note] = {}  # each call has notes of its own, which tell calls apart
    for node in recording.nodes:
        inputs = tuple([i + shift if i >= start else x.node if i == entry else i for i in node.inputs])
        inner = trails.get(id(node.trail))
        if inner is None:
            own = (notes.setdefault(id(note), Note(*note)) for note in node.trail[recording.trail :])
            inner = trails[id(node.trail)] = (*trail, *own)
        name, inside = scope + node.name[old:], scope + node.scope[old:]
        nodes.append(Node(name, node.operator, node.attributes, inputs, node.shape, node.span, inside, inner))
    result = recording.result.node
    place = result + shift if result >= start else x.node if result == entry else result
    return GraphValue(place, recording.result.shape)
