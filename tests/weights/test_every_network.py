"""Every shipped network with weights of timm and torchvision: outputs are equal, or a message names what differs.

Running variances lie between 0.01 and 10, so that another eps and exchanged layers show in the outputs.
"""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import references
import torch
from references import timm, torchvision
from torch import nn

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import WeightsError, WeightsWarning
from resnext_dsl.weights import save

TOLERANCE = 1e-5
SPECS = sorted(path.stem for path in (Path(__file__).parents[2] / "specs").glob("*.arch"))
SPELLED = {"resnext50_32x4d_a": "resnext50_32x4d", "resnext50_32x4d_b": "resnext50_32x4d"}
"""Networks of ours that spell another network in another form."""

ONLY_HERE = {"alexnet_grouped", "resnext29_16x64d", "resnext29_8x64d", "resnext50_32x4d_fpn", "unet", "unet_resnet34"}
ONLY_HERE |= {"unet3d", "net1d", "resnext101_32_3d"}
ONLY_HERE |= {"retinanet_resnext50_32x4d_fpn"}
"""Networks that neither library has under a name; tests/networks holds the pyramid against torchvision's classes."""

NAMES_THERE = {
    ("regnetx_032", "torchvision"): "regnet_x_3_2gf",
    ("regnety_032", "torchvision"): "regnet_y_3_2gf",
    ("mobilenetv2_100", "torchvision"): "mobilenet_v2",
    ("mobilenetv3_large_100", "torchvision"): "mobilenet_v3_large",
}
"""Names of a network that are other ones in torchvision."""


def options(name: str, library: str) -> dict[str, bool]:
    if name in ("googlenet", "inception_v3"):
        heads = {"aux_logits": True}
        return heads if library == "timm" else heads | {"init_weights": False, "transform_input": False}
    return {}


def build(name: str, library: str) -> nn.Module:
    network = SPELLED.get(name, name)
    network = NAMES_THERE.get((network, library), network)
    if library == "timm":
        return timm.create_model(network, **options(name, library))
    return torchvision.models.get_model(network, weights=None, **options(name, library))


def exists(name: str, library: str) -> bool:
    network = SPELLED.get(name, name)
    network = NAMES_THERE.get((network, library), network)
    if library == "timm":
        return network in timm.list_models()
    modules = torchvision.models, torchvision.models.video
    return any(network in torchvision.models.list_models(module) for module in modules)


PAIRS = [(name, library) for name in SPECS for library in ("timm", "torchvision") if exists(name, library)]
QUICK = {"mobilenetv3_large_100", "regnetx_002", "resnet18", "shufflenet_v2_x1_0"}

SAID = {
    (
        "mobilenetv3_large_100",
        "torchvision",
    ): "the checkpoint is of torchvision's MobileNetV3: its batch norms have eps=0.001",
}
"""Pairs that differ in function, with the beginning of the message."""


def with_random_statistics(build: Callable[[], nn.Module], shape: tuple[int, ...], seed: int) -> nn.Module:
    """A network with all weights drawn; variances lie between 0.01 and 10, and gains keep the values in range."""
    model = references.filled(build, seed)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d)]
    generator = torch.Generator().manual_seed(seed)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        if norms:
            model.train()(torch.randn(2, *shape, generator=generator))  # auxiliary heads run too
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            variance = 10 ** torch.empty_like(norm.running_var).uniform_(-2, 1, generator=generator)
            norm.weight.mul_((variance / norm.running_var.clamp(min=1e-6)).sqrt())
            norm.running_var.copy_(variance)
    return model.eval()


