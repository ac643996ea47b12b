"""The memory of a network: weights, values alive together in inference, and values saved for a training step.

The figures are exact bytes for a number type and a batch size, for torch on the CPU in eager mode. A value is the
memory behind a tensor: views and results written in place have no memory of their own. Memory that a library allocates
inside one call is not counted. The operator table holds the rules.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from resnext_dsl.costs.dry_run import peak_bytes
from resnext_dsl.emit.blocks.collect import overwritable
from resnext_dsl.emit.blocks.levels import Levels
from resnext_dsl.foundation.number_types import DEFAULT_TYPE, NUMBER_TYPES
from resnext_dsl.graph.ir import Graph, Node, input_shapes, later_uses
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.memory_rules import Saved, TrainingStep


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The bytes of a network.

    Attributes:
        weights: Bytes of the parameters, including training-only outputs.
        buffers: Bytes of tensors that modules keep and do not learn: the running statistics of batch norms and their
            counts.
        peak_activations: Peak bytes of live values in an inference. It includes the input batch, and the result of an
            operator beside its inputs.
        saved_activations: Bytes of the values that autograd keeps after the forward of a training step for the
            backward. Each value counts once; parameters and buffers do not count.
        dtype: The number type.
        batch: Number of samples.
    """

    weights: int
    buffers: int
    peak_activations: int
    saved_activations: int
    dtype: str
    batch: int


def memory_of(graph: Graph, source: str, dtype: str = DEFAULT_TYPE, batch: int = 1) -> MemoryUse:
    """The memory of a network.

    Args:
        graph: The network.
        source: Its emitted source.
        dtype: A key of `NUMBER_TYPES`.
        batch: Number of samples, at least 1.

    Raises:
        ValueError: The type is unknown, or the batch is empty.
    """
    if dtype not in NUMBER_TYPES:
        raise ValueError(f"`dtype` must be one of {', '.join(NUMBER_TYPES)}; found {dtype!r}")
    if batch < 1:
        raise ValueError(f"`batch` must be at least 1; found {batch}")
    width, later = NUMBER_TYPES[dtype], later_uses(graph)
    owners = [node for index, node in enumerate(graph.nodes) if index not in later]
    return MemoryUse(
        weights=width * sum(_parameters(graph, node) for node in owners),
        buffers=sum(_buffers(graph, node, width) for node in owners),
        peak_activations=peak_bytes(graph, source, width, batch),
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
        graph: The network; the backward reads all of its outputs.
        width: Bytes of a number.
        batch: Number of samples.
    """
    in_place = overwritable(Levels(graph))
    homes: list[int] = []  # for each node, the first node whose value has the same memory
    flows: list[bool] = []  # for each node, whether a gradient flows back through it
    kept: set[int] = set()
    extra = 0
    for index, node in enumerate(graph.nodes):
        gradients = tuple([flows[source] for source in node.inputs])
        home, saved = _trained(graph, node, TrainingStep(batch, index in in_place, gradients))
        homes.append(homes[node.inputs[0]] if home == 0 else index)
        flows.append(any(gradients) or _parameters(graph, node) > 0)
        if flows[index]:
            extra += saved.extra.bytes(width)
            kept.update(homes[node.inputs[place]] for place in saved.inputs)
            kept.update([homes[index]] if saved.output else [])
    return extra + sum(batch * width * math.prod(graph.nodes[home].shape) for home in kept)


def _trained(graph: Graph, node: Node, run: TrainingStep) -> tuple[int | None, Saved]:
    """The position of the input whose memory a node's value shares, if any, and the values that autograd saves."""
    if node.operator == "input":
        return None, Saved()
    rules, shapes = OPERATORS[node.operator].memory, input_shapes(graph, node)
    if rules.view(node.attributes, shapes, True):
        return 0, Saved()
    return 0 if run.inplace else None, rules.saves(node.attributes, shapes, run)
