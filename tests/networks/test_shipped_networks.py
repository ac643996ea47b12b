"""The shipped networks against torchvision, timm, the papers and the authors' definitions."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
import references
import torch
import torchvision
from references import NAMES, fill, image, paper_costs, published_costs, reference, reference_costs
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.models.resnet import Bottleneck, ResNet, conv1x1
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

import resnext_dsl as rx
from resnext_dsl.weights import load_weights

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore scripts a loss of its own when it is imported
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

SPECS = Path(__file__).parents[2] / "specs"
SHIPPED = sorted(path.stem for path in SPECS.glob("*.arch"))
PUBLISHED = published_costs()
STATED = [row for row in paper_costs() if row.kind != "preserve"]
TOLERANCE = 1e-5

TRAINING_ONLY = {
    "googlenet": {"aux1": "aux_logits1", "aux2": "aux_logits2"},
    "inception_v3": {"aux": "aux_logits"},
}
"""Outputs that exist in training mode only: ours, and what torchvision calls them."""

OF_ONE_SIZE = {"ecaresnet50d", "nasnetalarge", *references.MULTIPLES_OF_32}
"""Networks that take the declared image and not half of it: their shortcuts pool maps of even size, or branches meet."""

DEEPER_OR_WIDER = {
    *("resnet34", "resnet101", "resnet152", "wide_resnet50_2", "seresnext50_32x4d", "vgg16", "vgg16_bn", "vgg19_bn"),
    *("resnext101_32x4d", "resnext101_32x8d", "resnext101_64x4d", "regnetx_032", "inception_v4"),
    "nasnetalarge",
    *("mc3_18", "r2plus1d_18"),
}
"""Networks that are large, or whose blocks another has too, in other numbers and widths: the slow tests run them."""

WITHOUT_CLASSES = {"resnext50_32x4d_fpn", "retinanet_resnext50_32x4d_fpn"}
"""Networks that end in a list of feature maps."""

LONG = DEEPER_OR_WIDER | {"inception_resnet_v2"}
"""Those, and the network that takes longest."""

COUNTED = {"googlenet", "mobilenetv3_large_100", "skresnext50_32x4d"}
"""Networks with each kind of difference between the counts. `tests/costs` counts the modules of every network of ours,
and `test_costs_are_those_of_the_reference` compares the closed form with the stored counts of the reference."""

FVCORE_NAMES = {
    "conv": "conv",
    "channel_conv": "conv",
    "linear": "linear",
    "bn": "batch_norm",
    "layernorm": "layer_norm",
    "groupnorm": "group_norm",
    "blur_pool": "conv",
    "avgpool": "adaptive_avg_pool2d",
    "adaptive_avgpool": "adaptive_avg_pool2d",
    "upsample": "upsample_nearest2d",
    "resize": "upsample_nearest2d",
}
"""Our operators as fvcore calls them, of those that the shipped networks use and fvcore counts."""


GATES = ("squeeze_excite", "channel_attention", "selective_kernel", "split_attention")
"""Templates with a global pooling that timm spells `x.mean((2, 3))`."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One network of ours with the reference's weights carried over, and the reference."""

    name: str
    network: rx.Network
    ours: nn.Module
    theirs: nn.Module


@dataclass(frozen=True, slots=True)
class Counted:
    """FLOPs by fvcore's operators, of a network of ours and of the reference."""

    name: str
    network: rx.Network
    ours: Counter[str]
    theirs: Counter[str]


def listed(quick: set[str]) -> list[object]:
    """Every network with a reference; those that are not quick are slow tests."""
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in NAMES]


@pytest.fixture(scope="module", params=listed({*NAMES} - LONG))
def pair(request: pytest.FixtureRequest) -> Pair:
    theirs = reference(request.param)
    network = rx.load(request.param)
    return Pair(request.param, network, network.compile(weights=theirs.state_dict()).eval(), theirs)


