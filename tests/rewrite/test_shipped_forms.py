"""Every shipped network in every form: outputs, gradients and statistics in float64, cost, checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from forms_oracle import Reference, apart, compare, is_the_way_back, main
from reduced_networks import SMALLEST, reduced

import resnext_dsl as rx
from resnext_dsl.compiler.torch_module import build
from resnext_dsl.costs.closed_form import cost_of
from resnext_dsl.networks.network import Network
from resnext_dsl.rewrite import rewrite

SPECS = Path(__file__).parents[2] / "specs"
NAMES = sorted(path.stem for path in SPECS.glob("*.arch"))
CLOSE = 1e-10
GROUPED = (
    "alexnet_grouped",
    "cspresnext50",
    "dla60x",
    "dpn92",
    "mixnet_s",
    "nfnet_l0",
    "net1d",
    "regnetx_032",
    "regnety_032",
    "res2net50_26w_4s",
    "resnest50d",
    "resnext29_8x64d",
    "resnext50_32x4d",
    "resnext50_32x4d_a",
    "resnext50_32x4d_b",
    "resnext50_32x4d_fpn",
    "retinanet_resnext50_32x4d_fpn",
    "seresnext50_32x4d",
    "skresnext50_32x4d",
)
"""Networks whose grouped convolutions can be paths; the larger ones are slow."""

LARGE = (
    "regnetx_002",
    "resnext101_32_3d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "resnext29_16x64d",
)

ALIKE = {
    *("alexnet_grouped", "regnetx_032", "resnext50_32x4d_b", "resnext50_32x4d_fpn"),
    *("retinanet_resnext50_32x4d_fpn", "seresnext50_32x4d"),
}
"""Networks whose grouped convolutions stand in the blocks of another: the slow tests have them."""

JOINED = ("mixnet_s", "res2net50_26w_4s", "resnext50_32x4d_a", "resnext50_32x4d_b")
"""Networks that are written with paths that can be one."""

REPEATED = {
    "resnet34": "resnet18",
    "resnet101": "resnet50",
    "resnet152": "resnet50",
    "wide_resnet50_2": "resnet50",
    "resnext101_32x4d": "resnext50_32x4d",
    "resnext101_32x8d": "resnext50_32x4d",
    "resnext101_64x4d": "resnext50_32x4d",
    "resnext29_16x64d": "resnext29_8x64d",
    "alexnet": "alexnet_grouped",
    "vgg11": "vgg16_bn",
    "vgg16": "vgg16_bn",
    "vgg19_bn": "vgg16_bn",
    "mc3_18": "r3d_18",
    "inception_v3": "inception_resnet_v2",
    "inception_v4": "inception_resnet_v2",
    "resnext50_32x4d_b": "resnext50_32x4d_a",
}
"""Networks whose blocks another has too, in other numbers and widths or with norms: the slow tests have them."""

DIFFERENT = [name for name in NAMES if name not in REPEATED]


def small(name: str) -> Network:
    """A shipped network on about the smallest input that it takes."""
    network = rx.load(name)
    if "resolution" not in network.parameters:
        return network
    resolution = next((size for key, size in SMALLEST.items() if name.startswith(key)), 64)
    return rx.load(name, resolution=resolution)


@pytest.mark.parametrize("name", DIFFERENT)
def test_inference_of_a_reduced_network_computes_what_is_written(name: str) -> None:
    difference, _ = compare(Reference(reduced(name), batch=1), "fastest", "inference")
    assert difference.outputs <= CLOSE


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_inference_computes_what_is_written(name: str) -> None:
    difference, _ = compare(Reference(small(name)), "fastest", "inference")
    assert difference.outputs <= CLOSE


@pytest.mark.parametrize("name", NAMES)
def test_networks_without_such_paths_stay_the_same_object(name: str) -> None:
    network = rx.load(name)
    assert (network.rewrite().graph is network.ir) is (name not in JOINED)


def hold_joined_paths(network: Network) -> None:
    """The fastest form trains as what is written."""
    reference = Reference(network)
    difference, rewritten = compare(reference, "fastest", "train")
    assert max(difference) <= CLOSE
    assert rewritten.graph is not network.ir
    assert is_the_way_back(rewritten.weights, reference.state)


@pytest.mark.parametrize("name", JOINED)
def test_the_fastest_form_of_a_reduced_network_trains_as_what_is_written(name: str) -> None:
    hold_joined_paths(reduced(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", JOINED)
def test_the_fastest_form_trains_as_what_is_written(name: str) -> None:
    hold_joined_paths(small(name))


def hold_separated_paths(network: Network) -> None:
    """The forms whose grouped convolutions are paths train as what is written, and cost as much."""
    reference = Reference(network)
    for form in ("a", "b"):
        difference, rewritten = compare(reference, form, "train")
        assert max(difference) <= CLOSE, form
        assert any(scope.kind == "paths" for scope in rewritten.graph.scopes.values()), form
        assert is_the_way_back(rewritten.weights, reference.state), form
        before, after = cost_of(network.ir), cost_of(rewritten.graph)
        assert (after.params, after.macs) == (before.params, before.macs), form


@pytest.mark.parametrize("name", [name for name in GROUPED if name not in ALIKE])
def test_grouped_convolutions_of_a_reduced_network_are_paths(name: str) -> None:
    hold_separated_paths(reduced(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*GROUPED, *LARGE])
def test_grouped_convolutions_are_paths(name: str) -> None:
    hold_separated_paths(small(name))


@pytest.mark.parametrize("mode", ["train", "inference"])
def test_the_three_spellings_of_resnext_are_one_graph(mode: str) -> None:
    forms = [rx.load(f"resnext50_32x4d{end}") for end in ("", "_a", "_b")]
    assert len({network.fingerprint for network in forms}) == 1
    graphs = [network.rewrite(mode=mode).graph for network in forms]
    operators = [
        [(node.operator, node.attributes, node.inputs, node.shape) for node in graph.nodes] for graph in graphs
    ]
    assert operators[0] == operators[1] == operators[2]


def test_a_checkpoint_of_any_form_loads_into_any_other_exactly() -> None:
    network = rx.load("resnext50_32x4d", resolution=64, depths=[2, 1, 1, 1], cardinality=8)
    models = {form: network.compile(form=form, seed=3) for form in ("written", "a", "b", "c")}
    states = {form: model.state_dict() for form, model in models.items()}
    assert len({len(state) for state in states.values()}) == 3  # (c) is how it is written
    for source, state in states.items():
        for form, expected in states.items():
            loaded = network.compile(form=form, weights=state).state_dict()
            assert list(loaded) == list(expected)
            assert all(torch.equal(loaded[key], expected[key]) for key in expected), (source, form)


def test_one_seed_is_one_function_in_every_form() -> None:
    network = rx.load("resnext50_32x4d_a", resolution=64, depths=[2, 1, 1, 1], cardinality=8)
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    results = []
    for form in ("written", "a", "b", "c", "fastest"):
        model = network.compile(form=form, seed=5).double().train()
        with torch.no_grad():
            results.append(main(model(x)))
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-9, atol=1e-9)


def test_an_inference_model_is_frozen_and_holds_no_norms() -> None:
    model = small("resnext50_32x4d").compile(mode="inference")
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in model.modules())


def test_training_outputs_are_no_part_of_an_inference_model() -> None:
    network = small("googlenet")
    model = network.compile(mode="inference")
    cost = network.cost(training=False)
    assert sum(parameter.numel() for parameter in model.parameters()) < cost.params
    assert isinstance(model(torch.zeros(1, 3, 64, 64)), torch.Tensor)


@pytest.mark.parametrize("name", ["googlenet", "inception_resnet_v2"])
def test_siblings_that_go_different_ways_may_be_one(name: str) -> None:
    network = reduced(name)
    rewritten = rewrite(network.ir, siblings=True)
    assert {rule for fired in rewritten.report.fired for rule in fired.rules} == {"siblings"}
    assert rewritten.report.after.launches < rewritten.report.before.launches
    reference = Reference(network, batch=1)
    assert is_the_way_back(rewritten.weights, reference.state)
    together = build(network.ir, weights=reference.state, dtype=torch.float64, siblings=True)
    with torch.no_grad():
        assert apart(reference.output, main(together.eval()(reference.images))) <= CLOSE


def test_every_network_with_paths_is_tried() -> None:
    known = {*GROUPED, *LARGE}
    for name in NAMES:
        try:
            reduced(name).rewrite("b")
        except rx.ArchError:
            assert name not in known, name
        else:
            assert name in known, name
