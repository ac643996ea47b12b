"""An `nn.Conv2d` that calls the kernels for grouped convolutions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from resnext_dsl.kernels.torch_operator import grouped_conv3x3


class GroupedConv2d(nn.Conv2d):
    """A grouped convolution with a kernel of 3x3 whose kernel is chosen when it runs.

    It has the parameters and the state_dict of an `nn.Conv2d`, and computes the same. An input on another device than a
    GPU, in another memory format than channels_last, or in float64, takes torch's kernel.
    """

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of an input, (N, C, H, W) or (C, H, W)."""
        served = x.dim() == 4 and x.is_cuda and x.dtype != torch.float64
        if served and x.is_contiguous(memory_format=torch.channels_last):
            result: Tensor = grouped_conv3x3(x, self.weight, self.bias, self.stride[0], self.groups, False)
            return result
        return super().forward(x)


def grouped(conv: nn.Conv2d) -> GroupedConv2d:
    """A `GroupedConv2d` with the parameters of a convolution."""
    with torch.device("meta"):
        replacement = GroupedConv2d(
            conv.in_channels,
            conv.out_channels,
            (3, 3),
            stride=conv.stride[0],
            padding=1,
            groups=conv.groups,
            bias=conv.bias is not None,
        )
    replacement.weight = conv.weight
    replacement.bias = conv.bias
    return replacement.train(conv.training)