@pytest.fixture(scope="module", params=listed(COUNTED))
def counted(request: pytest.FixtureRequest) -> Counted:
    network, x = rx.load(request.param), image(request.param)
    theirs = reference(request.param)
    return Counted(request.param, network, fvcore_flops(network.compile().eval(), x), fvcore_flops(theirs, x))


def fvcore_flops(model: nn.Module, x: Tensor) -> Counter[str]:
    """FLOPs by fvcore's operators."""
    counted = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return Counter({operator: int(flops) for operator, flops in counted.by_operator().items()})


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).abs().max() / theirs.abs().max())


def multiply_adds(counted: Counter[str]) -> int:
    return counted["conv"] + counted["linear"] + counted["addmm"] + counted["matmul"]


def closed_form(network: rx.Network) -> Counter[str]:
    """Our own FLOPs under fvcore's names, zeros left out."""
    counted: Counter[str] = Counter()
    for operator, cost in network.cost().by_operator().items():
        if cost.flops:
            standardization = cost.flops - cost.macs if operator == "conv" else 0
            counted[FVCORE_NAMES[operator]] += cost.flops - standardization
            counted["batch_norm"] += standardization
    return +counted


class TestAgainstTheReference:
    def test_parameters_are_equal_to_the_digit(self, pair: Pair) -> None:
        expected = reference_costs()[pair.name].params
        assert sum(p.numel() for p in pair.theirs.parameters()) == expected
        assert sum(p.numel() for p in pair.ours.parameters()) == expected
        assert pair.network.cost().params == expected

    def test_outputs_are_equal_with_the_weights_carried_over(self, pair: Pair) -> None:
        x = image(pair.name)
        if pair.name not in OF_ONE_SIZE | COUNTED:
            x = x[..., ::2, ::2]
        with torch.no_grad():
            assert relative_error(pair.ours(x), pair.theirs(x)) < TOLERANCE

    def test_auxiliary_outputs_are_equal_in_training(self, pair: Pair) -> None:
        names = TRAINING_ONLY.get(pair.name, {})
        assert [output.name for output in pair.network.ir.outputs if output.training_only] == list(names)
        if names or pair.name in COUNTED:
            x = image(pair.name)
            ours, theirs = outputs_in_training(pair.ours, x), outputs_in_training(pair.theirs, x)
            assert isinstance(ours, Tensor) == isinstance(theirs, Tensor) == (not names)
            for our_name, their_name in names.items():
                assert relative_error(getattr(ours, our_name), getattr(theirs, their_name)) < TOLERANCE


class TestCountsOfTheReference:
    def test_multiply_adds_are_equal_to_the_digit(self, counted: Counted) -> None:
        expected = reference_costs()[counted.name].multiply_adds
        assert multiply_adds(counted.theirs) == expected
        assert multiply_adds(counted.ours) == expected
        assert counted.network.cost().macs == expected

    def test_closed_form_flops_are_those_of_fvcore_for_each_operator(self, counted: Counted) -> None:
        assert closed_form(counted.network) == +counted.ours
        assert counted.network.cost().flops == counted.ours.total()

    def test_total_differs_by_poolings_of_gates_and_heads_alone(self, counted: Counted) -> None:
        expected = reference_costs()[counted.name]
        pool = "adaptive_avg_pool2d"
        assert counted.theirs.total() == expected.flops
        assert counted.theirs[pool] == expected.pool
        for norm in ("batch_norm", "layer_norm", "group_norm"):
            assert counted.ours[norm] == counted.theirs[norm]
        spelled_as_mean = poolings_that_the_reference_takes_with_mean(counted.network)
        assert counted.ours[pool] - spelled_as_mean == expected.pool
        assert counted.network.cost().flops - spelled_as_mean == expected.flops


@pytest.mark.parametrize("name", NAMES)
def test_costs_are_those_of_the_reference(name: str) -> None:
    network, expected = rx.load(name), reference_costs()[name]
    cost = network.cost()
    flops = cost.flops - poolings_that_the_reference_takes_with_mean(network)
    assert (cost.params, cost.macs, flops) == (expected.params, expected.multiply_adds, expected.flops)
    assert cost.activations == expected.activations


