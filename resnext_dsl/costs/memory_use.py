"""What a network takes of memory: weights, values alive together in inference, values kept for a training step.

Exact bytes for a type of numbers and a batch size, as torch holds them on the CPU in eager mode, and counted where
torch lets one count: a value is the memory behind a tensor, views and what is written in place have none of their own,
and what a library takes inside one call is not seen. The rules are those of the operator table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnext_dsl.costs.dry_run import rehearse
from resnext_dsl.emit.blocks.collect import overwritable
from resnext_dsl.emit.blocks.levels import Levels
from resnext_dsl.foundation.number_types import DEFAULT_TYPE, NUMBER_TYPES
from resnext_dsl.graph.ir import Graph, Node, input_shapes
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.memory_rules import Saved, TrainingStep


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes that a network takes.

    Attributes:
        weights: Of the parameters, those of training-only outputs included.
        buffers: Of what modules keep and do not learn: running statistics of batch norms, and their counts.
        peak_activations: The most that values take together at any time of an inference, the input batch included and
            an operator's result beside its inputs.
        saved_activations: What autograd keeps after the forward of a training step, for its backward: each value
            once, parameters and buffers not again.
        dtype: The type of numbers.
        batch: Samples.
    """

    weights: int
    buffers: int
    peak_activations: int
    saved_activations: int
    dtype: str
    batch: int


def memory_of(graph: Graph, source: str, dtype: str = DEFAULT_TYPE, batch: int = 1) -> MemoryUse:
    """The memory that a network takes.

    Args:
        graph: The network.
        source: Its emitted source.
        dtype: A key of `NUMBER_TYPES`.
        batch: Samples, at least 1.

    Raises:
        ValueError: For another type, or a batch of none.
    """
    if dtype not in NUMBER_TYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(NUMBER_TYPES)}; found {dtype!r}")
    if batch < 1:
        raise ValueError(f"`batch` must be at least 1; found {batch}")
    width = NUMBER_TYPES[dtype]
    return MemoryUse(
        weights=width * sum(_parameters(graph, node) for node in graph.nodes),
        buffers=sum(_buffers(graph, node, width) for node in graph.nodes),
        peak_activations=rehearse(graph, source, width, batch),
        saved_activations=saved_bytes(graph, width, batch),
        dtype=dtype,
        batch=batch,
    )


def _parameters(graph: Graph, node: Node) -> int:
    if node.operator == "input":
        return 0
    return int(OPERATORS[node.operator].parameters(node.attributes, input_shapes(graph, node)))


def _buffers(graph: Graph, node: Node, width: int) -> int:
    if node.operator == "input":
        return 0
    return OPERATORS[node.operator].memory.buffers(node.attributes, input_shapes(graph, node)).bytes(width)


def saved_bytes(graph: Graph, width: int, batch: int) -> int:
    """Bytes that autograd keeps after a forward in training mode.

    Args:
        graph: The network, all of its outputs read.
        width: Bytes of a number.
        batch: Samples.
    """
    written = overwritable(Levels(graph))
    homes: list[int] = []  # of each node the first one whose value lies in the same memory
    flows: list[bool] = []  # whether a gradient flows back through it
    kept: set[int] = set()
    made = 0
    for index, node in enumerate(graph.nodes):
        gradients = tuple([flows[source] for source in node.inputs])
        home, saved = _trained(graph, node, TrainingStep(batch, index in written, gradients))
        homes.append(homes[node.inputs[0]] if home == 0 else index)
        flows.append(any(gradients) or _parameters(graph, node) > 0)
        if flows[index]:
            made += saved.made.bytes(width)
            kept.update(homes[node.inputs[place]] for place in saved.inputs)
            kept.update([homes[index]] if saved.output else [])
    return made + sum(batch * width * math.prod(graph.nodes[home].shape) for home in kept)


def _trained(graph: Graph, node: Node, run: TrainingStep) -> tuple[int | None, Saved]:
    """The place of the input whose memory a node's value lies in, if any, and what is saved for it."""
    if node.operator == "input":
        return None, Saved()
    rules, shapes = OPERATORS[node.operator].memory, input_shapes(graph, node)
    if rules.view(node.attributes, shapes, True):
        return 0, Saved()
    return 0 if run.inplace else None, rules.saves(node.attributes, shapes, run)
