"""The memory format of weights: one table decides by mode, device, type and channels a group, and the user overrides."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import resnext_dsl as rx
from resnext_dsl.devices.memory_format import (
    H100,
    LAYOUTS,
    TABLE,
    convolutions_in,
    groups_of,
    kind_of,
    layout_in,
    layout_of,
    rule_of,
    training_layout,
)

SPEC = """\
network small {
    input image: 64x16x16
    param groups = 1
    conv(64, 3x3, groups=groups); bn; relu
    head { avgpool(global); flatten; linear(2) }
}
"""


def layouts(model: nn.Module) -> set[str]:
    """The layouts of kernels that tell the two apart."""
    kernels = [value for value in model.parameters() if value.dim() == 4 and min(value.shape[1:]) > 1]
    return {
        "channels_last" if value.is_contiguous(memory_format=torch.channels_last) else "contiguous" for value in kernels
    }


@pytest.mark.parametrize(
    ("groups", "kind"),
    [
        (1, "ungrouped"),
        (2, "narrow"),  # 32 channels a group
        (4, "narrow"),
        (16, "narrow"),
        (32, "mixed"),  # 2 channels a group: not measured
        (64, "depthwise"),
    ],
)
def test_the_kind_of_a_network_follows_from_the_channels_a_group(groups: int, kind: str) -> None:
    network = rx.loads(SPEC, groups=groups)
    assert groups_of(network.rewrite("fastest", "inference").graph) == kind
    assert kind_of(convolutions_in(network.compile())) == kind


def kind_of_widths(*kernels: tuple[int, int, int]) -> str:
    with torch.device("meta"):
        module = nn.Sequential(*(nn.Conv2d(inner, outer, 3, groups=groups) for inner, outer, groups in kernels))
    return kind_of(convolutions_in(module))


def test_one_other_width_decides_the_kind() -> None:
    narrow = (128, 128, 32)
    assert kind_of_widths(narrow, (64, 64, 64)) == "narrow"  # depthwise convolutions do not count
    assert kind_of_widths(narrow, (96, 96, 4)) == "mixed"  # 24
    assert kind_of_widths(narrow, (128, 96, 4)) == "mixed"  # 32 of the input, 24 of the result
    assert kind_of_widths(narrow, (128, 128, 2)) == "mixed"  # 64
    assert kind_of_widths(narrow, (130, 130, 2)) == "wide"  # 65


def test_shipped_networks_have_the_kind_of_the_library_s_modules() -> None:
    from references import structure

    expected = {
        "resnet50": "ungrouped",
        "densenet121": "ungrouped",
        "mobilenetv2_100": "depthwise",
        "convnext_tiny": "depthwise",
        "resnext50_32x4d": "narrow",
        "resnext101_64x4d": "narrow",
        "resnext101_32x8d": "mixed",
        "regnetx_032": "mixed",
        "regnety_032": "mixed",
    }
    for name, kind in expected.items():
        theirs = [module for module in structure(name).modules() if isinstance(module, nn.Conv2d)]
        widths = {one.weight.shape[1] for one in theirs if one.groups > 1}
        assert groups_of(rx.load(name).ir) == kind
        assert bool(widths) is (kind != "ungrouped")
        assert (widths == {1}) is (kind == "depthwise")
        assert (max(widths, default=0) in (4, 8, 16, 32)) is (kind == "narrow")
    assert groups_of(rx.load("resnext29_16x64d").ir) == "wide"


def test_a_module_has_the_kind_of_its_graph() -> None:
    for name in ("resnext50_32x4d", "shufflenet_v2_x1_0", "googlenet", "alexnet_grouped", "unet", "res2net50_26w_4s"):
        network = rx.load(name)
        assert kind_of(convolutions_in(network.compile(device="meta"))) == groups_of(network.rewrite("fastest").graph)


@pytest.mark.parametrize(
    ("device", "dtype", "groups", "inference", "train"),
    [
        ("cpu", "float32", "ungrouped", "channels_last", "contiguous"),
        ("cpu", "float32", "depthwise", "channels_last", "channels_last"),
        ("cpu", "float32", "narrow", "channels_last", "channels_last"),
        ("cpu", "float32", "mixed", "channels_last", "channels_last"),
        ("cpu", "float32", "wide", "channels_last", "contiguous"),
        ("cpu", "bfloat16", "narrow", "channels_last", "contiguous"),
        ("cuda", "bfloat16", "ungrouped", "channels_last", "contiguous"),
        ("cuda:1", "float16", "narrow", "channels_last", "channels_last"),
        ("cuda", "bfloat16", "narrow", "channels_last", "channels_last"),
        ("cuda", "float16", "depthwise", "channels_last", "contiguous"),
        ("cuda:1", "float16", "mixed", "contiguous", "contiguous"),
        ("cuda", "bfloat16", "wide", "contiguous", "contiguous"),
        ("cuda", "float32", "narrow", "contiguous", "contiguous"),
        ("cuda", "float64", "mixed", "contiguous", "contiguous"),
        ("mps", "float16", "narrow", "contiguous", "contiguous"),
    ],
)
def test_the_table_decides(device: str, dtype: str, groups: str, inference: str, train: str) -> None:
    assert layout_of("auto", "inference", device, dtype, groups) == inference
    assert rule_of("train", device, dtype, groups).layout == train
    # a compiled module keeps torch's layout in training on a CPU
    assert layout_of("auto", "train", device, dtype, groups) == ("contiguous" if device == "cpu" else train)
    for requested in LAYOUTS[1:]:
        assert layout_of(requested, "train", device, dtype, groups) == requested


def test_every_row_gives_its_evidence() -> None:
    assert {rule.layout for rule in TABLE} == set(LAYOUTS[1:])
    for rule in TABLE:
        assert "measured" in rule.reason
    assert "benchmarks/layout.py" in rule_of("inference", "cpu", "float32", "narrow").reason
    assert "benchmarks/layout.py train" in rule_of("train", "cpu", "float32", "narrow").reason
    for mode in ("train", "inference"):
        reason = rule_of(mode, "cuda", "bfloat16", "narrow").reason
        assert reason.startswith("measured on an NVIDIA H100 with torch 2.11, 2026-11-28: ")
    assert rule_of("inference", "cuda", "bfloat16", "depthwise").reason.startswith("not measured on a GPU yet")
    assert rule_of("train", "cuda", "bfloat16", "ungrouped").reason.startswith("not measured")


def test_the_rows_of_a_gpu_follow_from_the_kept_measurements() -> None:
    import json

    results = Path(__file__).parents[2] / "benchmarks" / "gpu" / "results"
    rows = [json.loads(line) for line in (results / "h100-80gb-tax-2026-11-28.jsonl").read_text().splitlines()]
    steps: dict[str, dict[str, float]] = {}
    forward: dict[str, dict[str, float]] = {}
    kinds: dict[str, str] = {}
    for row in rows:
        if row.get("table") == "layers":
            layer, layout, seconds = row["layer"], row["layout"], row["seconds"]["median"]
            kinds[row["what"]] = kind_of_widths((layer["channels"], layer["out_channels"], layer["groups"]))
            steps.setdefault(row["what"], {}).setdefault(layout, 0.0)
            steps[row["what"]][layout] += seconds
            if row["direction"] == "forward":
                forward.setdefault(row["what"], {})[layout] = seconds
    assert set(kinds.values()) == {"narrow", "mixed"}
    for times in (steps, forward):
        for what, both in times.items():
            faster = min(both, key=lambda layout: both[layout])
            assert faster == rule_of("train", "cuda", "bfloat16", kinds[what]).layout, what
    ratios = [both["channels_last"] / both["contiguous"] for what, both in forward.items() if kinds[what] == "mixed"]
    stated = f"takes {min(ratios):.2f} to {max(ratios):.2f} of the time of contiguous in channels_last"
    assert stated in rule_of("inference", "cuda", "bfloat16", "mixed").reason.replace("in \nchannels", "in channels")
    trained = {
        f"{row['ratio']['median']:.2f}"
        for row in rows
        if row.get("table") == "networks"
        and row["mode"] == "train"
        and row["batch"] > 1
        and "contiguous" in row["variant"]
    }
    assert trained == {"1.65"}
    assert f"{H100}a step in contiguous takes 1.65" in rule_of("train", "cuda", "bfloat16", "narrow").reason


@pytest.mark.parametrize("mode", ["train", "inference"])
def test_a_module_has_the_layout_that_is_asked_for(mode: str) -> None:
    network = rx.loads(SPEC, groups=2)
    for requested in LAYOUTS[1:]:
        model = network.compile(mode=mode, layout=requested)
        assert layouts(model) == {requested}
        assert layout_in(model) == requested
    assert layouts(network.compile(mode=mode)) == {"contiguous" if mode == "train" else "channels_last"}


@pytest.mark.parametrize(("groups", "layout"), [(1, "contiguous"), (2, "channels_last"), (64, "channels_last")])
def test_a_module_trains_in_the_layout_of_the_table(groups: int, layout: str) -> None:
    model = rx.loads(SPEC, groups=groups).compile()
    assert training_layout(model, "cpu", "float32") == layout
    assert training_layout(model, "mps", "float32") == "contiguous"
    assert layout_in(model) == "contiguous"  # asking changes nothing


def test_layouts_compute_the_same() -> None:
    network, images = rx.loads(SPEC, groups=4), torch.randn(2, 64, 16, 16)
    one, other = (network.compile(mode="inference", seed=0, layout=layout)(images) for layout in LAYOUTS[1:])
    torch.testing.assert_close(one, other)


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(ValueError, match="layout 'nhwc' is none of auto, contiguous, channels_last"):
        rx.loads(SPEC).compile(layout="nhwc")