def poolings_that_the_reference_takes_with_mean(network: rx.Network) -> int:
    """FLOPs of our global poolings that timm and ShuffleNet spell `x.mean((2, 3))`, which fvcore does not count.

    They are those of the gates over channels, and the one of the heads of ShuffleNet and TResNet.
    """
    nodes = network.graph.nodes(data=True)
    shapes = {name: data["shape"] for name, data in nodes}
    total = 0
    for name, data in nodes:
        if data["operator"] == "avgpool" and data["shape"][1:] == (1, 1):
            (source,) = network.graph.predecessors(name)
            if any(gate in name for gate in GATES) or network.name.startswith(("shufflenet", "tresnet")):
                channels, height, width = shapes[source]
                total += channels * height * width
    return total


def outputs_in_training(model: nn.Module, x: Tensor) -> object:
    """What a model gives in training mode, with everything random off and running statistics in use."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout | nn.BatchNorm2d | nn.BatchNorm3d):
            module.eval()
    with torch.no_grad():
        outputs = model(x)
    model.eval()
    return outputs


class TestAuxiliaryHeads:
    @pytest.mark.parametrize("name", TRAINING_ONLY)
    def test_cost_with_and_without_them(self, name: str) -> None:
        stages = rx.load(name).cost().by_stage()
        without = references.structure(name, aux_logits=False)
        kept = [cost.params for part, cost in stages.items() if part not in TRAINING_ONLY[name]]
        assert sum(kept) == sum(p.numel() for p in without.parameters())
        assert all(stages[part].params > 0 and stages[part].flops == 0 for part in TRAINING_ONLY[name])


class TestPublishedFigures:
    @pytest.mark.parametrize("row", PUBLISHED, ids=[f"{row.model}-{row.resolution}" for row in PUBLISHED])
    def test_rounded_as_published(self, row: references.PublishedCost) -> None:
        network = rx.load(row.model, resolution=row.resolution)
        cost = network.cost()
        stages = cost.by_stage()
        training_only = sum(stages[name].params for name in TRAINING_ONLY.get(row.model, ()))
        flops = cost.flops - poolings_that_the_reference_takes_with_mean(network)
        assert round((cost.params - training_only) / 1e6, 2) == row.params_m
        assert round(flops / 1e9, 2) == row.gmacs
        assert round(cost.activations / 1e6, 2) == row.activations_m


class TestTheResNeXtPaper:
    def test_blocks_of_table_2_keep_the_parameters_of_the_block(self) -> None:
        rows = [row for row in paper_costs() if row.kind == "preserve"]
        assert len(rows) == 5
        for row in rows:
            network = rx.load("resnext50_32x4d", cardinality=row.cardinality, width=row.width)
            assert row.note == f"grouped conv width {network.graph.nodes['conv2.1.conv2']['shape'][0]}"
            c, d = row.cardinality, row.width
            weights = c * (256 * d + 3 * 3 * d * d + d * 256)  # Equation 4
            affine = 2 * (c * d + c * d + 256)
            assert block_parameters(network, "conv2.1.") == weights + affine
            assert abs(weights - 70_000) < 1_500  # "about 70k" in Section 3.3

    @pytest.mark.parametrize("row", STATED, ids=lambda row: row.network)
    def test_figures_as_stated(self, row: references.PaperCost) -> None:
        cost = rx.load(row.network).cost()
        if row.params_m is not None:  # stated to 0.1M, cut or rounded
            assert abs(cost.params / 1e6 - row.params_m) < (1 if row.params_m == 44 else 0.1)
        if (
            row.gflops is not None
        ):  # convolutions and linear layers alone, stated for ResNeXt as for the ResNet it matches
            assert cost.macs / 1e9 == pytest.approx(row.gflops, rel=0.025)

    def test_three_forms_give_equal_outputs_from_one_checkpoint(self) -> None:
        theirs = references.filled(lambda: ResNet(Bottleneck, [2, 1, 1, 1], groups=8, width_per_group=4), seed=8).eval()
        x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(8))
        with torch.no_grad():
            expected = theirs(x)
            for name in ("resnext50_32x4d", "resnext50_32x4d_a", "resnext50_32x4d_b"):
                cost = rx.load(name).cost()
                assert cost.params == reference_costs()["resnext50_32x4d"].params
                assert cost.macs == reference_costs()["resnext50_32x4d"].multiply_adds
                network = rx.load(name, depths=[2, 1, 1, 1], cardinality=8, resolution=64)
                ours = network.compile(weights=theirs.state_dict()).eval()
                assert relative_error(ours(x), expected) < TOLERANCE

    @pytest.mark.parametrize(
        ("name", "cardinality"), [("resnext29_8x64d", 8), pytest.param("resnext29_16x64d", 16, marks=pytest.mark.slow)]
    )
    def test_cifar_networks(self, name: str, cardinality: int) -> None:
        theirs = references.filled(lambda: CifarResNeXt(cardinality), seed=cardinality).eval()
        network = rx.load(name)
        assert network.cost().params == sum(p.numel() for p in theirs.parameters())
        x = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        ours = network.compile(weights=theirs.state_dict()).eval()
        assert closed_form(network) == fvcore_flops(ours, x) == fvcore_flops(theirs, x)
        with torch.no_grad():
            assert relative_error(ours(x), theirs(x)) < TOLERANCE


def block_parameters(network: rx.Network, prefix: str) -> int:
    """Parameters of the modules whose names start so."""
    return sum(cost.params for node, cost in network.cost().nodes if node.name.startswith(prefix))


class CifarResNeXt(nn.Module):
    """ResNeXt-29 for CIFAR after the authors' models/resnext.lua, of torchvision's bottlenecks."""

    def __init__(self, cardinality: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU())
        blocks, inputs = [], 64
        for planes, stride in ((64, 1), (128, 2), (256, 2)):
            for step in range(3):
                outputs, step_stride = 4 * planes, stride if step == 0 else 1
                downsample = None
                if step == 0:
                    downsample = nn.Sequential(conv1x1(inputs, outputs, step_stride), nn.BatchNorm2d(outputs))
                blocks.append(Bottleneck(inputs, planes, step_stride, downsample, cardinality, 64))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(1024, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(functional.adaptive_avg_pool2d(self.blocks(self.stem(x)), 1).flatten(1))


class PyramidLevels(BackboneWithFPN):
    """torchvision's feature pyramid, which gives its maps as a tuple."""

    def __init__(self) -> None:
        levels = {"layer2": "p3", "layer3": "p4", "layer4": "p5"}
        extra = LastLevelP6P7(2048, 256)
        super().__init__(torchvision.models.resnext50_32x4d(), levels, [512, 1024, 2048], 256, extra)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(super().forward(x).values())


