"""The match between the layers of a checkpoint and ours, from keys and shapes alone, and the error if there is none."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
import references
import torch
from hypothesis import given
from hypothesis import strategies as st
from strategies import AS_FOUND
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from resnext_dsl.foundation.diagnostics import WeightsError
from resnext_dsl.weights import export_state_dict, load_checkpoint, load_weights, map_keys, save, shapes_of
from resnext_dsl.weights.layer_comparison import LayerDifference
from resnext_dsl.weights.leaves import COUNTER, Shapes, layer_of

# --- the match: every reference against the order in which it runs its layers


def execution_order(model: nn.Module, image: torch.Tensor) -> list[str]:
    """The modules that hold parameters, in the order of execution, auxiliary heads included."""
    order: list[str] = []
    for name, module in model.named_modules():
        if next(module.parameters(recurse=False), None) is not None:
            module.register_forward_hook(lambda *_, name=name: order.append(name) if name not in order else None)
    references.without_norms(model).train()(image.to("meta"))
    return order


def disguised(model: nn.Module, image: torch.Tensor) -> tuple[Shapes, dict[str, str]]:
    """The model's shapes in the order of execution, every part of every name replaced, and the real keys of those."""
    parts: dict[str, str] = {}
    numbers = count()
    ours: dict[str, tuple[int, ...]] = {}
    truth: dict[str, str] = {}
    shapes = shapes_of(model.state_dict())
    for module in execution_order(model, image):
        name = ".".join(parts.setdefault(part, f"m{next(numbers)}") for part in module.split("."))
        for key, shape in shapes.items():
            if layer_of(key)[0] == module:
                ours[f"{name}.{layer_of(key)[1]}"] = shape
                truth[f"{name}.{layer_of(key)[1]}"] = key
    return ours, truth


def as_safetensors_orders(shapes: Shapes) -> Shapes:
    """The keys by type and then by name; the test of the file format below holds this against the library."""
    return {key: shapes[key] for key in sorted(shapes, key=lambda key: (layer_of(key)[1] != COUNTER, key))}


DEEPER = {"resnet34", "resnet101", "resnet152", "resnext101_32x8d", "resnext101_64x4d", "vgg16", "vgg19_bn"}
DEEPER |= {
    "wide_resnet50_2",
    "resnext101_32x4d",
    "seresnext50_32x4d",
    "regnetx_032",
    "inception_v4",
    "vgg16_bn",
    "mc3_18",
}
"""References with more layers of the kinds that others have."""


NAMED = {"nasnetalarge"}
"""References whose cells register `conv_1x1` before the equal norm of `final_path_bn`, and run it after: only words tell."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in DEEPER else ())
        for name in references.NAMES
        if name not in NAMED
    ],
)
def test_every_layer_of_a_reference_is_found(name: str) -> None:
    model = references.structure(name)
    theirs = shapes_of(model.state_dict())
    ours, truth = disguised(model, references.image(name, batch=2))
    assert dict(map_keys(ours, theirs).rows()) == truth
    assert dict(map_keys(ours, as_safetensors_orders(theirs)).rows()) == truth


def test_safetensors_keeps_no_order(tmp_path: Path) -> None:
    state = {k: torch.zeros(v) for k, v in shapes_of(references.structure("resnet18").state_dict()).items()}
    state = {k: v.long() if k.endswith(COUNTER) else v for k, v in state.items()}
    save(tmp_path / "weights.safetensors", state)
    assert list(load_checkpoint(tmp_path / "weights.safetensors")) == list(as_safetensors_orders(shapes_of(state)))


# --- the search


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    sizes = {f"{name}.{suffix}": (channels,) for suffix in ("weight", "bias", "running_mean", "running_var")}
    return sizes | {f"{name}.{COUNTER}": ()}


def test_shortcut_of_equal_shapes_registered_first() -> None:
    """By shapes alone, the shortcut and the body's first layers could be exchanged; the modules decide."""
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
    with pytest.raises(WeightsError, match="in another order") as caught:
        map_keys(post, pre)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.hint == "if it is the same network, `--map THEIRS=OURS` says which layers belong together"


