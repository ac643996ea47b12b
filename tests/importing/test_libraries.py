"""Networks of torchvision and timm by name, and modules of functions."""

from __future__ import annotations

import pytest
from torch import nn

import resnext_dsl as rx
from resnext_dsl.importing.libraries import input_of, library_module
from resnext_dsl.importing.sources import is_source


@pytest.mark.parametrize(
    ("library", "name", "device"),
    [
        ("timm", "resnet18", "meta"),
        ("timm", "resnet18.a1_in1k", "meta"),
        ("torchvision", "resnet18", "meta"),
        ("torchvision", "regnet_x_400mf", "cpu"),  # its constructor reads values
    ],
)
def test_a_network_is_built_without_memory_if_its_constructor_allows_that(library: str, name: str, device: str) -> None:
    model = library_module(library, name)
    assert {parameter.device.type for parameter in model.parameters()} == {device}


def test_choices_are_arguments_of_the_constructor() -> None:
    linear = list(library_module("timm", "resnet18", {"num_classes": 7}).modules())[-1]
    assert isinstance(linear, nn.Linear)
    assert linear.out_features == 7
    with pytest.raises(
        rx.ArchError, match=r"torchvision 0\.28\.0.* cannot build `resnet18`: TypeError: .*clases"
    ) as caught:
        library_module("torchvision", "resnet18", {"clases": 7}, file="torchvision:resnet18")
    assert caught.value.diagnostics[0].code == "E708"


@pytest.mark.parametrize(
    ("library", "name", "shape"),
    [
        ("timm", "resnet18", (3, 224, 224)),
        ("timm", "nasnetalarge", (3, 331, 331)),
        ("torchvision", "resnet18", (3, 224, 224)),
        ("torchvision", "inception_v3", (3, 299, 299)),
        ("torchvision", "efficientnet_b7", (3, 600, 600)),
    ],
)
def test_the_input_is_that_of_the_weights_of_the_library(library: str, name: str, shape: tuple[int, ...]) -> None:
    assert input_of(library, name, library_module(library, name)) == shape


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("timm:resnet18", True),
        ("torchvision:resnet18", True),
        ("nets.mine:build", True),
        ("model.onnx", True),
        ("folder/MODEL.PT2", True),
        ("resnet18", False),
        ("specs/resnet18.arch", False),
        ("mine:", False),
        (":build", False),
        ("a b:c", False),
        ("http://example.org/x", False),
    ],
)
def test_a_source_is_told_from_a_spec(spec: str, expected: bool) -> None:
    assert is_source(spec) is expected
