"""Turns the calls of a forward pass into a graph of the language's operators.

    Trace -> values of calls (views of nodes) -> nodes that outputs need -> features -> long merges -> names -> Graph

No model runs: shapes follow from the rules of the operator table. No torch is imported.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Span, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.invariants import check_invariants
from resnext_dsl.graph.ir import Graph, Node, Output, Scope
from resnext_dsl.importing.lowering.axis_views import ValueView
from resnext_dsl.importing.lowering.call_values import report, value_of_call
from resnext_dsl.importing.lowering.feature_values import with_features
from resnext_dsl.importing.lowering.long_merges import with_long_merges
from resnext_dsl.importing.lowering.state import Lowering, NodeDraft, Problem
from resnext_dsl.importing.lowering.stored_values import CallFormula, TensorSource
from resnext_dsl.importing.lowering.tree_names import cleaned, names_of
from resnext_dsl.importing.lowering.view_nodes import as_node
from resnext_dsl.importing.trace import Call, Trace
from resnext_dsl.operators.base import RuleError


class Lowered(NamedTuple):
    """A trace as a graph.

    Attributes:
        graph: The verified graph; the names of its nodes are the paths of the source's modules.
        weights: Key of a tensor in our state_dict -> its source. A tensor without a source keeps its initial value.
        trace: The trace that it comes from.
        notes: Sentences about what the trace does not tell.
    """

    graph: Graph
    weights: Mapping[str, TensorSource]
    trace: Trace
    notes: tuple[str, ...]


def lower(trace: Trace) -> Lowered:
    """The graph of a trace.

    Raises:
        ArchError: E610 for each call that the language cannot express, all in one error. E305 if nothing is computed.
    """
    state = Lowering(trace)
    for call in trace.calls:
        state.values.append(value_of_call(state, call))
    outputs = _output_nodes(state)
    if state.problems:
        raise problems_of(state)
    drafts, outputs = _needed(state.nodes, outputs)
    if len(drafts) == 1:
        raise error("E305", "the model has no operators: its output is its input", file=trace.origin)
    drafts, outputs = with_features(drafts, outputs)
    drafts, outputs = _needed(drafts, outputs)
    drafts, outputs = _needed(with_long_merges(drafts, outputs, trace.calls), outputs)
    return _lowered(state, drafts, outputs)


def _output_nodes(state: Lowering) -> list[int]:
    nodes = []
    for name, reference in state.trace.outputs.items():
        value = state.resolved(reference)
        if isinstance(value, CallFormula):
            report(state, value)
        elif isinstance(value, ValueView):
            try:
                nodes.append(as_node(state, value))
            except RuleError as problem:
                state.problems.append(Problem(max(reference.call, 0), f"the output `{name}`: {problem}"))
        elif not state.problems:
            state.problems.append(Problem(max(reference.call, 0), f"the output `{name}` is no value of the network"))
    return nodes


def _needed(drafts: Sequence[NodeDraft], outputs: Sequence[int]) -> tuple[list[NodeDraft], list[int]]:
    """The nodes that the outputs depend on, and the positions of the outputs among them."""
    needed = {0, *outputs}
    for index in range(len(drafts) - 1, 0, -1):
        if index in needed:
            needed.update(drafts[index].inputs)
    if len(needed) == len(drafts):
        return list(drafts), list(outputs)
    places = {index: place for place, index in enumerate(sorted(needed))}
    kept = [
        drafts[index]._replace(inputs=tuple([places[source] for source in drafts[index].inputs])) for index in places
    ]
    return kept, [places[output] for output in outputs]


def _lowered(state: Lowering, drafts: Sequence[NodeDraft], outputs: Sequence[int]) -> Lowered:
    trace = state.trace
    names, paths = names_of(drafts)
    owners = _owners(drafts, names)
    source = Source(trace.origin, trace.origin)
    span = Span(source, 0, len(trace.origin))
    nodes, weights = [], {}
    shared = {owner for owner, count in Counter(owners).items() if count > 1}
    for draft, name, owner in zip(drafts, names, owners, strict=True):
        scope, module = name.rpartition(".")[0], owner if owner in shared else None
        nodes.append(
            Node(name, draft.operator, draft.attributes, draft.inputs, draft.shape, span, scope, module=module)
        )
        for field, tensor in draft.tensors.items():
            weights[f"{owner}.{field}"] = tensor
    results = [Output(name, node) for name, node in zip(trace.outputs, outputs, strict=True)]
    graph = Graph(trace.name, tuple(nodes), _scopes(trace, nodes, paths, span), (), tuple(results))
    return Lowered(check_invariants(graph), weights, trace, tuple(state.notes))


def _owners(drafts: Sequence[NodeDraft], names: Sequence[str]) -> list[str]:
    """For each node the name of the first node with its tensors."""
    first: dict[tuple[object, ...], str] = {}
    owners = []
    for draft, name in zip(drafts, names, strict=True):
        if draft.tensors:
            key = draft.operator, draft.attributes, *sorted(draft.tensors.items())
            owners.append(first.setdefault(key, name))
        else:
            owners.append(name)
    return owners


def _scopes(trace: Trace, nodes: Sequence[Node], paths: Mapping[str, str], span: Span) -> dict[str, Scope]:
    """The modules of the nodes, parents first, labelled with their classes."""
    scopes = {"": Scope("", "network", trace.name, (), span)}
    classes = {cleaned(path): name for path, name in trace.modules.items()}
    for node in nodes:
        parts = node.scope.split(".") if node.scope else []
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            if name not in scopes:
                scopes[name] = Scope(name, "template", classes.get(paths[name], "Block"), (), span)
    return scopes


def problems_of(state: Lowering) -> ArchError:
    """The error with the calls that cannot be lowered, in the order of execution; equal ones once."""
    trace = state.trace
    grouped: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in sorted(state.problems, key=lambda problem: problem.call):
        call = trace.calls[problem.call]
        key = call.operation, trace.modules.get(call.path, ""), f"{call.place} {problem.message}"
        grouped.setdefault(key, []).append(problem)
    return ArchError([_diagnostic(trace, problems) for problems in grouped.values()])


def _diagnostic(trace: Trace, problems: Sequence[Problem]) -> Diagnostic:
    """The diagnostic of equal problems: the operation, the module, its class and its place in the source."""
    first = problems[0]
    call: Call = trace.calls[first.call]
    module = f"`{call.path}`" if call.path else "the model"
    name = trace.modules.get(call.path, "")
    where = f"{module} ({name})" if name else module
    paths = {trace.calls[problem.call].path for problem in problems}
    more = f" and {len(paths) - 1} more module{'s' * (len(paths) > 2)}" if len(paths) > 1 else ""
    message = f"`{call.operation}` in {where}{more}: {first.message}"
    return Diagnostic(first.code, message, file=call.place or trace.origin, hint=first.hint)
