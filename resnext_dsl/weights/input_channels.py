"""Adapts weights for 3-channel images to a network with another number of input channels, as timm does."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resnext_dsl.foundation.diagnostics import Diagnostic
from resnext_dsl.graph.ir import Graph, tensors_of
from resnext_dsl.weights.shown import shown

COLOURS = 3


def adapted(state: Mapping[str, Tensor], graph: Graph, file: str) -> tuple[Mapping[str, Tensor], list[Diagnostic]]:
    """A checkpoint whose first convolutions fit the input channels of a network, with W915 for each of them.

    One channel takes the sum of the three. More channels repeat the three, scaled so that the sum stays the same
    (`adapt_input_conv` in timm/models/_manipulate.py).

    Args:
        state: The checkpoint.
        graph: The network.
        file: The name of the checkpoint in the warning.
    """
    channels = graph.nodes[0].shape[0]
    kernels = _first_kernels(graph)
    if channels == COLOURS or not kernels:
        return state, []
    changed, warnings = dict(state), []
    for key, tensor in state.items():
        if tensor.dim() >= 3 and tensor.shape[1] == COLOURS and (tensor.shape[0], *tensor.shape[2:]) in kernels:
            changed[key] = _of_channels(tensor, channels)
            how = "summed for one channel" if channels == 1 else f"repeated for {channels}, with the same sum"
            message = f"the 3 input channels of `{shown(key)}` are {how}"
            warnings.append(Diagnostic("W915", message, file=file, severity="warning"))
    return changed, warnings


def _first_kernels(graph: Graph) -> set[tuple[int, ...]]:
    """Output channels and sizes of the convolutions that read the input, also through layers without weights."""
    before = {0}
    kernels: set[tuple[int, ...]] = set()
    for position, node in enumerate(graph.nodes):
        if not before.intersection(node.inputs):
            continue
        tensors = tensors_of(graph, node)
        if not tensors:
            before.add(position)
        elif node.operator == "conv":
            shape = tensors[0].shape
            kernels.add((shape[0], *shape[2:]))
    return kernels


def _of_channels(weight: Tensor, channels: int) -> Tensor:
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    copies = -(-channels // COLOURS)
    return torch.cat([weight] * copies, dim=1)[:, :channels] * (COLOURS / channels)
