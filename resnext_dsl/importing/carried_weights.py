"""Moves tensors between a source and our module: into our state_dict, and back."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from resnext_dsl.importing.lowering import Lowered
from resnext_dsl.importing.lowering.stored_values import TensorSource


def our_state(lowered: Lowered) -> dict[str, torch.Tensor]:
    """The tensors of the source under the names of our module; they share no memory with the source."""
    value = lowered.trace.value
    return {key: _taken(value(source.key), source).detach().clone() for key, source in lowered.weights.items()}


def source_state(lowered: Lowered, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of the source that our state_dict has, with our values and under the names of the source."""
    result: dict[str, torch.Tensor] = {}
    for key, source in lowered.weights.items():
        whole = result.setdefault(source.key, lowered.trace.value(source.key).detach().clone())
        places = _taken(torch.arange(whole.numel()).reshape(whole.shape), source)
        whole.view(-1)[places.reshape(-1)] = state[key].to(whole).reshape(-1)
    return result


def _taken(tensor: torch.Tensor, source: TensorSource) -> torch.Tensor:
    """A tensor after the steps of its source."""
    for name, numbers in source.steps:
        if name == "narrow":
            axis, start, length = numbers
            tensor = tensor.narrow(axis, start, length)
        elif name == "permute":
            tensor = tensor.permute(numbers)
        elif name == "expand":
            tensor = tensor.expand(numbers)
        else:
            tensor = tensor.reshape(numbers)
    return tensor