@pytest.fixture(scope="module")
def pyramid() -> PyramidLevels:
    model = PyramidLevels()
    fill(model, seed=3)
    return model.eval()


class TestFeaturePyramid:
    """P3 to P7 over ResNeXt-50 against torchvision's classes: `BackboneWithFPN` and `LastLevelP6P7`."""

    def test_costs_are_equal_to_the_digit(self, pyramid: PyramidLevels) -> None:
        network, x = rx.load("resnext50_32x4d_fpn", resolution=128), torch.randn(1, 3, 128, 128)
        cost = network.cost()
        counted = fvcore_flops(pyramid, x)
        assert cost.params == sum(p.numel() for p in pyramid.parameters())
        assert closed_form(network) == counted == fvcore_flops(network.compile().eval(), x)
        assert (cost.flops, cost.macs) == (counted.total(), multiply_adds(counted))
        activations = ActivationCountAnalysis(pyramid, x).unsupported_ops_warnings(False)
        assert cost.activations == activations.uncalled_modules_warnings(False).total()

    @pytest.mark.parametrize("resolution", [128, 200])
    def test_maps_are_equal_with_the_weights_carried_over(self, pyramid: PyramidLevels, resolution: int) -> None:
        network = rx.load("resnext50_32x4d_fpn", resolution=resolution)
        ours = network.compile(weights=pyramid.state_dict()).eval()
        x = torch.randn(2, 3, resolution, resolution, generator=torch.Generator().manual_seed(resolution))
        with torch.no_grad():
            maps, expected = ours(x), pyramid(x)
        assert [name for name, *_ in network.ir.outputs] == [f"main.{k}" for k in range(5)]
        assert len(maps) == len(expected) == 5
        assert max(map(relative_error, maps, expected)) < TOLERANCE


