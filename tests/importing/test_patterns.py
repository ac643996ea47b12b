"""Modules that write one operator of the language in several calls; the modules themselves are the oracle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from import_oracle import differences
from references import fill
from torch import Tensor, nn
from torch.nn import functional as F

from resnext_dsl.importing.module_reading import read_module

SHAPE = (3, 16, 16)


class Written(nn.Module):
    """A convolution to 16 channels, then the code of a test."""

    def __init__(self, code: Callable[[Any, Tensor], Any], **layers: nn.Module) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.code = code
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: Tensor) -> Any:
        return self.code(self, self.conv(x))


class ChannelsLastNorm(nn.Module):
    """Layer norm over channels by two permutes."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16, eps=1e-6)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class StandardizedConv(nn.Conv2d):
    """A convolution with standardized weights, scaled if it has a gain (Brock et al., ICLR 2021)."""

    def __init__(self, gain: bool) -> None:
        super().__init__(16, 8, 3, padding=1)
        self.gain = nn.Parameter(torch.ones(8, 1, 1, 1)) if gain else None

    def forward(self, x: Tensor) -> Tensor:
        gain = None if self.gain is None else (self.gain * (1.7 * self.weight[0].numel() ** -0.5)).view(-1)
        weight = self.weight.reshape(1, 8, -1)
        weight = F.batch_norm(weight, None, None, weight=gain, training=True, momentum=0.0, eps=1e-5)
        return F.conv2d(x, weight.reshape_as(self.weight), self.bias, padding=1)


