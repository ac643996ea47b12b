"""Convolutions that call the kernels in the place of those of a network."""

import pytest
import torch
from torch import nn

import resnext_dsl as rx
from resnext_dsl.devices.memory_format import layout_in
from resnext_dsl.kernels import module_kernels
from resnext_dsl.kernels.grouped_conv2d import GroupedConv2d
from resnext_dsl.kernels.module_kernels import is_eligible, with_kernels

SMALL = {"resolution": 32, "depths": [1, 1, 1, 1]}


@pytest.mark.parametrize(
    ("layer", "there"),
    [
        (nn.Conv2d(8, 8, 3, padding=1, groups=2), True),
        (nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=4, bias=False), True),
        (nn.Conv2d(8, 8, 3, padding=1), False),
        (nn.Conv2d(8, 8, 3, padding=1, groups=8), False),
        (nn.Conv2d(8, 16, 3, padding=1, groups=2), False),
        (nn.Conv2d(8, 8, 5, padding=2, groups=2), False),
        (nn.Conv2d(8, 8, 3, groups=2), False),
        (nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=2), False),
        (nn.Conv2d(8, 8, 3, padding=1, stride=(1, 2), groups=2), False),
        (nn.Conv2d(8, 8, 3, padding=1, groups=2, padding_mode="reflect"), False),
        (nn.Conv2d(8, 8, 3, padding="same", groups=2), False),
        (nn.ConvTranspose2d(8, 8, 3, padding=1, groups=2), False),
        (nn.Linear(8, 8), False),
    ],
)
def test_layers_that_are_replaced(layer, there):
    assert is_eligible(layer) is there
    assert with_kernels(nn.Sequential(layer)) == int(there)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # fvcore uses it
def test_a_network_keeps_its_state_its_outputs_and_its_cost():
    network = rx.load("resnext50_32x4d", **SMALL)
    plain, ours = network.compile(seed=0), network.compile(seed=0)
    weights = dict(ours.named_parameters())
    assert with_kernels(ours) == 4
    replaced = [module for module in ours.modules() if isinstance(module, GroupedConv2d)]
    assert len(replaced) == 4
    assert all(isinstance(module, nn.Conv2d) and module.training for module in replaced)
    assert dict(ours.named_parameters()).keys() == weights.keys()
    assert all(value is weights[name] for name, value in ours.named_parameters())
    assert list(ours.state_dict()) == list(plain.state_dict())
    ours.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(x), plain.eval()(x))
    from fvcore.nn import FlopCountAnalysis

    counted = FlopCountAnalysis(ours, x[:1]).unsupported_ops_warnings(False)
    assert counted.total() == FlopCountAnalysis(plain, x[:1]).unsupported_ops_warnings(False).total()


def test_compile_takes_kernels_for_a_card_only():
    network = rx.load("resnext50_32x4d", **SMALL)
    with pytest.warns(
        UserWarning, match="grouped convolutions take torch's kernels: the device is `cpu`; the kernels need"
    ):
        model = network.compile(kernels="auto")
    assert not [module for module in model.modules() if isinstance(module, GroupedConv2d)]
    with pytest.raises(ValueError, match="kernels 'fast' is none of torch, auto"):
        network.compile(kernels="fast")


def test_kernels_bring_channels_last_memory(monkeypatch):
    monkeypatch.setattr(module_kernels, "why_torch", lambda device: "")
    network = rx.load("resnext50_32x4d", **SMALL)
    for layout, expected in (("auto", True), ("channels_last", True), ("contiguous", False)):
        model = network.compile(kernels="auto", layout=layout)
        assert (layout_in(model) == "channels_last") is expected
    plain = rx.load("resnet18", **SMALL).compile(kernels="auto")
    assert layout_in(plain) == "contiguous"


def test_a_grouped_convolution_takes_torchs_kernel_on_the_cpu():
    layer = GroupedConv2d(8, 8, 3, padding=1, groups=2)
    for x in (
        torch.randn(2, 8, 5, 5),
        torch.randn(8, 5, 5),
        torch.randn(2, 8, 5, 5).to(memory_format=torch.channels_last),
    ):
        torch.testing.assert_close(layer(x), nn.functional.conv2d(x, layer.weight, layer.bias, 1, 1, 1, 2))
