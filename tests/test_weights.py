"""Checkpoints: mapped by structure, moved both ways without loss, refused with words that help, never run."""

from __future__ import annotations

import math
import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path

import pytest
import references
import safetensors.torch
import torch
import torchvision
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from resnext_dsl.diagnostics import WeightsError
from resnext_dsl.weights import (
    export_state_dict,
    load_checkpoint,
    load_weights,
    map_keys,
    save,
    shapes_of,
)
from resnext_dsl.weights.leaves import COUNTER, Shapes, layer_of

# --- which layer is which: every reference against the order in which it runs its own layers


def execution_order(model: nn.Module, resolution: int) -> list[str]:
    """The modules that hold parameters, in the order in which they are done (auxiliary heads run too)."""
    order: list[str] = []
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(lambda *_, name=name: order.append(name) if name not in order else None)
    model.train()(torch.empty(2, 3, resolution, resolution, device="meta"))
    return order


def disguised(model: nn.Module, resolution: int) -> tuple[Shapes, dict[str, str]]:
    """The model's shapes in the order of execution, every part of every name replaced, and the real keys of those."""
    parts: dict[str, str] = {}
    numbers = count()
    ours: dict[str, tuple[int, ...]] = {}
    truth: dict[str, str] = {}
    shapes = shapes_of(model.state_dict())
    for module in execution_order(model, resolution):
        name = ".".join(parts.setdefault(part, f"m{next(numbers)}") for part in module.split("."))
        for key, shape in shapes.items():
            if layer_of(key)[0] == module:
                ours[f"{name}.{layer_of(key)[1]}"] = shape
                truth[f"{name}.{layer_of(key)[1]}"] = key
    return ours, truth


def as_safetensors_orders(shapes: Shapes) -> Shapes:
    """The keys by type and then by name; the test of the file format below holds this against the library."""
    return {key: shapes[key] for key in sorted(shapes, key=lambda key: (layer_of(key)[1] != COUNTER, key))}


@pytest.mark.parametrize("name", references.NAMES)
def test_every_layer_of_a_reference_is_found(name: str) -> None:
    model = references.structure(name)
    theirs = shapes_of(model.state_dict())
    ours, truth = disguised(model, references.reference_costs()[name].resolution)
    assert dict(map_keys(ours, theirs).rows()) == truth
    assert dict(map_keys(ours, as_safetensors_orders(theirs)).rows()) == truth


def test_safetensors_keeps_no_order(tmp_path: Path) -> None:
    state = {k: torch.zeros(v) for k, v in shapes_of(references.structure("resnet18").state_dict()).items()}
    state = {k: v.long() if k.endswith(COUNTER) else v for k, v in state.items()}
    save(tmp_path / "weights.safetensors", state)
    assert list(load_checkpoint(tmp_path / "weights.safetensors")) == list(as_safetensors_orders(shapes_of(state)))


# --- two libraries' spellings of one network, both ways: outputs equal, weights back to the bit

PAIRS = (
    ("resnext50_32x4d", "resnext50_32x4d"),
    ("densenet121", "densenet121"),
    ("inception_v3", "inception_v3"),
    ("regnet_y_400mf", "regnety_004"),  # torchvision registers the shortcut before the body
    ("convnext_tiny", "convnext_tiny"),  # `layer_scale` of 96x1x1 and `gamma` of 96
    ("efficientnet_b0", "efficientnet_b0"),
)


def timm_model(name: str) -> nn.Module:
    options = {"aux_logits": True} if name == "inception_v3" else {}
    return references.timm_structure(name, **options).to_empty(device="cpu").eval()


def torchvision_model(name: str) -> nn.Module:
    options = {"inception_v3": {"init_weights": False, "transform_input": False}}.get(name, {})
    return torchvision.models.get_model(name, weights=None, **options).eval()


@pytest.mark.parametrize(("torchvision_name", "timm_name"), PAIRS)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_torchvision_and_timm_share_checkpoints(
    torchvision_name: str, timm_name: str, suffix: str, tmp_path: Path
) -> None:
    one, other = torchvision_model(torchvision_name), timm_model(timm_name)
    references.fill(one, seed=1)
    file = tmp_path / f"weights{suffix}"
    save(file, one.state_dict())
    load_weights(other, file)
    image = torch.randn(1, 3, *[299 if "inception" in timm_name else 224] * 2)
    with torch.no_grad():
        expected, found = one(image), other(image)
        found = found[0] if isinstance(found, tuple) else found  # timm computes the auxiliary head in eval mode too
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert_same_state(export_state_dict(other, like=one.state_dict()), one.state_dict())