class ResponseNorm(nn.Module):
    """Global response normalization of maps with the channels last (Woo et al., CVPR 2023)."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.randn(1, 1, 1, 16))
        self.beta = nn.Parameter(torch.randn(1, 1, 1, 16))

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        norm = torch.norm(x, p=2, dim=(1, 2), keepdim=True)
        share = norm / (norm.mean(dim=-1, keepdim=True) + 1e-6)
        return (self.gamma * (x * share) + self.beta + x).permute(0, 3, 1, 2)


class Learned(nn.Module):
    """A factor for each channel, of a shape that broadcasts, or one for all."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.randn(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Blur(nn.Module):
    """A reflected pad and a fixed kernel for each channel."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.register_buffer("kernel", torch.tensor(rows).repeat(16, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(F.pad(x, (1, 1, 1, 1), "reflect"), self.kernel, stride=2, groups=16)


def attended(m: Any, x: Tensor) -> Tensor:
    b, c, _, _ = x.size()
    gate = m.up(F.relu(m.down(F.adaptive_avg_pool2d(x, 1).view(b, c)))).sigmoid()
    return x * gate.view(b, c, 1, 1).expand_as(x)


def across_channels(m: Any, x: Tensor) -> Tensor:
    gate = m.local(x.mean((2, 3)).unsqueeze(1))
    return x * gate.sigmoid().view(x.shape[0], -1, 1, 1)


def shuffled(m: Any, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    return x.view(b, 4, c // 4, h, w).transpose(1, 2).contiguous().view(b, -1, h, w)


def selected(m: Any, x: Tensor) -> Tensor:
    paths = torch.stack([m.one(x), m.two(x)], dim=1)
    weights = m.attention(paths.sum(1).mean((2, 3), keepdim=True))
    b, c, h, w = weights.shape
    return (paths * weights.view(b, 2, c // 2, h, w).softmax(1)).sum(1)


def split_attention(m: Any, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    parts = x.reshape(b, 2, c // 2, h, w)
    weights = m.attention(parts.sum(1).mean((2, 3), keepdim=True))
    weights = weights.view(b, 2, 2, -1).transpose(1, 2).softmax(1).reshape(b, -1).view(b, -1, 1, 1)
    return (parts * weights.reshape(b, 2, c // 2, 1, 1)).sum(1)


def halves(m: Any, x: Tensor) -> Tensor:
    one, two = x.chunk(2, dim=1)
    return torch.cat((one, m.second(two)), 1)


def sizes(m: Any, x: Tensor) -> Tensor:
    one, two, three = torch.split(x, [4, 4, 8], dim=1)
    return torch.cat([one * two, three[:, :4], x[:, -8:]], dim=1)


def focus(m: Any, x: Tensor) -> Tensor:
    corners = x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]
    return torch.cat(corners, dim=1)


def squares_to_channels(m: Any, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    x = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b, 4 * c, h // 2, w // 2)


def channels_to_squares(m: Any, x: Tensor) -> Tensor:
    b, c, h, w = x.shape
    x = x.view(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(b, c // 4, 2 * h, 2 * w)


def tokens(m: Any, x: Tensor) -> Tensor:
    b, _, h, w = x.shape
    x = m.down(m.norm(x.flatten(2).transpose(1, 2)))
    return x.transpose(1, 2).reshape(b, -1, h, w)


def in_place(m: Any, x: Tensor) -> Tensor:
    y = F.relu_(x)
    x = x + y  # both are the result of relu
    x += y
    return x.mul_(2.0)


def same_padded(m: Any, x: Tensor) -> Tensor:
    h, w = x.shape[-2:]
    down = max((-(-h // 2) - 1) * 2 + 3 - h, 0)
    right = max((-(-w // 2) - 1) * 2 + 3 - w, 0)
    around = [right // 2, right - right // 2, down // 2, down - down // 2]
    x = F.conv2d(F.pad(x, around), m.strided.weight, m.strided.bias, 2)
    return F.max_pool2d(F.pad(x, [0, 1, 0, 1], value=-float("inf")), 3, 2)


def classified(m: Any, x: Tensor) -> Tensor:
    x = F.dropout(torch.flatten(m.pool(x), 1), 0.0, m.training)
    return m.up(F.relu(m.batch(m.down(x))))


SMALL = [[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]
BINOMIAL = [[v / 16 for v in row] for row in ([1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0])]

DOWN, UP = {"down": nn.Linear(16, 4)}, {"up": nn.Linear(4, 16)}

PATTERNS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "layer norm over channels": (lambda: Written(lambda m, x: m.n(x), n=ChannelsLastNorm()), "layernorm"),
    "linear over channels": (
        lambda: Written(lambda m, x: F.gelu(m.down(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2), down=nn.Linear(16, 4)),
        "conv gelu",
    ),
    "mean over space": (lambda: Written(lambda m, x: x.mean([2, 3])), "avgpool flatten"),
    "mean over flat space": (lambda: Written(lambda m, x: x.flatten(2).mean(-1)), "avgpool flatten"),
    "largest over space": (lambda: Written(lambda m, x: x.amax((2, 3), keepdim=True)), "maxpool"),
    "gate of linear layers": (
        lambda: Written(attended, down=nn.Linear(16, 4), up=nn.Linear(4, 16)),
        "avgpool conv relu conv sigmoid mul",
    ),
    "gate across channels": (
        lambda: Written(across_channels, local=nn.Conv1d(1, 1, 3, padding=1, bias=False)),
        "avgpool channel_conv sigmoid mul",
    ),
    "shuffle": (lambda: Written(shuffled), "shuffle"),
    "selective kernels": (
        lambda: Written(
            selected, one=nn.Conv2d(16, 8, 1), two=nn.Conv2d(16, 8, 3, padding=1), attention=nn.Conv2d(8, 16, 1)
        ),
        "conv conv concat add avgpool conv softmax mul slice slice add",
    ),
    "split attention": (
        lambda: Written(split_attention, attention=nn.Conv2d(8, 16, 1)),
        "slice slice add avgpool conv shuffle softmax mul slice slice add",
    ),
    "halves": (lambda: Written(halves, second=nn.Conv2d(8, 8, 1)), "slice conv slice concat"),
    "parts": (lambda: Written(sizes), "slice slice mul slice slice concat"),
    "every second pixel": (lambda: Written(focus), "subsample pad subsample pad subsample pad subsample concat"),
    "pixel unshuffle": (lambda: Written(squares_to_channels), "pixel_unshuffle shuffle"),
    "pixel shuffle": (lambda: Written(channels_to_squares), "shuffle pixel_shuffle"),
    "tokens": (lambda: Written(tokens, norm=nn.LayerNorm(16), down=nn.Linear(16, 4)), "layernorm conv"),
    "in place": (lambda: Written(in_place), "relu add scale"),
    "TensorFlow's padding": (
        lambda: Written(same_padded, strided=nn.Conv2d(16, 8, 3, stride=2)),
        "conv maxpool",
    ),
    "classifier": (
        lambda: Written(
            classified,
            pool=nn.AdaptiveAvgPool2d(1),
            down=nn.Linear(16, 4),
            batch=nn.BatchNorm1d(4),
            up=nn.Linear(4, 7),
        ),
        "avgpool flatten linear bn relu linear",
    ),
    "standardized weights": (lambda: Written(lambda m, x: m.s(x), s=StandardizedConv(False)), "conv"),
    "scaled weights": (lambda: Written(lambda m, x: m.s(x), s=StandardizedConv(True)), "conv"),
    "global response norm": (lambda: Written(lambda m, x: m.g(x), g=ResponseNorm()), "grn"),
    "layer scale": (lambda: Written(lambda m, x: m.s(x), s=Learned(16, 1, 1)), "layer_scale"),
    "one factor": (lambda: Written(lambda m, x: m.s(x), s=Learned()), "layer_scale"),
    "blur": (lambda: Written(lambda m, x: m.b(x), b=Blur(BINOMIAL)), "blur_pool"),
    "fixed kernel": (lambda: Written(lambda m, x: m.b(x), b=Blur(SMALL)), "fixed_conv"),
    "hard sigmoid": (lambda: Written(lambda m, x: F.relu6(x + 3.0) / 6.0), "hardsigmoid"),
    "difference": (lambda: Written(lambda m, x: F.avg_pool2d(x, 3, 1, 1) - x), "avgpool scale add"),
    "zero channels": (
        lambda: Written(lambda m, x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 0, 8))),
        "subsample pad_channels",
    ),
    "bounds": (
        lambda: Written(lambda m, x: x.clamp(0, 6) + x.clamp(min=0) + x.clamp(-2, 2)),
        "relu6 relu hardtanh add",
    ),
}


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_is_its_operators(name: str) -> None:
    build, operators = PATTERNS[name]
    model = build()
    fill(model, 1)
    lowered = read_module(model, SHAPE, "n", "test")
    assert [node.operator for node in lowered.graph.nodes][1:] == ["conv", *operators.split()]
    assert list(differences(model, lowered, SHAPE)) == []
