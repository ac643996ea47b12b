"""Moves tensors along a `KeyMap`: into a network, or back to the keys of a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike

import torch
from torch import Tensor, nn

from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError
from resnext_dsl.weights.files import load_checkpoint, unwrap
from resnext_dsl.weights.keymap import KeyMap, map_keys
from resnext_dsl.weights.leaves import COUNTER, Parameter, Shapes, Whole, keys, layer_of
from resnext_dsl.weights.mismatch import shown


def shapes_of(state: Mapping[str, Tensor]) -> Shapes:
    """The shapes of a state_dict's tensors."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def load_weights(model: nn.Module, weights: str | PathLike[str] | Mapping[str, Tensor]) -> KeyMap:
    """Load a checkpoint of the same network, with keys of any library.

    Everything is checked before the first parameter changes. Values are converted to the model's dtype and device; a
    model on the meta device takes the checkpoint's device.

    Args:
        model: A compiled network.
        weights: A file, or a state_dict.

    Returns:
        The map from the network's keys to the checkpoint's.

    Raises:
        WeightsError: E701 if the weights are not of this network, E702 if they cannot be read.
    """
    file = "weights" if isinstance(weights, Mapping) else str(weights)
    theirs = unwrap(weights, file) if isinstance(weights, Mapping) else load_checkpoint(weights)
    ours = model.state_dict()
    key_map = map_keys(shapes_of(ours), shapes_of(theirs), file)
    _check_types(key_map, ours, theirs, file)
    moved = carry(key_map, theirs)
    is_meta = any(tensor.is_meta for tensor in ours.values())
    if is_meta:
        moved = {key: moved[key].to(tensor.dtype).clone() for key, tensor in ours.items()}
    model.load_state_dict(moved, strict=True, assign=is_meta)
    return key_map


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
    theirs = shapes_of(unwrap(like, "weights"))
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


def _check_types(key_map: KeyMap, ours: Mapping[str, Tensor], theirs: Mapping[str, Tensor], file: str) -> None:
    for pair in key_map.links:
        if pair.theirs is None:
            continue
        here, key = ours[next(keys(pair.ours))], next(keys(pair.theirs))
        if layer_of(key)[1] != COUNTER and here.is_floating_point() != theirs[key].is_floating_point():
            message = f"`{shown(key)}` is {_type(theirs[key])} in the checkpoint; the network needs {_type(here)}"
            raise WeightsError([Diagnostic("E701", message, file=file)])
        if theirs[key].is_meta and not here.is_meta:
            message = f"`{shown(key)}` has no values in the checkpoint: it is on the meta device"
            raise WeightsError([Diagnostic("E701", message, file=file)])


def _type(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
