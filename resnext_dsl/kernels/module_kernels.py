"""Puts convolutions that call our kernels in the place of those of a network."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import torch
from torch import nn

from resnext_dsl.kernels.kernel_choice import why_torch
from resnext_dsl.kernels.layer_shape import has_kernels

if TYPE_CHECKING:
    from typing import TypeGuard

TORCH, AUTO = "torch", "auto"

KERNELS = (TORCH, AUTO)
"""The values of an option: torch's kernels, or the faster of torch's and ours for each layer."""


def is_eligible(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether there are kernels for a module: a grouped 3x3 `nn.Conv2d` with padding 1 and 2 to 64 channels a group."""
    return (
        type(module) is nn.Conv2d
        and module.kernel_size == (3, 3)
        and module.padding == (1, 1)
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and module.stride[0] == module.stride[1]
        and module.in_channels == module.out_channels
        and has_kernels(module.in_channels, module.groups, module.stride[0])
    )


def takes_kernels(kernels: str, device: torch.device) -> bool:
    """Whether a network on a device takes our kernels. If they are asked for and cannot run, a warning says why.

    Args:
        kernels: One of `KERNELS`.
        device: The device of the network.

    Raises:
        ValueError: If `kernels` is unknown.
    """
    if kernels not in KERNELS:
        raise ValueError(f"kernels {kernels!r} is none of {', '.join(KERNELS)}")
    reason = why_torch(device) if kernels == AUTO else ""
    if reason:
        message = f"grouped convolutions take torch's kernels: {reason}"
        warnings.warn(message, stacklevel=4)  # names the line that calls `net.compile`
    return kernels == AUTO and not reason


def with_kernels(model: nn.Module) -> int:
    """Replaces each eligible convolution of a model by a `GroupedConv2d` that shares its parameters.

    Returns:
        The number of convolutions that are replaced.
    """
    from resnext_dsl.kernels.grouped_conv2d import grouped

    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if is_eligible(child):
                setattr(parent, name, grouped(child))
                count += 1
    return count