def test_the_search_gives_up_in_bounded_time() -> None:
    """Twenty-four modules that fit anywhere, no two alike inside, and a last layer that fits nowhere."""
    ours: dict[str, tuple[int, ...]] = {}
    theirs: dict[str, tuple[int, ...]] = {}
    for number in range(24):
        ours |= {f"m{number}.a.weight": (4, 4), f"m{number}.b.weight": (4, 4)}
        deep = ".".join("abcdefghijklmnopqrstuvwxyz"[: number + 1])
        theirs |= {f"m{number}.{deep}.a.weight": (4, 4), f"m{number}.{deep}.b.weight": (4, 4)}
    ours["last.weight"], theirs["last.weight"] = (5, 4), (6, 4)
    with pytest.raises(
        WeightsError, match=r"`last.weight` is 5x4 here; `last.weight` is 6x4 .*(?s:.*) stopped at its limit"
    ):
        map_keys(ours, theirs)


CHANNELS = st.integers(1, 3)
UNIQUE = 10


@st.composite
def spelled_twice(draw: st.DrawFn) -> tuple[Shapes, Shapes, dict[str, str]]:
    """A random network in our spelling and in another library's, and the map between the keys.

    The other library has other names, puts modules around parts of a block, and registers a block's shortcut before its
    body. It registers the block's scale, called `gamma`, before both. It may lack the counters of batch norms.
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


@AS_FOUND
@given(spelled_twice())
def test_two_spellings_of_a_random_network(networks: tuple[Shapes, Shapes, dict[str, str]]) -> None:
    ours, theirs, truth = networks
    assert dict(map_keys(ours, theirs).rows()) == truth
    assert dict(map_keys(ours, as_safetensors_orders(theirs)).rows()) == truth


@AS_FOUND
@given(spelled_twice(), st.data())
def test_one_changed_shape_is_found(networks: tuple[Shapes, Shapes, dict[str, str]], draw: st.DataObject) -> None:
    ours, theirs, _ = networks
    key = draw.draw(st.sampled_from([key for key in theirs if layer_of(key)[1] != COUNTER]))
    changed = dict(theirs)
    changed[key] = (97, *theirs[key][1:])
    with pytest.raises(WeightsError, match=r"97|ends, but|has layers that|in another order"):
        map_keys(ours, changed)


def test_paths_within_paths_are_slices_of_slices() -> None:
    ours = {f"paths.{i}.paths.{j}.conv.weight": (2, 3, 1, 1) for i in range(2) for j in range(3)}
    assert map_keys(ours, {"conv.weight": (12, 3, 1, 1)}).rows() == [(key, "conv.weight") for key in ours]
    assert map_keys({"conv.weight": (12, 3, 1, 1)}, ours).rows() == [("conv.weight", ", ".join(ours))]


def test_equal_paths_that_are_layers_of_their_own_stay_apart() -> None:
    ours = {"paths.0.conv.weight": (4, 3, 1, 1), "paths.1.conv.weight": (4, 3, 1, 1), "last.weight": (8, 3, 1, 1)}
    theirs = {"left.weight": (4, 3, 1, 1), "right.weight": (4, 3, 1, 1), "last.weight": (8, 3, 1, 1)}
    assert list(dict(map_keys(ours, theirs).rows()).values()) == list(theirs)


# --- the error for a checkpoint that does not fit


def resnet(
    block: type[Bottleneck | BasicBlock] = Bottleneck, layers: tuple[int, ...] = (3, 4, 6, 3), **options: int
) -> Shapes:
    """The shapes of a ResNet of torchvision."""
    with torch.device("meta"):
        return shapes_of(ResNet(block, list(layers), **options).state_dict())


def as_ours(shapes: Shapes) -> Shapes:
    """A ResNet's keys as our specs name them."""
    ours = {}
    for key, shape in shapes.items():
        name = re.sub(r"^layer(\d)", lambda stage: f"conv{int(stage[1]) + 1}", key)
        name = name.replace("downsample.0", "shortcut.conv").replace("downsample.1", "shortcut.bn")
        ours[re.sub(r"^(conv1|bn1)\.", lambda stem: f"stem.{stem[1][:-1]}.", name).replace("fc.", "head.linear.")] = (
            shape
        )
    return ours


RESNEXT = {"groups": 32, "width_per_group": 4}

