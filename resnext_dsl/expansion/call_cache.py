"""Caches expanded template calls: a repeated call copies the nodes and scopes under its own name.

Most networks repeat a block, and most of the expansion time goes into its statements. The result of a template depends
on its arguments and on the shape of its input value, and on nothing else of its caller. If the input is a list, the
shapes of all its values count.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from resnext_dsl.expansion.graph_builder import GraphBuilder, too_many
from resnext_dsl.foundation.diagnostics import Note
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Node, Scope
from resnext_dsl.semantics.values import SCALARS, Flow, GraphValue, List, OperatorValue, TemplateValue


class Recording(NamedTuple):
    """The nodes and scopes of one expanded call.

    Attributes:
        scope: The name of the call's scope; the names of `nodes` and `scopes` begin with it.
        entries: The index of the node that gives the input value; one index for each value if the input is a list.
        start: The index of the first node.
        nodes: The nodes of the call.
        scopes: Its scopes.
        trail: The length of the trail inside the call.
        result: The value of the call, or the list of its values.
        steps: The steps of computation that it took.
        module: The name of the call's module.
    """

    scope: str
    entries: tuple[int, ...]
    start: int
    nodes: tuple[Node, ...]
    scopes: tuple[Scope, ...]
    trail: int
    result: Flow
    steps: int
    module: str


class Recorder:
    """Records one call, from the moment when its scope exists to its result."""

    def __init__(self, draft: GraphBuilder, scope: str, x: Flow, steps: int) -> None:
        self._draft, self._scope, self._entries, self._steps = draft, scope, nodes_of(x), steps
        self._start, self._scopes = len(draft.nodes), len(draft.scopes)
        self._diagnostics = len(draft.diagnostics)

    @property
    def clean(self) -> bool:
        """Whether the call has no diagnostics."""
        return len(self._draft.diagnostics) == self._diagnostics

    def recording(self, result: Flow, steps: int) -> Recording:
        """The nodes and scopes that were added since the start of the call."""
        draft = self._draft
        nodes = tuple(draft.nodes[self._start :])
        # The last scopes of the dict, from its end: a walk from its start would take quadratic time in all.
        inner = list(islice(reversed(draft.scopes.values()), len(draft.scopes) - self._scopes))
        scopes = (draft.scopes[self._scope], *reversed(inner))
        trail = len(draft.trail)
        spent, module = steps - self._steps, draft.module_of(self._scope)
        return Recording(self._scope, self._entries, self._start, nodes, scopes, trail, result, spent, module)


def nodes_of(flow: Flow) -> tuple[int, ...]:
    """The node of a value, or those of a list of values."""
    return (flow.node,) if type(flow) is GraphValue else tuple([value.node for value in flow])


def call_key(callee: TemplateValue, names: Mapping[str, Any], passed: frozenset[str], x: Flow) -> Any:
    """The key of a call in the cache. Types are part of it, because 1, 1.0 and true are equal.

    The key also tells which arguments are the input value, because a copy reads its own input value in their place. Of
    a list it tells the same for each value, and which of its values are one value.
    """
    values = tuple(names.values())
    kinds = tuple([type(value) if type(value) in SCALARS else _kind(value) for value in values])
    inputs = nodes_of(x)
    entering = tuple([type(value) not in SCALARS and places_in(inputs, value) for value in values])
    shapes = x.shape if type(x) is GraphValue else list_key(x)
    return id(callee.template), id(callee.environment), values, kinds, passed, shapes, entering


def list_key(values: List) -> Any:
    """The key of a list as an input: the shapes, and for each value the place of the first that is the same."""
    nodes = nodes_of(values)
    return List, tuple([value.shape for value in values]), tuple(map(nodes.index, nodes))


def places_in(inputs: tuple[int, ...], value: Any) -> Any:
    """The place among the input nodes of each value of the network that an argument is or contains; -1 for others."""
    if isinstance(value, GraphValue):
        return inputs.index(value.node) if value.node in inputs else -1
    if isinstance(value, tuple):
        return type(value) is List and tuple([places_in(inputs, element) for element in value])
    if isinstance(value, OperatorValue | TemplateValue):
        return tuple([places_in(inputs, argument) for _, argument in value.arguments])
    return -1


def _kind(value: Any) -> Any:
    if isinstance(value, tuple):
        return (type(value), *map(_kind, value))
    if isinstance(value, OperatorValue | TemplateValue):
        return tuple(_kind(argument) for _, argument in value.arguments)
    return type(value)


def replay(draft: GraphBuilder, recording: Recording, scope: str, x: Flow) -> Flow:
    """The value of the same call in another scope, on another value of the same shape, or a list of such values."""
    nodes, shift, old = draft.nodes, len(draft.nodes) - recording.start, len(recording.scope)
    limit = draft.options.max_nodes
    if len(nodes) + len(recording.nodes) > limit:
        raise too_many(recording.scopes[0].span, limit)
    draft.grow(len(recording.nodes) + len(recording.scopes))
    start, trail = recording.start, draft.trail
    origins = nodes_of(x)
    outside = dict(zip(recording.entries, origins, strict=True))
    entry, origin = recording.entries[0], origins[0]
    alone = len(origins) == 1
    home = draft.module_of(scope)
    plain = recording.module == recording.scope and home == scope
    for original in recording.scopes:
        name = scope + original.name[old:]
        module = None if plain and original.module is None else _moved(original, name, recording, home)
        draft.scopes[name] = Scope(
            name, original.kind, original.label, original.arguments, original.span, original.explicit, module
        )
    trails: dict[int, Any] = {}
    notes: dict[int, Note] = {}  # each call has its own notes, which identify it
    for node in recording.nodes:
        if alone:  # the usual case, which takes half the time
            inputs = tuple([i + shift if i >= start else origin if i == entry else i for i in node.inputs])
        else:
            inputs = tuple([i + shift if i >= start else outside.get(i, i) for i in node.inputs])
        inner = trails.get(id(node.trail))
        if inner is None:
            copies = (notes.setdefault(id(note), Note(*note)) for note in node.trail[recording.trail :])
            inner = trails[id(node.trail)] = (*trail, *copies)
        name, inside = scope + node.name[old:], scope + node.scope[old:]
        module = None if plain and node.module is None else _moved(node, name, recording, home)
        nodes.append(Node(name, node.operator, node.attributes, inputs, node.shape, node.span, inside, inner, module))

    def moved(value: GraphValue) -> GraphValue:
        place = value.node + shift if value.node >= start else outside.get(value.node, value.node)
        return GraphValue(place, value.shape)

    result = recording.result
    return moved(result) if type(result) is GraphValue else List(map(moved, result))


def _moved(original: Node | Scope, name: str, recording: Recording, home: str) -> str | None:
    """The module of a copy with a name; a shared instance that was declared outside of the call keeps its module.

    Args:
        original: The node or scope of the recorded call.
        name: The name of the copy.
        recording: The recorded call.
        home: The name of the module of the new call.
    """
    module, inside = original.module_name, recording.module
    if module == inside or module.startswith(f"{inside}."):
        module = home + module[len(inside) :]
    return None if module == name else module
