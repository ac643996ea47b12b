"""Moves checkpoints of another form of a network to the keys of the graph as written."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

from torch import Tensor

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.graph.ir import Graph
from resnext_dsl.rewrite import rewrite
from resnext_dsl.rewrite.carry import carry
from resnext_dsl.weights.files import load_checkpoint, unwrap

OTHERS = ("fastest", "a", "b")
"""Forms of a checkpoint besides the written one; the fastest is (c) for all paths that can be one."""


def as_written(
    graph: Graph, weights: str | PathLike[str] | Mapping[str, Tensor], max_nodes: int
) -> str | PathLike[str] | Mapping[str, Tensor]:
    """A checkpoint of any form of the network under the keys of the graph as written; any other checkpoint unchanged.

    Args:
        graph: The graph as written.
        weights: A file, or a state_dict.
        max_nodes: The most operators that a form may have.

    Raises:
        WeightsError: E702 if the file cannot be read.
    """
    state = unwrap(weights, "weights") if isinstance(weights, Mapping) else load_checkpoint(weights)
    for form in OTHERS:
        try:
            spelled = rewrite(graph, form, max_nodes=max_nodes)
        except ArchError:
            continue  # the network has no such form
        if set(spelled.weights.before) == set(state):
            break
        if set(spelled.weights.after) == set(state):
            return carry(spelled.weights.inverse(), state)
    return weights if isinstance(weights, Mapping) else state
