"""Moves checkpoints of another form of a network to the keys of the graph as written."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.graph.ir import Graph
from resnext_dsl.rewrite import rewrite
from resnext_dsl.rewrite.carry import carry

OTHERS = ("fastest", "a", "b")
"""Forms of a checkpoint besides the written one; the fastest is (c) for all paths that can be one."""


def as_written(graph: Graph, state: Mapping[str, Tensor], max_nodes: int) -> Mapping[str, Tensor]:
    """A checkpoint of any form of the network under the keys of the graph as written; any other checkpoint unchanged.

    Args:
        graph: The graph as written.
        state: The checkpoint.
        max_nodes: The most operators that a form may have.
    """
    if not _has_our_keys(graph, state):
        return state
    for form in OTHERS:
        try:
            spelled = rewrite(graph, form, max_nodes=max_nodes)
        except ArchError:
            continue  # the network has no such form
        if set(spelled.weights.before) == set(state):
            return state
        if set(spelled.weights.after) == set(state):
            return carry(spelled.weights.inverse(), state)
    return state


def _has_our_keys(graph: Graph, state: Mapping[str, Tensor]) -> bool:
    """Whether a key is that of a layer of the graph: rewriting takes longer than reading names."""
    layers = {node.module_name for node in graph.nodes}
    return any(key.rpartition(".")[0] in layers for key in state)