def assert_same_state(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(found) == list(expected)
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype, key
        assert torch.equal(found[key], tensor), key


# --- the three forms of a ResNeXt block, by hand and with names as the language gives them


def unit(*layers: tuple[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Block(nn.Module):
    """A bottleneck block in form "a", "b" or "c"."""

    def __init__(self, form: str, inputs: int, outputs: int, cardinality: int, width: int, stride: int) -> None:
        super().__init__()
        self.form = form
        total = cardinality * width
        if form == "c":
            self.conv1, self.bn1 = convolution(inputs, total), nn.BatchNorm2d(total)
            self.conv2, self.bn2 = convolution(total, total, 3, stride, cardinality), nn.BatchNorm2d(total)
            self.conv3 = convolution(total, outputs)
        else:
            self.paths = nn.ModuleList(self.path(inputs, outputs, width, stride) for _ in range(cardinality))
            if form == "b":
                self.conv3 = convolution(total, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = unit(("conv", convolution(inputs, outputs, 1, stride)), ("bn", nn.BatchNorm2d(outputs)))

    def path(self, inputs: int, outputs: int, width: int, stride: int) -> nn.Sequential:
        layers = [("conv1", convolution(inputs, width)), ("bn1", nn.BatchNorm2d(width)), ("relu1", nn.ReLU())]
        layers += [("conv2", convolution(width, width, 3, stride)), ("bn2", nn.BatchNorm2d(width))]
        layers.append(("relu2", nn.ReLU()))
        return unit(*layers, ("conv3", convolution(width, outputs))) if self.form == "a" else unit(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "c":
            value = self.bn1(self.conv1(x)).relu()
            value = self.conv3(self.bn2(self.conv2(value)).relu())
        else:
            values = [path(x) for path in self.paths]
            value = self.conv3(torch.cat(values, dim=1)) if self.form == "b" else torch.stack(values).sum(0)
        return (self.bn3(value) + self.shortcut(x)).relu()


DEPTHS, CARDINALITY, WIDTH, CLASSES = (2, 1, 1, 1), 8, 2, 10


def by_hand(form: str) -> nn.Module:
    """A small ResNeXt with our names."""
    stem = unit(("conv", nn.Conv2d(3, 64, 7, 2, 3, bias=False)), ("bn", nn.BatchNorm2d(64)), ("relu", nn.ReLU()))
    stem.append(nn.MaxPool2d(3, 2, 1))
    parts, inputs = [("stem", stem)], 64
    for stage, depth in enumerate(DEPTHS):
        blocks = nn.Sequential()
        for number in range(depth):
            stride, outputs = 2 if stage and not number else 1, 256 * 2**stage
            blocks.append(Block(form, inputs, outputs, CARDINALITY, WIDTH * 2**stage, stride))
            inputs = outputs
        parts.append((f"conv{stage + 2}", blocks))
    head = unit(("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("linear", nn.Linear(inputs, CLASSES)))
    model = unit(*parts, ("head", head))
    references.fill(model, seed=ord(form))
    return model.eval()


def by_torchvision(**options: int) -> ResNet:
    settings = {"groups": CARDINALITY, "width_per_group": WIDTH, "num_classes": CLASSES} | options
    model = ResNet(Bottleneck, list(DEPTHS), **settings).eval()
    references.fill(model, seed=7)
    return model


@pytest.mark.parametrize("form", ["a", "b", "c"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_each_form_loads_torchvisions_checkpoint(form: str, suffix: str, tmp_path: Path) -> None:
    reference, model = by_torchvision(), by_hand(form)
    save(tmp_path / f"weights{suffix}", reference.state_dict())
    load_weights(model, tmp_path / f"weights{suffix}")
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = reference(image), model(image)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert_same_state(export_state_dict(model, like=reference.state_dict()), reference.state_dict())


@pytest.mark.parametrize("source", ["a", "b", "c"])
@pytest.mark.parametrize("target", ["a", "b", "c"])
def test_each_form_loads_the_checkpoint_of_each(source: str, target: str) -> None:
    trained, model = by_hand(source), by_hand(target)
    load_weights(model, trained.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, found = trained(image), model(image)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert_same_state(export_state_dict(model, like=trained.state_dict()), trained.state_dict())


def test_summed_paths_with_a_bias_round_trip() -> None:
    paths = nn.ModuleList(nn.Conv2d(2, 6, 1) for _ in range(4))
    ours = nn.ModuleDict({"paths": paths})
    theirs = nn.Conv2d(8, 6, 1)
    load_weights(ours, {f"merged.{k}": v for k, v in theirs.state_dict().items()})
    x = torch.randn(1, 8, 5, 5)
    summed = sum(path(part) for path, part in zip(paths, x.chunk(4, dim=1), strict=True))
    torch.testing.assert_close(summed, theirs(x))
    back = export_state_dict(ours, like={f"merged.{k}": v for k, v in theirs.state_dict().items()})
    assert_same_state(back, {f"merged.{k}": v for k, v in theirs.state_dict().items()})


def test_paths_within_paths_are_slices_of_slices() -> None:
    ours = {f"paths.{i}.paths.{j}.conv.weight": (2, 3, 1, 1) for i in range(2) for j in range(3)}
    (row,) = map_keys(ours, {"conv.weight": (12, 3, 1, 1)}).rows()
    assert row == (", ".join(ours), "conv.weight")


def test_equal_paths_that_are_layers_of_their_own_stay_apart() -> None:
    ours = {"paths.0.conv.weight": (4, 3, 1, 1), "paths.1.conv.weight": (4, 3, 1, 1), "last.weight": (8, 3, 1, 1)}
    theirs = {"left.weight": (4, 3, 1, 1), "right.weight": (4, 3, 1, 1), "last.weight": (8, 3, 1, 1)}
    assert list(dict(map_keys(ours, theirs).rows()).values()) == list(theirs)


# --- the search


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    sizes = {f"{name}.{suffix}": (channels,) for suffix in ("weight", "bias", "running_mean", "running_var")}
    return sizes | {f"{name}.{COUNTER}": ()}


def test_shortcut_of_equal_shapes_registered_first() -> None:
    """By shapes alone the shortcut and the body's first layers could be exchanged; the modules say otherwise."""
    conv, kernel = (8, 8, 1, 1), (8, 8, 3, 3)
    ours = {"conv1.weight": conv, **norm("bn1", 8), "conv2.weight": kernel, **norm("bn2", 8)}
    ours |= {"shortcut.conv.weight": conv, **norm("shortcut.bn", 8)}
    theirs = {"x.proj.0.weight": conv, **norm("x.proj.1", 8)}
    theirs |= {"x.f.a.weight": conv, **norm("x.f.b", 8), "x.f.c.weight": kernel, **norm("x.f.d", 8)}
    rows = dict(map_keys(ours, theirs).rows())
    assert rows["conv1.weight"] == "x.f.a.weight"
    assert rows["shortcut.conv.weight"] == "x.proj.0.weight"
    assert rows["shortcut.bn.bias"] == "x.proj.1.bias"


def test_plain_layers_do_not_change_places() -> None:
    """Pre-activation and post-activation blocks hold the same layers and are not the same network."""
    post = {"conv1.weight": (8, 8, 3, 3), **norm("bn1", 8)}
    pre = {**norm("z.norm", 8), "z.conv.weight": (8, 8, 3, 3)}
    with pytest.raises(WeightsError, match="in another order"):
        map_keys(post, pre)


def test_the_search_gives_up_in_bounded_time() -> None:
    """Twenty-four modules that fit anywhere, no two alike inside, and a last layer that fits nowhere."""
    ours: dict[str, tuple[int, ...]] = {}
    theirs: dict[str, tuple[int, ...]] = {}
    for number in range(24):
        ours |= {f"m{number}.a.weight": (4, 4), f"m{number}.b.weight": (4, 4)}
        deep = ".".join("abcdefghijklmnopqrstuvwxyz"[: number + 1])
        theirs |= {f"m{number}.{deep}.a.weight": (4, 4), f"m{number}.{deep}.b.weight": (4, 4)}
    ours["last.weight"], theirs["last.weight"] = (5, 4), (6, 4)
    with pytest.raises(WeightsError, match=r"`last.weight` is 5x4 here; `last.weight` is 6x4 .*(?s:.*) given up"):
        map_keys(ours, theirs)


CHANNELS = st.integers(1, 3)
UNIQUE = 10


@st.composite
def spelled_twice(draw: st.DrawFn) -> tuple[Shapes, Shapes, dict[str, str]]:
    """A random network as we spell it, as another library might, and which key is which.

    The other library names everything anew, puts modules around parts of a block, registers a block's shortcut before
    its body and its scale (which it calls `gamma`) before both, and may have lost the counters of its batch norms.
    """
    ours: dict[str, tuple[int, ...]] = {}
    theirs: dict[str, tuple[int, ...]] = {}
    truth: dict[str, str] = {}
    numbers = count(UNIQUE)
    counted = draw(st.booleans())

    def layer(here: str, there: str, sizes: Shapes) -> None:
        for key, size in sizes.items():
            suffix = layer_of(key)[1]
            ours[f"{here}.{suffix}"] = size
            kept = counted or suffix != COUNTER
            truth[f"{here}.{suffix}"] = f"{there}.{suffix}" if kept else ""
            if kept:
                theirs[f"{there}.{suffix}"] = size

    def layers(here: str, there: str) -> None:
        for number in range(draw(st.integers(1, 3))):
            convolves = draw(st.booleans())
            sizes = {"weight": (draw(CHANNELS), draw(CHANNELS), 1, 1)} if convolves else norm("bn", draw(CHANNELS))
            layer(f"{here}.layer{number}", f"{there}.{'xyz'[number]}", sizes)

    for number in range(draw(st.integers(1, 8))):
        here, there = f"part.{number}", f"blocks.{number}"
        wrap = draw(st.sampled_from(["", ".f", ".f.g"]))
        before = dict(ours)
        if draw(st.booleans()):
            scale = next(numbers)
            theirs[f"{there}.gamma"] = (scale, 1, 1)
        else:
            scale = 0
        if draw(st.booleans()):
            layer(f"{here}.shortcut.conv", f"{there}.proj.0", {"weight": (next(numbers), 4, 1, 1)})
            layer(f"{here}.shortcut.bn", f"{there}.proj.1", norm("bn", UNIQUE))
        shortcut = {key: ours.pop(key) for key in list(ours) if key not in before}
        layers(here, there + wrap)
        if scale:
            ours[f"{here}.scale.weight"] = (scale,)
            truth[f"{here}.scale.weight"] = f"{there}.gamma"
        ours |= shortcut
    return ours, theirs, truth


@given(spelled_twice())
def test_two_spellings_of_a_random_network(networks: tuple[Shapes, Shapes, dict[str, str]]) -> None:
    ours, theirs, truth = networks
    assert dict(map_keys(ours, theirs).rows()) == truth
    assert dict(map_keys(ours, as_safetensors_orders(theirs)).rows()) == truth


@given(spelled_twice(), st.data())
def test_one_changed_shape_is_found(networks: tuple[Shapes, Shapes, dict[str, str]], draw: st.DataObject) -> None:
    ours, theirs, _ = networks
    key = draw.draw(st.sampled_from([key for key in theirs if layer_of(key)[1] != COUNTER]))
    changed = dict(theirs)
    changed[key] = (97, *theirs[key][1:])
    with pytest.raises(WeightsError, match=r"97|ends where|has layers that|in another order"):
        map_keys(ours, changed)


@given(spelled_twice())
def test_values_go_in_and_come_back(networks: tuple[Shapes, Shapes, dict[str, str]]) -> None:
    ours, theirs, _ = networks
    model, state = Holder(ours), Holder(theirs).state_dict()
    load_weights(model, state)
    assert_same_state(export_state_dict(model, like=state), state)


class Holder(nn.Module):
    """A module tree that holds drawn tensors of these shapes under these keys, in this order, and computes nothing."""

    def __init__(self, shapes: Shapes) -> None:
        super().__init__()
        for key, shape in shapes.items():
            module, suffix = layer_of(key)
            holder: nn.Module = self
            for part in module.split(".") if module else ():
                if part not in holder._modules:
                    holder.add_module(part, nn.Module())
                holder = holder.get_submodule(part)
            if suffix == COUNTER:
                holder.register_buffer(suffix, torch.tensor(3))
            else:
                holder.register_parameter(suffix, nn.Parameter(torch.randn(shape)))