@pytest.mark.parametrize(
    ("name", "library"),
    [
        pytest.param(name, library, marks=() if name in QUICK else pytest.mark.slow, id=f"{name}-{library}")
        for name, library in PAIRS
    ],
)
def test_outputs_are_equal_or_a_message_says_why_not(name: str, library: str, tmp_path: Path) -> None:
    network = rx.load(name)
    shape = network.ir.nodes[0].shape
    theirs = with_random_statistics(lambda: build(name, library), shape, zlib.crc32(f"{name} {library}".encode()))
    image = torch.randn(1, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = theirs(image)
        expected = expected[0] if isinstance(expected, tuple) else expected
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    save(tmp_path / "w.safetensors", theirs.state_dict())
    for file in ("w.pth", "w.safetensors"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", WeightsWarning)
            model = network.compile(weights=tmp_path / file).eval()
        messages = [w.message.diagnostic.message for w in caught if isinstance(w.message, WeightsWarning)]
        with torch.no_grad():
            difference = float((model(image) - expected).abs().max() / expected.abs().max())
        if (name, library) in SAID:
            assert len(messages) == 1
            assert messages[0].startswith(SAID[name, library])
            assert difference > TOLERANCE
        else:
            assert (messages, difference < TOLERANCE) == ([], True), difference


def test_every_spec_is_in_the_sweep() -> None:
    assert {name for name, _ in PAIRS} == set(SPECS) - ONLY_HERE
    assert {library for _, library in PAIRS} == {"timm", "torchvision"}


@pytest.mark.parametrize(
    ("build", "settings"),
    [
        (torchvision.models.mobilenet_v3_large, {"eps": 1e-3}),
        (lambda: timm.create_model("tf_mobilenetv3_large_100"), {"eps": 1e-3, "pad_like_tf": True}),
    ],
    ids=["torchvision", "timm's tf"],
)
def test_variants_of_mobilenet_have_parameters(build: Callable[[], nn.Module], settings: dict[str, object]) -> None:
    theirs = with_random_statistics(build, (3, 224, 224), 3)
    model = rx.load("mobilenetv3_large_100", **settings).compile(weights=theirs.state_dict()).eval()
    image = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (model(image) - theirs(image)).abs().max() < TOLERANCE * theirs(image).abs().max()


@pytest.mark.parametrize("resolution", [224, 240])
def test_tensorflows_efficientnet_has_parameters(resolution: int) -> None:
    """At 240 some maps have odd sides, which TensorFlow pads evenly."""
    theirs = with_random_statistics(lambda: timm.create_model("tf_efficientnet_b0"), (3, resolution, resolution), 4)
    network = rx.load("efficientnet_b0", eps=1e-3, pad_like_tf=True, resolution=resolution)
    model = network.compile(weights=theirs.state_dict()).eval()
    image = torch.randn(1, 3, resolution, resolution, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert (model(image) - theirs(image)).abs().max() < TOLERANCE * theirs(image).abs().max()


ALIKE = {
    "legacy_seresnet50": (
        "seresnet50",
        {},
        "the checkpoint is of timm's legacy_seresnet: its max pooling rounds sizes up",
    ),
    "convnext_tiny_hnf": ("convnext_tiny", {}, "the checkpoint is of a ConvNeXt of timm with `norm_pre`"),
}
"""Networks of timm with the shapes of a shipped network and another function, which their keys tell."""


@pytest.mark.parametrize("name", ALIKE)
def test_networks_that_their_keys_tell(name: str) -> None:
    spec, choices, message = ALIKE[name]
    theirs = timm.create_model(name, **choices)
    with pytest.warns(WeightsWarning) as caught:
        rx.load(spec).compile(weights=theirs.state_dict(), device="cpu")
    listed = [w.message.diagnostic for w in caught if isinstance(w.message, WeightsWarning)]
    assert [warning.code for warning in listed] == ["W914"]
    assert listed[0].message.startswith(message)


SILENT: dict[str, tuple[str, Callable[[], nn.Module], str]] = {
    "eps and padding": ("mobilenetv3_large_100", lambda: timm.create_model("tf_mobilenetv3_large_100"), "stem.conv"),
    "blur pooling": ("resnet50", lambda: timm.create_model("resnetblur50"), "conv2.0"),
    "output stride": (
        "resnext50_32x4d",
        lambda: timm.create_model("resnext50_32x4d", output_stride=8),
        "conv4.0",
    ),
}
"""Networks whose keys tell nothing, with the place of the first difference: docs/weights.md lists them."""


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=() if case == "eps and padding" else pytest.mark.slow) for case in SILENT]
)
def test_a_reference_shows_differences_that_keys_do_not_tell(case: str) -> None:
    spec, build, place = SILENT[case]
    theirs = references.filled(build, seed=5)
    state = theirs.state_dict()
    rx.load(spec).compile(weights=state)
    with pytest.raises(WeightsError, match=rf"E706.*`{place}") as caught:
        rx.load(spec).compile(weights=rx.Checkpoint(state, reference=theirs))
    assert caught.value.diagnostics[0].notes or place == "stem.conv"


def test_a_reference_that_agrees_changes_nothing() -> None:
    theirs = references.filled(lambda: timm.create_model("resnet18"), seed=5)
    before = {key: value.clone() for key, value in theirs.state_dict().items()}
    model = rx.load("resnet18").compile(weights=rx.Checkpoint(theirs.state_dict(), reference=theirs, strict=True))
    assert model.training
    assert theirs.training
    assert all(torch.equal(value, before[key]) for key, value in theirs.state_dict().items())
