"""Checkpoints of one form of a network under the keys of another: the spelling of a split is no other network."""

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
"""Forms beside the written one that a checkpoint may be of; the fastest is (c), as far as there is one."""


def as_written(
    graph: Graph, weights: str | PathLike[str] | Mapping[str, Tensor], max_nodes: int
) -> str | PathLike[str] | Mapping[str, Tensor]:
    """A checkpoint of any form of a network under the keys of the graph as written; any other checkpoint as it is.

    Args:
        graph: As written.
        weights: A file, or a state_dict.
        max_nodes: The most operators that a form may have.

    Raises:
        WeightsError: E702 where the file cannot be read.
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
