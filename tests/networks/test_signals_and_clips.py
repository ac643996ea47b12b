"""The shipped networks of signals and volumes against builds of plain torch modules."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import pytest
import torch
from references import fill
from torch import Tensor, nn
from torch.nn import functional

import resnext_dsl as rx

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore scripts a loss of its own when it is imported
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

TOLERANCE = 1e-5


class Bottleneck3d(nn.Module):
    """A block of `resnext.py` of the authors of 3D ResNeXt, with a shortcut of type B."""

    def __init__(self, inputs: int, planes: int, stride: int, cardinality: int) -> None:
        super().__init__()
        middle, outputs = cardinality * (planes // 32), 2 * planes
        self.body = nn.Sequential(
            nn.Conv3d(inputs, middle, 1, bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(),
            nn.Conv3d(middle, middle, 3, stride, 1, groups=cardinality, bias=False),
            nn.BatchNorm3d(middle),
            nn.ReLU(),
            nn.Conv3d(middle, outputs, 1, bias=False),
            nn.BatchNorm3d(outputs),
        )
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + (x if self.shortcut is None else self.shortcut(x)))


class ResNeXt3d(nn.Module):
    """3D ResNeXt of Hara et al., CVPR 2018."""

    def __init__(self, depths: list[int], classes: int, cardinality: int = 32) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv3d(3, 64, 7, (1, 2, 2), 3, bias=False), nn.BatchNorm3d(64), nn.ReLU(), nn.MaxPool3d(3, 2, 1)
        )
        blocks, inputs = [], 64
        for number, depth in enumerate(depths):
            planes = 128 << number
            for step in range(depth):
                stride = 2 if step == 0 and number > 0 else 1
                blocks.append(Bottleneck3d(inputs, planes, stride, cardinality))
                inputs = 2 * planes
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean((2, 3, 4)))


def two_convs(inputs: int, middle: int, outputs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in ((inputs, middle), (middle, outputs)):
        layers += [nn.Conv3d(before, after, 3, padding=1), nn.BatchNorm3d(after, affine=False), nn.ReLU()]
    return nn.Sequential(*layers)


class UNet3d(nn.Module):
    """3D U-Net of Cicek et al., MICCAI 2016, with padding."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [channels << step for step in range(4)]
        self.down = nn.ModuleList(two_convs(3 if c == channels else c, c, 2 * c) for c in widths)
        self.up = nn.ModuleList()
        for c in reversed(widths[1:]):
            self.up.append(nn.ModuleList([nn.ConvTranspose3d(2 * c, 2 * c, 2, 2, bias=False), two_convs(3 * c, c, c)]))
        self.last = nn.Conv3d(2 * channels, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        kept = []
        for number, block in enumerate(self.down):
            x = block(x if number == 0 else functional.max_pool3d(x, 2))
            kept.append(x)
        for (up, block), skip in zip(self.up, reversed(kept[:-1]), strict=True):
            x = block(torch.cat([up(x), skip], 1))
        return self.last(x)


class SamePadded(nn.Conv1d):
    """A convolution of a signal with TensorFlow's SAME padding."""

    def forward(self, x: Tensor) -> Tensor:
        (kernel,), (stride,) = self.kernel_size, self.stride
        missing = max(0, (-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1])
        return super().forward(functional.pad(x, (missing // 2, missing - missing // 2)))


class Block1d(nn.Module):
    """A block of `net1d.py` of the authors of Net1D."""

    def __init__(self, inputs: int, outputs: int, stride: int, opening: bool) -> None:
        super().__init__()
        before = [] if opening else [nn.BatchNorm1d(inputs), nn.ReLU(), nn.Dropout()]
        self.body = nn.Sequential(
            *before,
            nn.Conv1d(inputs, outputs, 1),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.Dropout(),
            SamePadded(outputs, outputs, 16, stride, groups=outputs // 16),
            nn.BatchNorm1d(outputs),
            nn.ReLU(),
            nn.Dropout(),
            nn.Conv1d(outputs, outputs, 1),
        )
        self.first, self.second = nn.Linear(outputs, outputs // 2), nn.Linear(outputs // 2, outputs)
        self.stride, self.extra = stride, outputs - inputs

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        y = y * torch.sigmoid(self.second(torch.relu(self.first(y.mean(-1)))))[..., None]
        if self.stride == 2:
            x = functional.max_pool1d(functional.pad(x, (0, 1)), 2)
        return y + functional.pad(x, (0, 0, self.extra // 2, self.extra - self.extra // 2))


class Net1d(nn.Module):
    """Net1D of Hong et al., KDD 2020."""

    def __init__(self, depths: list[int], channels: int, factors: list[int], classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(SamePadded(1, channels, 16, 2), nn.BatchNorm1d(channels), nn.ReLU())
        blocks, inputs = [], channels
        for depth, factor in zip(depths, factors, strict=True):
            for step in range(depth):
                blocks.append(Block1d(inputs, channels * factor, 2 if step == 0 else 1, opening=not blocks))
                inputs = channels * factor
        self.blocks = nn.Sequential(*blocks)
        self.dense = nn.Linear(inputs, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.dense(self.blocks(self.stem(x)).mean(-1))


FACTORS = [1, 2, 2, 4, 4, 8, 8]
CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], dict[str, object]]] = {
    "resnext101_32_3d": (
        lambda: ResNeXt3d([3, 4, 23, 3], 400),
        lambda: ResNeXt3d([2, 1, 2, 1], 400),
        {"depths": [2, 1, 2, 1], "frames": 8, "resolution": 48},
    ),
    "unet3d": (lambda: UNet3d(32), lambda: UNet3d(8), {"channels": 8, "resolution": 16}),
    "net1d": (
        lambda: Net1d([2] * 7, 64, FACTORS, 4),
        lambda: Net1d([2, 1, 1, 1, 2, 1, 1], 32, FACTORS, 4),
        {"depths": [2, 1, 1, 1, 2, 1, 1], "channels": 32, "resolution": 777},
    ),
}
"""For each network, a build of its whole, a build of a small one, and the values of the small one."""


@pytest.mark.parametrize("name", CASES)
def test_parameters_are_those_of_an_independent_build(name: str) -> None:
    with torch.device("meta"):
        theirs = CASES[name][0]()
    assert rx.load(name).cost().params == sum(parameter.numel() for parameter in theirs.parameters())


@pytest.mark.parametrize("name", CASES)
def test_a_small_one_costs_and_computes_what_an_independent_build_does(name: str) -> None:
    _, small, values = CASES[name]
    theirs = small()
    fill(theirs, seed=7)
    theirs.eval()
    network = rx.load(name, **values)
    ours = network.compile(weights=theirs.state_dict()).eval()
    x = torch.randn(2, *network.ir.nodes[0].shape, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = theirs(x)
        assert float((ours(x) - expected).abs().max() / expected.abs().max()) < TOLERANCE
    cost = network.cost()
    for model in (ours, theirs):
        flops = FlopCountAnalysis(model, x[:1]).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        elements = (
            ActivationCountAnalysis(model, x[:1]).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        )
        assert (cost.flops, cost.activations) == (flops.total(), elements.total())