MISFITS: dict[str, tuple[Callable[[], Shapes], Callable[[], Shapes], str, str]] = {
    "classes": (
        lambda: resnet(**RESNEXT, num_classes=10),
        lambda: resnet(**RESNEXT),
        "`head.linear.weight` is 10x2048 here; `fc.weight` is 1000x2048 in the checkpoint",
        "only the classifier differs: `--set classes=1000`, in Python `classes=1000`",
    ),
    "cardinality": (
        lambda: resnet(**RESNEXT),
        lambda: resnet(groups=16, width_per_group=8),
        "`conv2.0.conv2.weight` is 128x4x3x3 here; `layer1.0.conv2.weight` is 128x8x3x3 in the checkpoint",
        "4 channels a group here, 8 there: do `cardinality` and `width` agree?",
    ),
    "width": (
        lambda: resnet(**RESNEXT),
        resnet,
        "`conv2.0.conv1.weight` is 128x64x1x1 here; `layer1.0.conv1.weight` is 64x64x1x1 in the checkpoint",
        "the widths differ: is it the same network at the same `width` or `channels`?",
    ),
    "a deeper checkpoint": (
        resnet,
        lambda: resnet(layers=(3, 4, 23, 3)),
        "`conv5.0.conv1.weight` is 512x1024x1x1 here; `layer3.6.conv1.weight` is 256x1024x1x1 in the checkpoint",
        "the numbers of layers differ: is it the same network at the same `depths`?",
    ),
    "a deeper network": (
        lambda: resnet(layers=(3, 4, 23, 3)),
        resnet,
        "`conv4.6.conv1.weight` is 256x1024x1x1 here; `layer4.0.conv1.weight` is 512x1024x1x1 in the checkpoint",
        "the numbers of layers differ: is it the same network at the same `depths`?",
    ),
    "other blocks": (
        resnet,
        lambda: resnet(BasicBlock),
        "`conv2.0.conv1.weight` is 64x64x1x1 here; `layer1.0.conv1.weight` is 64x64x3x3 in the checkpoint",
        "the numbers of layers differ: is it the same network at the same `depths`?",
    ),
    "one layer": (
        resnet,
        lambda: resnet() | {"layer3.2.conv2.weight": (256, 128, 3, 3)},
        "`conv4.2.conv2.weight` is 256x256x3x3 here; `layer3.2.conv2.weight` is 256x128x3x3 in the checkpoint",
        "256 channels a group here, 128 there: do `cardinality` and `width` agree?",
    ),
    "no bias": (
        lambda: {key: shape for key, shape in resnet().items() if key != "fc.bias"},
        resnet,
        "`head.linear.weight` is 1000x2048 here; `fc` has weight 1000x2048, bias 1000 in the checkpoint",
        "",
    ),
    "nothing alike": (
        resnet,
        lambda: {"a": (3,)},
        "`stem.conv.weight` is 64x3x7x7 here; `a` is 3 in the checkpoint",
        "the numbers of layers differ: is it the same network at the same `depths`?",
    ),
}


@pytest.mark.parametrize("case", MISFITS)
def test_the_first_layer_that_differs_is_named_on_both_sides(case: str) -> None:
    ours, theirs, message, hint = MISFITS[case]
    with pytest.raises(WeightsError, match=re.escape(message)) as caught:
        map_keys(as_ours(ours()), theirs(), file="checkpoint.pth")
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message, diagnostic.hint) == ("E701", message, hint)
    assert diagnostic.file == "checkpoint.pth"
    assert "layers here" in diagnostic.notes[0].message


@pytest.mark.parametrize("case", ["classes", "cardinality", "one layer", "no bias"])
def test_and_likewise_in_a_file_that_is_sorted(case: str) -> None:
    ours, theirs, message, _ = MISFITS[case]
    with pytest.raises(WeightsError, match=re.escape(message)):
        map_keys(as_ours(ours()), as_safetensors_orders(theirs()))


def test_a_checkpoint_of_ours_with_other_classes() -> None:
    message = "`head.linear.weight` is 10x2048 here; `head.linear.weight` is 1000x2048 in the checkpoint"
    with pytest.raises(WeightsError, match=re.escape(message)) as caught:
        map_keys(as_ours(resnet(num_classes=10)), as_ours(resnet()))
    assert "classes=1000" in caught.value.diagnostics[0].hint


def test_heads_on_one_side_alone_are_named() -> None:
    with_heads = shapes_of(references.structure("googlenet").state_dict())
    without = shapes_of(references.torchvision_structure("googlenet", aux_logits=False).state_dict())
    ours = {f"network.{key}": shape for key, shape in with_heads.items()}
    heads = r"`\S*aux1` \(weight 128x512x1x1 and 3 more layers\), `\S*aux2` \(weight 128x528x1x1 and 3 more layers\)"
    with pytest.raises(WeightsError, match=f"the network has layers that the checkpoint lacks: {heads}"):
        map_keys(ours, without)
    ours = {f"network.{key}": shape for key, shape in without.items()}
    with pytest.raises(WeightsError, match=f"the checkpoint has layers that the network lacks: {heads}"):
        map_keys(ours, with_heads)