class RetinaNet(nn.Module):
    """torchvision's feature pyramid with the heads of its RetinaNet."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = PyramidLevels()
        self.head = RetinaNetHead(256, 9, 91)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        found = self.head([*self.backbone(x)])
        return found["cls_logits"], found["bbox_regression"]


def by_anchor(maps: tuple[Tensor, ...], numbers: int) -> Tensor:
    """The numbers of each anchor of each place of all levels, in the order of torchvision."""
    parts = [level.unflatten(1, (-1, numbers)).permute(0, 3, 4, 1, 2).flatten(1, 3) for level in maps]
    return torch.cat(parts, 1)


class TestRetinaNet:
    def test_costs_and_results_are_those_of_torchvision(self) -> None:
        network, theirs = rx.load("retinanet_resnext50_32x4d_fpn", resolution=128), RetinaNet()
        fill(theirs, seed=5)
        x = torch.randn(1, 3, 128, 128, generator=torch.Generator().manual_seed(5))
        ours = network.compile(weights=theirs.state_dict()).eval()
        cost, counted = network.cost(), fvcore_flops(theirs.eval(), x)
        assert cost.params == sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in ours.parameters())
        assert closed_form(network) == counted == fvcore_flops(ours, x)
        activations = ActivationCountAnalysis(theirs, x).unsupported_ops_warnings(False)
        assert cost.activations == activations.uncalled_modules_warnings(False).total()
        with torch.no_grad():
            found, (scores, boxes) = ours(x), theirs(x)
        assert found._fields == tuple(f"{name}_{k}" for name in ("main", "boxes") for k in range(5))
        assert relative_error(by_anchor(found[:5], 91), scores) < TOLERANCE
        assert relative_error(by_anchor(found[5:], 4), boxes) < TOLERANCE


class TestShortcutTypes:
    """Options A, B and C as `shortcut` in the authors' models/resnet.lua defines them."""

    @pytest.mark.parametrize(("letter", "kind"), [("A", "pad"), ("B", "auto"), ("C", "projection")])
    def test_outputs_are_those_of_the_definition(self, letter: str, kind: str) -> None:
        theirs = LuaResNet(letter, channels=8)
        fill(theirs, seed=ord(letter))
        theirs.eval()
        network = rx.load("resnet18", shortcut=kind, channels=8, resolution=64, classes=10)
        assert network.cost().params == sum(p.numel() for p in theirs.parameters())
        ours = network.compile(weights=theirs.state_dict()).eval()
        x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            assert relative_error(ours(x), theirs(x)) < TOLERANCE

    def test_counts_of_projections(self) -> None:
        for kind, expected in (("pad", 49), ("auto", 53), ("projection", 65)):
            nodes = rx.load("resnet50", shortcut=kind).ir.nodes
            assert sum(node.operator == "conv" for node in nodes) == expected


