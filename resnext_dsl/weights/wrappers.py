"""Takes the state_dict out of the content of a checkpoint: wrappers, averaged weights, prefixes and foreign buffers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from resnext_dsl.foundation.diagnostics import Diagnostic
from resnext_dsl.weights.shown import shown
from resnext_dsl.weights.unpickling import KEYS_OF_WEIGHTS, UnreadableError

AVERAGED = {
    "state_dict": ("state_dict_ema", "ema_state_dict", "ema"),
    "model_state_dict": ("model_ema_state_dict", "ema_state_dict", "ema"),
    "model_state": ("ema_state",),
    "model": ("model_ema", "ema"),
    "net": ("net_ema", "ema"),
    "network": ("network_ema", "ema"),
    "params": ("params_ema",),
    "weights": ("weights_ema", "ema"),
}
"""Key of the trained weights -> keys of their moving average (EMA), as training scripts name them."""

_INSIDE = ("module",)
"""Further keys that hold a state_dict inside a wrapper."""

MAX_WRAPPERS = 4

PREFIXES = ("module.", "_orig_mod.")
"""Prefixes that DistributedDataParallel and torch.compile put before every key."""

_FOREIGN = re.compile(
    r"(?:.*\.)?(?:n_averaged|total_ops|total_params|mean|std|pixel_mean|pixel_std)"
    r"|(?:criterion|loss|loss_fn|loss_func)\..*"
)
"""Keys that are no part of a network: counters of averaging and of thop, loss functions, normalisation of images."""


class StateDict(NamedTuple):
    """The state_dict of a checkpoint.

    Attributes:
        tensors: Key -> tensor.
        choice: The warning for a file with trained and averaged weights, if the caller did not choose; else None.
        ignored: Keys that are no part of a network.
    """

    tensors: dict[str, Tensor]
    choice: Diagnostic | None = None
    ignored: tuple[str, ...] = ()


def state_dict_of(content: object, file: str, ema: bool | None = None) -> StateDict:
    """The state_dict in the content of a checkpoint.

    Args:
        content: The content of a file, or an argument of a caller.
        file: The name of the checkpoint in the warning.
        ema: Whether to take the moving average of the weights; None follows the library that wrote the file.

    Raises:
        UnreadableError: If the content has no state_dict, or not the requested weights.
    """
    content, choice = _unwrapped(content, file, ema)
    if not isinstance(content, Mapping):
        raise UnreadableError(f"it contains a {type(content).__name__} instead of a state_dict")
    ignored = tuple(key for key in content if isinstance(key, str) and _FOREIGN.fullmatch(key))
    state = {key: _checked(key, value) for key, value in content.items() if key not in ignored}
    if not state:
        raise UnreadableError("it contains no tensors")
    for prefix in PREFIXES * 2:
        if all(key.startswith(prefix) for key in state):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    return StateDict(state, choice, ignored)


def _unwrapped(content: object, file: str, ema: bool | None) -> tuple[object, Diagnostic | None]:
    choice, taken = None, ""
    for _ in range(MAX_WRAPPERS):
        trained, averaged = _keys_of(content)
        if trained and averaged and not taken:
            assert isinstance(content, Mapping)
            key, choice = _chosen(content, trained, averaged, file, ema)
            taken = key
        elif averaged and not taken:
            key = taken = averaged
            if ema is False:
                raise UnreadableError(f"it has averaged weights only (`{averaged}`), and `--no-ema` excludes them")
        elif trained:
            key = trained
        else:
            break
        assert isinstance(content, Mapping)
        content = content[key]
    if ema and not taken:
        raise UnreadableError("it has no averaged weights, which `--ema` asks for")
    return content, choice


def _keys_of(content: object) -> tuple[str, str]:
    """The keys of the trained and of the averaged weights in a wrapper; "" for a missing one."""
    if not isinstance(content, Mapping):
        return "", ""
    trained = next((key for key in (*KEYS_OF_WEIGHTS, *_INSIDE) if _holds_weights(content.get(key))), "")
    names: Iterator[str] = (name for key in ([trained] if trained in AVERAGED else AVERAGED) for name in AVERAGED[key])
    return trained, next((name for name in names if _holds_weights(content.get(name))), "")


def _holds_weights(value: object, levels: int = MAX_WRAPPERS) -> bool:
    if not isinstance(value, Mapping) or not levels:
        return isinstance(value, Mapping)
    if any(isinstance(inner, Tensor) for inner in value.values()):
        return True
    keys = (*KEYS_OF_WEIGHTS, *_INSIDE)
    return any(_holds_weights(value[key], levels - 1) for key in keys if key in value)


def _chosen(
    content: Mapping[object, object], trained: str, averaged: str, file: str, ema: bool | None
) -> tuple[str, Diagnostic | None]:
    """The key that is taken of two, and the warning if the caller did not choose."""
    if ema is not None:
        return (averaged if ema else trained), None
    library, takes_average = _CONVENTIONS.get((trained, averaged), ("", _never))
    takes = takes_average(content)
    key, other = (averaged, trained) if takes else (trained, averaged)
    kinds = ("averaged", "trained") if takes else ("trained", "averaged")
    convention = f", by the convention of {library}" if library else ""
    message = f"the checkpoint has {kinds[0]} weights (`{key}`) and {kinds[1]} ones (`{other}`); `{key}` is loaded"
    flags = "`--ema`", "`ema=True`"
    if takes:
        flags = "`--no-ema`", "`ema=False`"
    hint = f"{flags[0]} takes `{other}`, in Python {flags[1]} of `Checkpoint`"
    return key, Diagnostic("W913", message + convention, hint=hint, file=file, severity="warning")


def _never(_: Mapping[object, object]) -> bool:
    return False


def _always(_: Mapping[object, object]) -> bool:
    return True


def _is_better(content: Mapping[object, object]) -> bool:
    """Whether the average has the lower error; pycls takes it then (`load_checkpoint` in pycls/core/checkpoint.py)."""
    trained, averaged = content.get("test_err", 100), content.get("test_ema_err", 100)
    numbers = isinstance(trained, int | float) and isinstance(averaged, int | float)
    return numbers and averaged < trained  # type: ignore[operator]


_CONVENTIONS: dict[tuple[str, str], tuple[str, Callable[[Mapping[object, object]], bool]]] = {
    # timm.models.load_state_dict(use_ema=True)
    ("state_dict", "state_dict_ema"): ("timm", _always),
    # store_model_weights(checkpoint_key="model") in torchvision's references/classification/utils.py
    ("model", "model_ema"): ("torchvision", _never),
    ("model_state", "ema_state"): ("pycls", _is_better),
}
"""Keys of trained and averaged weights -> the library that writes them, and whether its loader takes the average."""


def _checked(key: object, value: object) -> Tensor:
    if not isinstance(key, str):
        raise UnreadableError(f"it has a key of type {type(key).__name__}; keys must be tensor names")
    if not isinstance(value, Tensor):
        raise UnreadableError(f"`{shown(key)}` is of type {type(value).__name__}, not a tensor")
    if value.layout != torch.strided or value.is_quantized or value.is_nested:
        raise UnreadableError(f"`{shown(key)}` is sparse, nested or quantized; a plain tensor is needed")
    return value.detach()
