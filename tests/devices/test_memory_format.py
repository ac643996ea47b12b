"""The memory format of weights: one table decides, the user overrides, and a channel a group is no grouping."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import resnext_dsl as rx
from resnext_dsl.devices.memory_format import LAYOUTS, TABLE, has_groups, layout_in, layout_of, rule_of

SPEC = """\
network small {
    input image: 8x16x16
    param groups = 1
    conv(8, 3x3, groups=groups); bn; relu
    head { avgpool(global); flatten; linear(2) }
}
"""


def layouts(model: nn.Module) -> set[str]:
    """The layouts of kernels that tell the two apart."""
    kernels = [value for value in model.parameters() if value.dim() == 4 and min(value.shape[1:]) > 1]
    return {
        "channels_last" if value.is_contiguous(memory_format=torch.channels_last) else "contiguous" for value in kernels
    }


@pytest.mark.parametrize(("groups", "grouped"), [(1, False), (2, True), (4, True), (8, False)])
def test_a_network_is_grouped_where_groups_have_several_channels(groups: int, grouped: bool) -> None:
    network = rx.loads(SPEC, groups=groups)
    assert has_groups(network.rewrite("fastest", "inference").graph) is grouped


def test_shipped_networks_are_grouped_as_torchvision_builds_them() -> None:
    from references import torchvision

    for name in ("resnet50", "resnext50_32x4d", "densenet121", "googlenet"):
        options = {"init_weights": False} if name == "googlenet" else {}
        with torch.device("meta"):
            theirs = torchvision.models.get_model(name, **options)
        kernels = [module for module in theirs.modules() if isinstance(module, nn.Conv2d)]
        grouped = any(kernel.groups > 1 and kernel.weight.shape[1] > 1 for kernel in kernels)
        assert has_groups(rx.load(name).ir) is grouped


@pytest.mark.parametrize(
    ("device", "dtype", "grouped", "layout"),
    [
        ("cpu", "float32", False, "channels_last"),
        ("cpu", "bfloat16", True, "channels_last"),
        ("cuda", "bfloat16", False, "channels_last"),
        ("cuda:1", "float16", False, "channels_last"),
        ("cuda:1", "float16", True, "contiguous"),
        ("cuda", "float32", False, "contiguous"),
        ("cuda", "float64", True, "contiguous"),
        ("mps", "float16", False, "contiguous"),
    ],
)
def test_the_table_decides_in_inference(device: str, dtype: str, grouped: bool, layout: str) -> None:
    assert layout_of("auto", "inference", device, dtype, grouped) == layout
    assert layout_of("auto", "train", device, dtype, grouped) == "contiguous"
    for asked in LAYOUTS[1:]:
        assert layout_of(asked, "train", device, dtype, grouped) == asked


def test_every_row_gives_its_evidence() -> None:
    assert {rule.layout for rule in TABLE} == set(LAYOUTS[1:])
    for rule in TABLE:
        assert "measured" in rule.reason
    assert "benchmarks/layout.py" in rule_of("cpu", "float32", True).reason
    assert rule_of("cuda", "bfloat16", True).reason.startswith("not measured on a GPU yet")


@pytest.mark.parametrize("mode", ["train", "inference"])
def test_a_module_has_the_layout_that_is_asked_for(mode: str) -> None:
    network = rx.loads(SPEC, groups=2)
    for asked in LAYOUTS[1:]:
        model = network.compile(mode=mode, layout=asked)
        assert layouts(model) == {asked}
        assert layout_in(model) == asked
    assert layouts(network.compile(mode=mode)) == {"contiguous" if mode == "train" else "channels_last"}


def test_layouts_compute_the_same() -> None:
    network, images = rx.loads(SPEC, groups=4), torch.randn(2, 8, 16, 16)
    one, other = (network.compile(mode="inference", seed=0, layout=layout)(images) for layout in LAYOUTS[1:])
    torch.testing.assert_close(one, other)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout 'nhwc' is none of auto, contiguous, channels_last"):
        rx.loads(SPEC).compile(layout="nhwc")
