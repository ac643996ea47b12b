"""Closed forms against fvcore: parameters, FLOPs and activations, in total, of every module and of every operator."""

from __future__ import annotations

import pytest
import torch
from random_networks import drawn
from reduced_networks import reduced

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import Cost
from resnext_dsl.costs.fvcore_count import FvcoreCount, agree, measure, module_pairs, operator_pairs
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.spec_files import shipped_names

SIZES = {
    "inception_v3": (299, 310, 331),
    "inception_v4": (75, 139, 299),
    "inception_resnet_v2": (75, 139, 299),
    "alexnet_grouped": (75, 150, 227),
    "resnext29_8x64d": (20, 32, 48),
    "resnext29_16x64d": (20, 32, 48),
    "unet": (32, 96, 256),
    "hrnet_w18": (64, 96, 224),
    "cspresnext50": (64, 147, 256),
    "dla34": (32, 96, 224),
    "dla60x": (32, 96, 224),
    "nasnetalarge": (64, 147, 331),
    "tf_efficientnetv2_s": (64, 147, 300),
    "unet3d": (8, 16, 32),
    "net1d": (500, 1237, 3000),
    **dict.fromkeys(("r3d_18", "mc3_18", "r2plus1d_18", "resnext101_32_3d"), (32, 57, 112)),
}
"""Three resolutions, the spec's own among them, for those that are not made for 224; two odd ones for the others."""

LARGE = {"resnext50_32x4d_a", "resnext50_32x4d_b"}
"""Thousands of modules: fvcore takes 15 seconds for each."""

CASES = [(name, size) for name in shipped_names() for size in SIZES.get(name, (64, 147, 224))]
DEEPER = {"resnet34", "resnet101", "resnet152", "resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d"}
WIDER = {"resnext101_32_3d", "wide_resnet50_2", "resnext29_16x64d", "seresnext50_32x4d", "vgg11", "vgg16", "vgg19_bn"}
"""Networks whose layers another has too, in other numbers and widths."""

LONG = LARGE | DEEPER | WIDER | {"inception_resnet_v2", "hrnet_w18", "nasnetalarge"}
QUICK = [name for name in shipped_names() if name not in LONG]
ORDINARY = [(name, size) for name in ("resnet18", "mobilenetv2_100") for size in (147, 224)]


def check(network: rx.Network) -> None:
    """Hold every figure of a network against fvcore's."""
    measured = measure(network.compile(form="written", device="meta"), network.ir.nodes[0].shape)
    agree(network.cost(), measured)
    pairs = module_pairs(network.cost(), measured)
    assert len(pairs) == len(measured.modules)
    assert all(pair.equal for pair in pairs)
    assert all(ours == theirs for _, ours, theirs in operator_pairs(network.cost(), measured))
    assert measured.cost.flops == sum(measured.flops_by_operator.values())


@pytest.mark.parametrize("name", QUICK)
def test_a_reduced_network_costs_what_fvcore_counts(name: str) -> None:
    check(reduced(name))


@pytest.mark.parametrize(("name", "size"), ORDINARY)
def test_a_shipped_network_costs_what_fvcore_counts(name: str, size: int) -> None:
    check(rx.load(name, resolution=size))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "size"), [case for case in CASES if case not in ORDINARY])
def test_every_shipped_network_costs_what_fvcore_counts(name: str, size: int) -> None:
    check(rx.load(name, resolution=size))


@pytest.mark.parametrize("name", sorted(LARGE))
def test_networks_of_many_paths_cost_what_fvcore_counts(name: str) -> None:
    check(rx.load(name, resolution=64, depths=[1, 1, 2, 1], cardinality=8, width=16))


@pytest.mark.filterwarnings("ignore:TF32 acceleration on top of oneDNN")  # torch tells whoever sets any flag
@pytest.mark.parametrize(
    "first", [0, 10, 20, *(pytest.param(first, marks=pytest.mark.slow) for first in range(30, 300, 10))]
)
def test_random_networks_cost_what_fvcore_counts(first: int) -> None:
    with torch.backends.mkldnn.flags(enabled=False):  # it prepares a kernel for every new shape
        for seed in range(first, first + 10):
            check(drawn(seed, largest=80))


def test_an_expression_counts_in_the_module_that_computes_it() -> None:
    text = "network net { input image: 3x8x8; split { path { conv(4, 3x3) }; path { conv(4, 1x1); resize(size=8) } } merge add }"
    network = rx.loads(text)
    check(network)
    measured = measure(network.compile(form="written"), (3, 8, 8))
    assert network.cost().by_operator()["resize"].flops == 4 * 8 * 8
    assert measured.modules["paths.1"].flops == 3 * 4 * 8 * 8 + 4 * 8 * 8


def test_every_resolution_asked_for_is_among_the_cases() -> None:
    own = {name: rx.load(name).parameters["resolution"].value for name in shipped_names()}
    assert all((name, size) in CASES for name, size in own.items())
    assert len(CASES) == 3 * len(own)


def test_every_counted_operator_has_fvcores_name() -> None:
    assert all(bool(row.fvcore) is (row.flops is not None) for row in OPERATORS.values())


def test_a_module_that_differs_is_named() -> None:
    network = rx.load("resnet18", resolution=32)
    measured = measure(network.compile(form="written", device="meta"), network.ir.nodes[0].shape)
    measured.modules["conv3.0.bn1"] += Cost(flops=1)
    with pytest.raises(
        ArchError, match=r"E801.*two counts of `conv3\.0\.bn1` differ: flops 4,096 in closed form, 4,097 by"
    ):
        agree(network.cost(), measured)


def test_an_operator_that_differs_is_named() -> None:
    network = rx.load("resnet18", resolution=32)
    measured = measure(network.compile(form="written", device="meta"), network.ir.nodes[0].shape)
    moved = {**measured.flops_by_operator, "linear": 0}
    with pytest.raises(ArchError, match=r"two counts of linear differ: flops 512,000 in closed form, 0 by fvcore"):
        agree(network.cost(), FvcoreCount(measured.cost, moved, measured.modules))


def test_measuring_leaves_the_mode_as_it_is() -> None:
    network = rx.load("resnet18", resolution=32)
    model = network.compile(form="written")
    measure(model, network.ir.nodes[0].shape)
    assert model.training
