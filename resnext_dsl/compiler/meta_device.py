"""Modules without values: on the meta device there is nothing to fill, and torch takes long to do so.

Its `normal_` there is a reference written in Python, which imports the compiler of torch (2 s) at its first call and
then takes half of the time of a network's constructor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch.nn import init
from torch.overrides import TorchFunctionMode

FILLS = frozenset(
    {
        torch.Tensor.normal_,
        torch.Tensor.uniform_,
        torch.Tensor.fill_,
        torch.Tensor.zero_,
        torch.Tensor.mul_,
        torch.Tensor.add_,
        torch.Tensor.erfinv_,
        torch.Tensor.clamp_,
    }
)
"""What initialisers do to a tensor in place: it stays the tensor it is, whatever its values."""


class _Unfilled(TorchFunctionMode):
    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = kwargs or {}
        if func in FILLS or getattr(func, "__module__", "") == init.__name__:
            return args[0] if args else given["tensor"]
        return func(*args, **given)


def unfilled(device: torch.device) -> AbstractContextManager[Any]:
    """Leaves out what would fill new tensors of a device, if it is the meta device."""
    return _Unfilled() if device.type == "meta" else nullcontext()