class LuaShortcut(nn.Module):
    """`nn.SpatialAveragePooling(1, 1, stride, stride)`, then the value beside as many zero channels."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        x = functional.avg_pool2d(x, 1, self.stride)
        return torch.cat([x, x * 0], 1)


class LuaBlock(nn.Module):
    """`basicblock` with its shortcut of type A, B or C."""

    def __init__(self, letter: str, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.shortcut: nn.Module = nn.Identity()
        if letter == "C" or (letter == "B" and inputs != outputs):
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        elif inputs != outputs:
            self.shortcut = LuaShortcut(stride)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.body(x) + self.shortcut(x))


class LuaResNet(nn.Module):
    """ResNet-18 of these blocks."""

    def __init__(self, letter: str, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels), nn.ReLU(), nn.MaxPool2d(3, 2, 1)
        )
        blocks, inputs = [], channels
        for outputs, stride in ((channels, 1), (channels * 2, 2), (channels * 4, 2), (channels * 8, 2)):
            blocks += [LuaBlock(letter, inputs, outputs, stride), LuaBlock(letter, outputs, outputs, 1)]
            inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class TestAlexNetInTwoGroups:
    def test_layers_are_those_of_the_paper(self) -> None:
        network = rx.load("alexnet_grouped")
        assert network.cost().params == 60_965_224
        theirs = published_alexnet().eval()
        fill(theirs, seed=2012)
        ours = network.compile(weights=theirs.state_dict()).eval()
        x = torch.randn(1, 3, 227, 227, generator=torch.Generator().manual_seed(2))
        assert closed_form(network) == fvcore_flops(ours, x) == fvcore_flops(theirs, x)
        with torch.no_grad():
            assert relative_error(ours(x), theirs(x)) < TOLERANCE

    def test_response_normalisation_is_that_of_section_3_3(self) -> None:
        nodes = rx.load("alexnet_grouped").ir.nodes
        first = next(node.attributes for node in nodes if node.operator == "lrn")
        layer = nn.LocalResponseNorm(first.size, first.alpha, first.beta, first.k)
        a = torch.rand(1, 9, 1, 1, generator=torch.Generator().manual_seed(3)) * 100
        for i in range(9):
            neighbours = a[0, max(0, i - 2) : min(8, i + 2) + 1]  # n = 5
            expected = a[0, i] / (2 + 1e-4 * (neighbours**2).sum()) ** 0.75
            assert torch.allclose(layer(a)[0, i], expected)


def published_alexnet() -> nn.Module:
    """Krizhevsky, Sutskever and Hinton (2012), Section 3.5, the two halves as two groups."""
    pool = nn.MaxPool2d(3, 2)
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0)
    return nn.Sequential(
        *(nn.Conv2d(3, 96, 11, 4), nn.ReLU(), norm, pool),
        *(nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), norm, pool),
        *(nn.Conv2d(256, 384, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU()),
        *(nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), pool),
        nn.Flatten(),
        *(nn.Linear(9216, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU(), nn.Linear(4096, 1000)),
    )


class TestPathsThatFeedOneAnother:
    def test_res2net_gives_the_outputs_of_timm(self) -> None:
        theirs = references.timm_structure("res2net50_26w_4s").to_empty(device="cpu")
        fill(theirs, seed=4)
        network = rx.load("res2net50_26w_4s", resolution=96)
        # timm holds the three convolutions of a block apart from their normalisations
        units = {re.sub(r"(convs|bns)\.(\d)", r"unit\2.\1", key): value for key, value in theirs.state_dict().items()}
        ours = network.compile(weights=units).eval()
        x = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(4))
        counted = fvcore_flops(ours, x)
        assert closed_form(network) == counted == fvcore_flops(theirs, x)
        with torch.no_grad():
            assert relative_error(ours(x), theirs(x)) < TOLERANCE


class TestRegNet:
    def test_depths_and_widths_follow_from_the_line(self) -> None:
        network = rx.load("regnety_032")
        assert network.parameters["depths"].value == (2, 5, 13, 1)
        assert network.parameters["channels"].value == (72, 216, 576, 1512)

    def test_depths_and_widths_can_be_given(self) -> None:
        network = rx.load("regnetx_032", depths=[1, 1, 2, 1], channels=[48, 96, 192, 384])
        assert list(network.cost().by_stage()) == ["stem", "conv2", "conv3", "conv4", "conv5", "head"]
        assert network.graph.nodes["conv5.0.relu3"]["shape"] == (384, 7, 7)


class TestUNet:
    def test_map_of_classes_has_the_resolution_of_the_image(self) -> None:
        network = rx.load("unet", channels=8, resolution=64, classes=3)
        x = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(5))
        ours = network.compile().eval()
        assert ours(x).shape == (1, 3, 64, 64)
        assert closed_form(network) == fvcore_flops(ours, x)

    def test_resolution_must_halve_four_times(self) -> None:
        with pytest.raises(rx.RequirementError, match="four poolings halve the map"):
            rx.load("unet", resolution=100)


class UNetOnResNet(nn.Module):
    """torchvision's ResNet-34 with the decoder of a U-Net, whose maps take the sizes of those of the encoder."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.encoder = torchvision.models.resnet34()
        del self.encoder.fc
        widths = [(512 + 256, 256), (256 + 128, 128), (128 + 64, 64), (64 + 64, 32), (32, 16)]
        self.decoder = nn.ModuleList(
            nn.Sequential(*(self._layer(inputs if first else outputs, outputs) for first in (True, False)))
            for inputs, outputs in widths
        )
        self.head = nn.Conv2d(16, classes, 3, padding=1)

    def _layer(self, inputs: int, outputs: int) -> nn.Sequential:
        return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        encoder, maps = self.encoder, [x]
        maps.append(encoder.relu(encoder.bn1(encoder.conv1(x))))
        y = encoder.maxpool(maps[-1])
        for layer in (encoder.layer1, encoder.layer2, encoder.layer3, encoder.layer4):
            y = layer(y)
            maps.append(y)
        maps.pop()
        for block in self.decoder:
            skip = maps.pop()
            y = functional.interpolate(y, skip.shape[-2:])
            y = block(torch.cat([y, skip], 1) if maps else y)
        return self.head(y)


