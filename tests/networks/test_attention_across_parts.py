"""Attention across parts of the channels: the families of SKNet and ResNeSt against timm's networks of the same numbers."""

from __future__ import annotations

import itertools
import warnings

import pytest
import torch
from references import fill
from test_shipped_networks import fvcore_flops, multiply_adds, relative_error
from timm.models.resnest import ResNestBottleneck
from timm.models.resnet import ResNet
from timm.models.sknet import SelectiveKernelBottleneck
from torch import nn

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import WeightsWarning


def check(network: rx.Network, theirs: nn.Module, listed: set[str]) -> None:
    """Parameters, multiply-adds, and outputs with the weights carried over are equal; `listed`: codes of warnings."""
    theirs.eval()
    fill(theirs, seed=3)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        ours = network.compile(weights=theirs.state_dict()).eval()
    codes = {each.message.diagnostic.code for each in caught if isinstance(each.message, WeightsWarning)}
    assert codes == listed
    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    assert network.cost().params == sum(p.numel() for p in theirs.parameters())
    assert network.cost().macs == multiply_adds(fvcore_flops(theirs, x[:1]))
    with torch.no_grad():  # in float64: a softmax of large values makes much of a rounding
        assert relative_error(ours.double()(x.double()), theirs.double()(x.double())) < 1e-8


@pytest.mark.parametrize("kernels", [[3], [3, 5], [5, 3], [3, 5, 7], [3, 3, 5, 9]], ids=str)
def test_a_sknet_of_any_number_of_branches_is_that_of_timm(kernels: list[int]) -> None:
    theirs = ResNet(
        SelectiveKernelBottleneck,
        (2, 1, 1, 1),
        cardinality=4,
        base_width=4,
        block_args={"sk_kwargs": {"kernel_size": kernels, "rd_divisor": 32, "split_input": False}},
    )
    ours = rx.load("skresnext50_32x4d", depths=[2, 1, 1, 1], cardinality=4, kernels=kernels, resolution=64)
    # The keys of timm's SKNets tell the dilations of two paths, which stand for kernels of 3 and 5.
    check(ours, theirs, set() if kernels in ([3], [3, 5]) else {"W911"})


QUICK = {(1, 1), (1, 4), (2, 2), (3, 1), (3, 4), (4, 2)}
"""Every radix and every cardinality; the slow tests have all pairs."""


@pytest.mark.parametrize(
    ("radix", "cardinality"),
    [
        pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow)
        for pair in itertools.product([1, 2, 3, 4], [1, 2, 4])
    ],
)
def test_a_resnest_of_any_radix_and_cardinality_is_that_of_timm(radix: int, cardinality: int) -> None:
    theirs = ResNet(
        ResNestBottleneck,
        (2, 1, 1, 1),
        cardinality=cardinality,
        base_width=12,
        stem_type="deep",
        stem_width=32,
        avg_down=True,
        block_args={"radix": radix, "avd": True},
    )
    ours = rx.load("resnest50d", depths=[2, 1, 1, 1], radix=radix, cardinality=cardinality, width=12, resolution=64)
    check(ours, theirs, set())
