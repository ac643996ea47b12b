"""Reads a torch module as a graph: by torch.fx first, and by torch.export if torch.fx cannot trace it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.graph.ir import Graph, fingerprint
from resnext_dsl.importing.exported_trace import trace_exported_module
from resnext_dsl.importing.fx_trace import Traced, trace_module
from resnext_dsl.importing.lowering import Lowered, lower
from resnext_dsl.importing.trace import Trace
from resnext_dsl.operators.base import Shape


def read_module(module: nn.Module, example: torch.Tensor | Sequence[int], name: str, origin: str) -> Lowered:
    """The graph of a module, and where its weights come from.

    The module is read in eval mode. Its parameters, buffers and flags stay as they are. Results that it has in training
    only, such as those of auxiliary classifiers, are outputs in training.

    Args:
        module: A module with one input.
        example: An input with its batch, or the shape of one sample.
        name: The name of the network, a name of the language.
        origin: The source with its version, for comments and messages.

    Raises:
        ArchError: E610 for each operation that the language does not have, all in one error. E611 if the module cannot
            be traced. Codes of shapes if the example has the wrong size.
    """
    shape: Shape = tuple(example.shape[1:]) if isinstance(example, torch.Tensor) else tuple(example)
    try:
        traced = trace_module(module, shape, name, origin)
    except ArchError as problem:
        return lower(_exported(module, shape, name, origin, problem))
    try:
        lowered = lower(traced.trace)
    except ArchError:
        # the places of calls take time to record, and only errors show them
        return lower(trace_module(module, shape, name, origin, places=True).trace)
    return _with_training(module, traced, lowered) if traced.conditions else lowered


def _exported(module: nn.Module, shape: Shape, name: str, origin: str, problem: ArchError) -> Trace:
    """The trace of torch.export.

    Raises:
        ArchError: The problem of torch.fx, which names the module and the line, if torch.export fails too.
    """
    try:
        return trace_exported_module(module, shape, name, origin)
    except Exception:  # torch.export raises errors of many types
        raise problem from None


def _with_training(module: nn.Module, traced: Traced, lowered: Lowered) -> Lowered:
    """The graph with the outputs that the module has in training only; a note if training differs otherwise."""
    trace = traced.trace
    try:
        other = trace_module(module, trace.input, trace.name, trace.origin, training=True).trace
        if other.calls == trace.calls and other.outputs == trace.outputs:
            return lowered
        main = dict(list(other.outputs.items())[:1])
        if fingerprint(lower(other._replace(outputs=main)).graph) == fingerprint(lowered.graph):
            return _in_training(lower(other))
    except ArchError:
        pass
    places = ", ".join(sorted(traced.conditions))
    note = f"The model computes other values in training ({places}); the import has the operators of eval mode."
    return lowered._replace(notes=(*lowered.notes, note))


def _in_training(lowered: Lowered) -> Lowered:
    """The graph whose outputs after the first exist in training only."""
    graph: Graph = lowered.graph
    main, *others = graph.outputs
    outputs = (main, *[output._replace(training_only=True) for output in others])
    return lowered._replace(graph=graph._replace(outputs=outputs))