def test_an_error_in_paths_counts_them() -> None:
    ours = {f"paths.{path}.conv.weight": (4, 64, 1, 1) for path in range(32)}
    with pytest.raises(
        WeightsError, match=r"`paths\.\*\.conv\.weight` is 32 times 4x64x1x1 here; `conv\.weight` is 64x64x1x1"
    ):
        map_keys(ours, {"conv.weight": (64, 64, 1, 1)})


def test_one_side_ends_early() -> None:
    ours, theirs = {"a.weight": (3, 3), "b.weight": (3, 3)}, {"c.d.weight": (3, 3), "c.e.weight": (3, 3)}
    with pytest.raises(WeightsError, match=r"the checkpoint has layers that the network lacks: `c\.e`"):
        map_keys({"a.weight": (3, 3)}, theirs)
    with pytest.raises(WeightsError, match="the network has layers that the checkpoint lacks: `b`"):
        map_keys(ours, {"c.d.weight": (3, 3)})


def test_hostile_keys_are_shown_harmlessly() -> None:
    with pytest.raises(WeightsError, match="more than 64 levels"):
        map_keys({"a.weight": (3,)}, {".".join("a" * 1000): (3,)})
    with pytest.raises(WeightsError) as caught:
        map_keys({"a.weight": (3,)}, {"\x1b[2J\n" + "b" * 10_000: (4,)})
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_norms_and_convolutions_listed_apart() -> None:
    """timm's Res2Net registers the convolutions of a block's paths first and their norms after them."""
    ours: dict[str, tuple[int, ...]] = {}
    for number in range(3):
        ours |= {f"p.{number}.conv.weight": (4, 4, 3, 3), **norm(f"p.{number}.bn", 4)}
    theirs: dict[str, tuple[int, ...]] = {f"convs.{n}.weight": (4, 4, 3, 3) for n in range(3)}
    for number in range(3):
        theirs |= norm(f"bns.{number}", 4)
    truth = {key: re.sub(r"p\.(\d)\.(conv|bn)\.", r"\2s.\1.", key) for key in ours}
    assert dict(map_keys(ours, theirs).rows()) == truth
    assert dict(map_keys(ours, as_safetensors_orders(theirs)).rows()) == truth


# --- with values


@AS_FOUND
@given(spelled_twice())
def test_values_go_in_and_come_back(networks: tuple[Shapes, Shapes, dict[str, str]]) -> None:
    ours, theirs, _ = networks
    model, state = Holder(ours), Holder(theirs).state_dict()
    load_weights(model, state)
    back = export_state_dict(model, like=state)
    assert list(back) == list(state)
    assert all(torch.equal(back[key], value) for key, value in state.items())


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


def test_layers_listed_apart_stand_where_the_first_list_does() -> None:
    """A module of the same layers is registered between the lists; all orders fit, so the place decides."""
    ours: dict[str, tuple[int, ...]] = {}
    for name in ("a", "b", "c"):
        ours |= {f"{name}.conv.weight": (4, 4, 3, 3), **norm(f"{name}.bn", 4)}
    theirs: dict[str, tuple[int, ...]] = {f"convs.{n}.weight": (4, 4, 3, 3) for n in range(2)}
    theirs |= {"between.conv.weight": (4, 4, 3, 3), **norm("between.bn", 4), **norm("bns.0", 4), **norm("bns.1", 4)}
    rows = dict(map_keys(ours, theirs).rows())
    places = {"a": ("convs.0", "bns.0"), "b": ("convs.1", "bns.1"), "c": ("between.conv", "between.bn")}
    for name, (conv, bn) in places.items():
        assert rows[f"{name}.conv.weight"] == f"{conv}.weight"
        assert rows[f"{name}.bn.weight"] == f"{bn}.weight"


@pytest.mark.parametrize(
    ("before", "after", "differs"),
    [
        (0.0, 0.0, False),
        (0.0, 1e-4, False),
        (1e-4, 0.0, False),
        (0.0, 1.1e-4, True),
        (1.1e-4, 0.0, True),
        (0.0, 0.5, True),
        (math.inf, 0.0, True),
        (math.nan, 0.0, True),
        (0.0, math.nan, True),
    ],
)
def test_values_are_equal_up_to_a_share_of_one_in_ten_thousand(before: float, after: float, differs: bool) -> None:
    assert LayerDifference("a", "b", before, after).differs == differs