@pytest.fixture(scope="module")
def unet_on_resnet() -> UNetOnResNet:
    model = UNetOnResNet(3)
    fill(model, seed=9)
    return model.eval()


class TestUNetOnResNet:
    def test_costs_are_equal_to_the_digit(self, unet_on_resnet: UNetOnResNet) -> None:
        network, x = rx.load("unet_resnet34", classes=3, resolution=96), torch.randn(1, 3, 96, 96)
        counted = fvcore_flops(unet_on_resnet, x)
        assert network.cost().params == sum(p.numel() for p in unet_on_resnet.parameters())
        assert closed_form(network) == counted == fvcore_flops(network.compile().eval(), x)
        activations = ActivationCountAnalysis(unet_on_resnet, x).unsupported_ops_warnings(False)
        assert network.cost().activations == activations.uncalled_modules_warnings(False).total()

    def test_maps_are_equal_at_any_size_with_the_weights_carried_over(self, unet_on_resnet: UNetOnResNet) -> None:
        ours = rx.load("unet_resnet34", classes=3).compile(weights=unet_on_resnet.state_dict()).eval()
        for height, width in ((96, 96), (97, 130), (33, 64)):
            x = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(height))
            with torch.no_grad():
                assert ours(x).shape == (1, 3, height, width)
                assert relative_error(ours(x), unet_on_resnet(x)) < TOLERANCE


@pytest.mark.parametrize("name", SHIPPED)
class TestEveryShippedSpec:
    def test_is_loaded_by_name_and_by_path_and_keeps_its_budgets(self, name: str) -> None:
        network = rx.load(name)
        assert network.name == name
        assert network.fingerprint == rx.load(str(SPECS / f"{name}.arch")).fingerprint
        network.check()

    def test_cites_its_source(self, name: str) -> None:
        doc = rx.load(name).doc
        assert " et al., " in doc or " and " in doc or "Krizhevsky" in doc
        assert "https://arxiv.org/abs/" in doc or name == "alexnet_grouped"


