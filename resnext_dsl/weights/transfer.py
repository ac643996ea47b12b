"""Moves tensors along a `KeyMap`: into a network, or back to the keys of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnext_dsl.weights.files import read_checkpoint
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.leaves import Parameter, Shapes, Whole


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """The shapes of a state_dict's tensors."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def export_state_dict(model: nn.Module, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The model's weights, with the keys and shapes of another library's state_dict of the same network.

    The inverse of `load_weights`. Tensors keep the model's dtype and device and share its memory if possible.

    Args:
        model: A compiled network.
        like: A state_dict of that network; its values are not read.

    Raises:
        WeightsError: E701 if `like` is not of this network.
    """
    ours = model.state_dict()
    theirs = shapes_of(read_checkpoint(like).tensors)
    key_map = map_keys(shapes_of(ours), theirs)
    moved: dict[str, Tensor] = {}
    for pair in key_map.links:
        if pair.theirs is not None:
            _scatter(pair.theirs, _gather(pair.ours, ours), moved)
    return {key: moved[key] if key in moved else torch.zeros(shape, dtype=torch.long) for key, shape in theirs.items()}


def carry(key_map: KeyMap, theirs: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A checkpoint's tensors with our keys and shapes; missing counters start at 0."""
    moved: dict[str, Tensor] = {}
    for pair in key_map.links:
        value = torch.zeros((), dtype=torch.long) if pair.theirs is None else _gather(pair.theirs, theirs)
        _scatter(pair.ours, value, moved)
    return moved


def _gather(parameter: Parameter, state: Mapping[str, Tensor]) -> Tensor:
    if isinstance(parameter, Whole):
        return state[parameter.key].detach()
    parts = [_gather(part, state) for part in parameter.parts]
    if parameter.how == "same":
        return parts[0]
    if parameter.how == "sum":
        return torch.stack(parts).sum(0)
    return torch.cat(parts, dim=0 if parameter.how == "rows" else 1)


def _scatter(parameter: Parameter, value: Tensor, into: dict[str, Tensor]) -> None:
    value = value.reshape(parameter.shape)
    if isinstance(parameter, Whole):
        into[parameter.key] = value
        return
    count = len(parameter.parts)
    if parameter.how == "same":
        values = [value] * count
    elif parameter.how == "sum":
        # The first path takes the whole term, so that the sum over the paths equals it bit for bit.
        values = [value] + [torch.zeros_like(value)] * (count - 1)
    else:
        values = list(value.chunk(count, dim=0 if parameter.how == "rows" else 1))
    for part, part_value in zip(parameter.parts, values, strict=True):
        _scatter(part, part_value, into)
