"""Scores of untrained networks, each against a computation that shares nothing with ours."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import resnext_dsl as rx
from resnext_dsl.semantics.spec_files import shipped_names
from resnext_dsl.train.scores import SCORES, Batch, gradient_norm, naswot, random_batch, synflow, zen_score


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_every_score_cites_its_paper() -> None:
    assert list(SCORES) == ["gradient_norm", "synflow", "naswot", "zen_score"]
    for score in SCORES.values():
        assert "https://arxiv.org/abs/" in score.paper


def linear_network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 7), nn.ReLU(), nn.Linear(7, 5), nn.ReLU(), nn.Linear(5, 3))


def test_the_synaptic_flow_of_a_linear_network_is_its_closed_form() -> None:
    model = linear_network()
    ((w1, b1), (w2, b2), (w3, b3)) = (
        (layer.weight.detach().double().abs().numpy(), layer.bias.detach().double().abs().numpy())
        for layer in (model[1], model[3], model[5])
    )
    h1 = w1 @ np.ones(12) + b1
    h2 = w2 @ h1 + b2
    # What each weight adds to the sum of the outputs: the whole value that passes through its layer, without biases.
    flow = (w3 @ h2).sum() + (w3 @ (w2 @ h1)).sum() + (w3 @ (w2 @ (w1 @ np.ones(12)))).sum()
    assert b3.shape == (3,)
    assert synflow(model, (drawn(2, 3, 2, 2), torch.zeros(2, dtype=torch.long))) == pytest.approx(math.log(flow))


def test_every_layer_of_a_chain_carries_the_same_flow() -> None:
    network = rx.loads(
        "network chain {\n input x: 3x8x8\n conv(4, 3x3); bn; relu; conv(6, 3x3, groups=2); bn; relu\n"
        "head { avgpool(global); flatten; linear(5, bias=false) }\n}"
    )
    model = network.compile(seed=0)
    positive = copy.deepcopy(model).double().eval()
    with torch.no_grad():
        for parameter in positive.parameters():
            parameter.abs_()
        for module in positive.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = 0.0  # which leaves the identity
        total = positive(torch.ones(1, 3, 8, 8, dtype=torch.float64)).sum().item()
    # Tanaka et al., Theorem 1: synaptic saliency is conserved from layer to layer.
    assert synflow(model, random_batch((3, 8, 8), 5, 2)) == pytest.approx(math.log(3 * total))


def numpy_codes(model: nn.Sequential, images: np.ndarray) -> list[np.ndarray]:
    codes, value = [], images.reshape(len(images), -1)
    for layer in (model[1], model[3]):
        value = value @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()
        codes.append(value > 0)
        value = np.maximum(value, 0)
    return codes


def test_naswot_is_its_definition() -> None:
    model, images = linear_network(), drawn(6, 3, 2, 2)
    codes = np.concatenate(numpy_codes(model, images.numpy()), axis=1)
    units = codes.shape[1]
    kernel = [
        [units - sum(bool(a) != bool(b) for a, b in zip(left, right, strict=True)) for right in codes] for left in codes
    ]
    _, expected = np.linalg.slogdet(np.array(kernel, dtype=float))
    assert naswot(model, (images, torch.zeros(6, dtype=torch.long))) == pytest.approx(expected)


def test_images_of_one_code_have_no_determinant() -> None:
    images = drawn(1, 3, 2, 2).repeat(3, 1, 1, 1)
    assert naswot(linear_network(), (images, torch.zeros(3, dtype=torch.long))) == -math.inf


def test_the_gradient_norm_is_that_of_functional_gradients() -> None:
    network = rx.loads(
        "network n {\n input x: 3x8x8\n conv(4, 3x3); bn; relu; conv(4, 3x3, groups=2, bias=true); relu\n"
        "head { avgpool(global); flatten; dropout(0.5); linear(5) }\n}"
    )
    model = network.compile(seed=0)
    images, labels = random_batch((3, 8, 8), 5, 8)
    plain = copy.deepcopy(model).eval()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.train()
            module.track_running_stats = False
            module.running_mean = module.running_var = None
    parameters = {name: value.detach() for name, value in plain.named_parameters()}

    def loss(values: dict[str, Tensor]) -> Tensor:
        return F.cross_entropy(torch.func.functional_call(plain, values, (images,)), labels)

    gradients = torch.func.grad(loss)(parameters)
    expected = sum(
        float(torch.linalg.vector_norm(gradient)) for name, gradient in gradients.items() if parameters[name].dim() > 1
    )
    assert len([name for name in gradients if parameters[name].dim() > 1]) == 3
    assert gradient_norm(model, (images, labels)) == pytest.approx(expected, rel=1e-5)


def convolutions(*layers: str) -> nn.Module:
    return rx.loads(
        f"network n {{\n input x: 16x12x12\n {'; '.join(layers)}\n head {{ flatten; linear(2) }}\n}}"
    ).compile()


def test_the_zen_score_of_one_layer_is_what_normal_noise_gives() -> None:
    score = zen_score(convolutions("conv(64, 1x1)"), random_batch((16, 12, 12), 2, 64))
    # Each of 64 x 144 differences is 0.01 times a sum of 16 products of normal weights and normal noise, whose
    # absolute value is sqrt(2 / pi) * sqrt(16) on average.
    expected = 64 * 144 * 0.01 * 4 * math.sqrt(2 / math.pi)
    assert score == pytest.approx(math.log(expected), abs=0.1)


def test_the_zen_score_takes_back_what_normalisation_divides_by() -> None:
    batch = random_batch((16, 12, 12), 2, 32)
    layers = ["conv(32, 3x3)", "conv(32, 3x3)", "conv(32, 1x1)"]
    bare = zen_score(convolutions(*layers), batch)
    normalised = zen_score(convolutions(*(f"{layer}; bn" for layer in layers)), batch)
    assert normalised == pytest.approx(bare, abs=0.15)


def test_the_zen_score_of_a_network_beyond_float32_is_finite() -> None:
    deep = convolutions(*["conv(64, 3x3)"] * 30)
    assert 88 < zen_score(deep, random_batch((16, 12, 12), 2, 2)) < math.inf  # exp(88) is the last float32


def compared(model: nn.Module, batch: Batch) -> None:
    """Every score is finite, the same when asked again, and leaves the model alone."""
    model.train()
    before = copy.deepcopy(model.state_dict())
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    generator = torch.get_rng_state()
    for name, score in SCORES.items():
        value = score.compute(model, batch)
        assert math.isfinite(value), name
        assert score.compute(model, batch) == value, name
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert all(module.training for module in model.modules())
    assert all(bool((parameter.grad == 1).all()) for parameter in model.parameters() if parameter.grad is not None)
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), generator)


SMALLEST = {"inception_v3": 299, "inception_v4": 96, "inception_resnet_v2": 96, "alexnet": 64, "alexnet_grouped": 96}
"""Sides of images that networks need, 32 where not named."""


def shipped(name: str) -> None:
    network = rx.load(name, resolution=SMALLEST.get(name, 32))
    images, labels = random_batch(network.ir.nodes[0].shape, 2, 2)
    outputs = network.ir.nodes[network.ir.outputs[0].node].shape
    compared(network.compile(seed=0), (images, labels.view(-1, *(1 for _ in outputs[1:])).expand(-1, *outputs[1:])))


@pytest.mark.parametrize("name", ["mobilenetv3_large_100", "regnetx_002", "shufflenet_v2_x1_0", "googlenet"])
def test_scores_of_shipped_networks(name: str) -> None:
    shipped(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(shipped_names()))
def test_scores_of_all_shipped_networks(name: str) -> None:
    shipped(name)
