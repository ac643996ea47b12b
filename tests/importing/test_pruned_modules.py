"""Pruned modules: masks made permanent, and channels removed."""

from __future__ import annotations

import re

import pytest
import torch
from import_oracle import deviation
from references import fill, timm
from torch import Tensor, nn
from torch.nn.utils import prune

import resnext_dsl as rx
from resnext_dsl.importing.imported import import_module
from resnext_dsl.networks.source_weights import written_state


def masked(model: nn.Module) -> nn.Module:
    """The model without three tenths of the rows of each kernel."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            prune.ln_structured(module, "weight", 0.3, n=2, dim=0)  # type: ignore[no-untyped-call]
    return model


def permanent(model: nn.Module) -> nn.Module:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            prune.remove(module, "weight")  # type: ignore[no-untyped-call]
    return model


def test_a_permanent_mask_lies_in_the_weights() -> None:
    model = timm.create_model("resnet18")
    fill(model, 0)
    model = permanent(masked(model)).eval()
    imported = import_module(model, (3, 64, 64), "pruned", "test")
    network = rx.loads(imported.text)
    assert network.fingerprint == rx.load("resnet18").at((3, 64, 64)).fingerprint
    ours = network.compile(form="written", weights=written_state(imported, network)).eval()
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert deviation(ours(image), model(image)) <= 1e-5


def test_a_mask_that_is_not_permanent_is_named() -> None:
    text = re.escape("`conv2d` in `conv1` (Conv2d): its weight is computed by `mul` before each use")
    with pytest.raises(rx.ArchError, match=text):
        rx.from_torch(masked(timm.create_model("resnet18")), (3, 64, 64))


class Block(nn.Module):
    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.conv2, self.norm2 = nn.Conv2d(width, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x))))))


def test_the_widths_of_blocks_become_a_list() -> None:
    """Channels that a pruning library removes leave blocks of different widths."""
    widths = [61, 33, 47, 50, 22]
    blocks = nn.Sequential(*[Block(64, width) for width in widths])
    model = nn.Sequential(nn.Conv2d(3, 64, 3), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    network = rx.from_torch(model, (3, 32, 32))
    text = network.source.text
    assert "[61, 33, 47, 50, 22]" in text
    assert text.count("template ") == 1
    assert network.cost().params == sum(parameter.numel() for parameter in model.parameters())