@pytest.mark.parametrize(
    "name", sorted({*SHIPPED} - DEEPER_OR_WIDER - WITHOUT_CLASSES - {"resnext50_32x4d_a", "resnext50_32x4d_b"})
)
def test_number_of_classes_is_a_parameter(name: str) -> None:
    network = rx.load(name, classes=7)
    outputs = {output.name: network.ir.nodes[output.node].shape[0] for output in network.ir.outputs}
    assert outputs == dict.fromkeys(["main", *TRAINING_ONLY.get(name, {})], 7)


@pytest.mark.parametrize("name", ["googlenet", "unet", "net1d", "unet3d", "nasnetalarge"])
def test_a_module_gives_as_many_classes_as_the_spec_says(name: str) -> None:
    network = rx.load(name, classes=7)
    model = references.without_norms(network.compile(device="meta"))
    assert model.eval()(torch.empty(1, *network.ir.nodes[0].shape, device="meta")).shape[1] == 7


LIKE_THE_REFERENCE = (
    *("convnext_tiny", "densenet121", "efficientnet_b0", "googlenet", "resnet18"),
    pytest.param("inception_v3", marks=pytest.mark.slow),  # `googlenet` starts by the same distribution
)
"""Networks that the reference library starts by the recipe that their specs follow."""

ELSEWHERE = {("inception_v3", "aux.unit2.conv.weight"): (0.01, 0.1)}
"""Standard deviations, ours and the reference's: torchvision sets 0.01 on the block around the convolution, where its
loop over the convolutions does not read it."""


def spread(weights: Tensor) -> tuple[float, float]:
    """Standard deviation and mean, without the stray -2 that timm's sampler of truncated normals draws now and then."""
    weights = weights[weights != -2]
    return weights.std().item(), weights.mean().item()


class TestHowWeightsStart:
    @pytest.mark.parametrize("name", LIKE_THE_REFERENCE)
    def test_every_layer_spreads_as_in_the_reference(self, name: str) -> None:
        model = rx.load(name).compile(seed=0)
        ours = {key: spread(value) for key, value in model.state_dict().items() if value.numel() > 1}
        load_weights(model, references.initialised(name, seed=0).state_dict())
        for key, value in model.state_dict().items():
            if key not in ours or (name, key) in ELSEWHERE:
                continue
            (std, mean), (expected, center) = ours[key], spread(value)
            # Of n normal draws the standard deviation is off by 1 / sqrt(2 n), the mean by 1 / sqrt(n) of it.
            error = 6 * expected / value.numel() ** 0.5
            assert std == pytest.approx(expected, abs=error, rel=1e-6), key
            assert mean == pytest.approx(center, abs=1.5 * error, rel=1e-6), key

    def test_the_convolution_that_torchvision_misses(self) -> None:
        ours = rx.load("inception_v3").compile(seed=0).state_dict()
        theirs = references.initialised("inception_v3", seed=0).state_dict()
        found = ours["aux.unit2.conv.weight"].std().item(), theirs["AuxLogits.conv1.conv.weight"].std().item()
        assert found == pytest.approx(ELSEWHERE["inception_v3", "aux.unit2.conv.weight"], rel=0.01)
        assert ours["aux.linear.weight"].std().item() == pytest.approx(0.001, rel=0.01)
        assert theirs["AuxLogits.fc.weight"].std().item() == pytest.approx(0.001, rel=0.01)

    def test_alexnet_has_the_biases_of_its_paper(self) -> None:
        """Krizhevsky et al., NeurIPS 2012, Section 5."""
        state = rx.load("alexnet_grouped").compile(seed=0).state_dict()
        biases = {key.removesuffix(".bias"): value for key, value in state.items() if key.endswith(".bias")}
        ones = {"conv2.conv", "conv4.conv", "conv5.conv", "head.repeat.0.linear", "head.repeat.1.linear"}
        assert {name for name, bias in biases.items() if (bias == 1).all()} == ones
        assert {name for name, bias in biases.items() if (bias == 0).all()} == biases.keys() - ones
        assert all(
            value.std().item() == pytest.approx(0.01, rel=0.02) for key, value in state.items() if "weight" in key
        )
