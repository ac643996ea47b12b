"""The methods that users of a backbone expect of the network's class, with the meaning that timm gives their names."""

from __future__ import annotations

import pytest
import torch
from emit_oracle import INCEPTION, MOBILE, RESNEXT, UNET, compiled, image, network
from torch import nn

from resnext_dsl.compiler.torch_module import build
from resnext_dsl.emit import FieldInit
from resnext_dsl.networks.loading import loads


def test_forward_is_the_head_on_the_features() -> None:
    graph = network(MOBILE)
    model = compiled(graph).eval()
    x = image(graph)
    features = model.forward_features(x)
    assert features.shape == (2, 32, 3, 3)
    assert torch.equal(model(x), model.forward_head(features))


def test_features_by_stage_are_those_that_feature_info_lists() -> None:
    graph = network(RESNEXT)
    model = compiled(graph).eval()
    x = image(graph)
    stages = model.forward_stages(x)
    assert [row["module"] for row in model.feature_info] == ["stem", "conv2", "conv3", "conv4"]
    assert [row["channels"] for row in model.feature_info] == [stage.shape[1] for stage in stages]
    assert [row["reduction"] for row in model.feature_info] == [12 // stage.shape[2] for stage in stages]
    kept = {}
    for row in model.feature_info:
        module = model.get_submodule(row["module"])
        module.register_forward_hook(lambda _, __, value, name=row["module"]: kept.__setitem__(name, value))
    model(x)
    assert all(torch.equal(kept[row["module"]], stage) for row, stage in zip(model.feature_info, stages, strict=True))


def test_reduction_is_the_stride_also_where_windows_leave_a_remainder() -> None:
    graph = network(
        "stem { conv(8, 3x3, stride=2, padding=valid) } stage a { maxpool(3x3, stride=2, padding=valid) }", "3x299x299"
    )
    assert graph.nodes[-1].shape == (8, 74, 74)
    assert [row["reduction"] for row in build(graph).feature_info] == [2, 4]


@pytest.mark.parametrize(
    ("body", "reductions"),
    [
        ("stage a repeat 3 { conv(8, 7x7, stride=2, padding=valid) }", [8]),
        ("stem { conv(8, 3x3, stride=2); maxpool(3x3, stride=2) }; stage a { conv(8, 3x3, stride=2) }", [4, 8]),
        ("stage a { conv(8, 5x5, padding=0) }; stage b { maxpool(2x2, padding=0) }", [1, 2]),
        ("stage a { avgpool(3x3) }; stage b { conv_transpose(4, 2x2, stride=2) }", [3, 2]),
        ("stage a { conv(8, 3x3, stride=4) }; stage b { upsample(2) }; stage c { upsample(4) }", [4, 2, 1]),
        ("stage a { conv(8, 3x3, stride=1x2) }; stage b { conv(8, 3x3, stride=2x1) }", [1, 2]),
        (
            "stage a { residual { conv(8, 3x3, stride=2) } }; stage b { split 2 { conv(4, 3x3, stride=2) } merge concat }",
            [2, 4],
        ),
        ("stage a { conv(8, 96x96, padding=valid) }; stage b { conv(8, 1x1, stride=2) }", [1, 2]),
        ("stage a { adaptive_avgpool(12x12) }; stage b { adaptive_avgpool(5x5) }", [8, 16]),
        ("stage a { conv(16, 3x3, stride=4); pixel_shuffle(2) }", [2]),
    ],
)
def test_reduction_is_the_product_of_the_strides(body: str, reductions: list[int]) -> None:
    model = loads(
        f"network n {{ input image: 3x96x96\n{body}\nhead {{ avgpool(global); flatten; linear(4) }} }}"
    ).compile(device="meta")
    assert [row["reduction"] for row in model.feature_info] == reductions  # type: ignore[union-attr]


def test_a_stage_without_a_map_has_no_reduction() -> None:
    graph = network("stage a { conv(8, 3x3) } stage b { flatten; linear(4) }")
    assert [row["reduction"] for row in build(graph).feature_info] == [1, None]


def test_reset_classifier_gives_another_number_of_classes() -> None:
    graph = network(RESNEXT)
    model = compiled(graph).double()
    assert model.num_features == 64
    model.reset_classifier(5)
    x = image(graph).double()
    assert model(x).shape == (2, 5)
    assert model.head.linear.weight.dtype == torch.float64
    model.reset_classifier(0)
    assert model(x).shape == (2, 64)
    assert isinstance(model.head.linear, nn.Identity)
    model.reset_classifier(7)
    assert model(x).shape == (2, 7)


def test_reset_classifier_follows_the_rules_of_the_network() -> None:
    rules = (FieldInit("linear", "weight", "constant", (("value", 0.5),)), FieldInit("linear", "bias", "ones"))
    model = build(network(INCEPTION), rules)
    before = model.stem.conv.weight.clone()
    model.reset_classifier(3)
    for layer in (model.head.linear, model.aux.linear):
        assert layer.out_features == 3
        assert (layer.weight == 0.5).all()
        assert (layer.bias == 1.0).all()
    assert torch.equal(model.stem.conv.weight, before)


def test_a_convolution_can_be_the_classifier() -> None:
    model = build(network(UNET))
    assert model.num_features == 4
    model.reset_classifier(6)
    assert model(torch.zeros(1, 8, 12, 12)).shape == (1, 6, 12, 12)


def test_a_classifier_inside_a_template_and_a_repeat_is_found() -> None:
    body = """
        template mlp(c) { linear(c); relu }
        template top(c) { flatten; repeat 2 { mlp(16) }; linear(c) }
        stage a { conv(4, 3x3) }
        head { top(9) }"""
    model = build(network(body))
    model.reset_classifier(3)
    assert model(torch.zeros(1, 8, 12, 12)).shape == (1, 3)
    body = "stage a { conv(4, 3x3) } head { avgpool(global); flatten; repeat 2 { linear(6); relu } }"
    model = build(network(body))
    model.reset_classifier(0)
    assert model(torch.zeros(1, 8, 12, 12)).shape == (1, 6)


def test_training_outputs_come_with_the_main_one_in_training_only() -> None:
    graph = network(INCEPTION)
    model = compiled(graph)
    x = image(graph)
    results = model(x)
    assert type(results).__name__ == "NetOutput"
    assert results._fields == ("main", "aux")
    assert results.aux.shape == (2, 10)
    calls = []
    model.aux.register_forward_hook(lambda *_: calls.append(1))
    assert isinstance(model.eval()(x), torch.Tensor)
    assert not calls


def test_permanent_outputs_are_always_a_tuple_and_training_ones_none_otherwise() -> None:
    body = """
        stage a { conv(8, 3x3) } output aux when training from a { conv(1, 1x1) } output mask from a { conv(2, 1x1) }
        head { avgpool(global); flatten; linear(3) }"""
    graph = network(body)
    model = compiled(graph)
    x = image(graph)
    assert model(x)._fields == ("main", "mask", "aux")
    assert model(x).aux.shape == (2, 1, 12, 12)
    results = model.eval()(x)
    assert results.aux is None
    assert [tuple(value.shape) for value in results[:2]] == [(2, 3), (2, 2, 12, 12)]


@pytest.mark.parametrize("body", [RESNEXT, UNET, MOBILE], ids=["resnext", "unet", "mobile"])
def test_gradient_checkpointing_gives_equal_gradients(body: str) -> None:
    graph = network(body)
    grads, kept = [], []
    for enable in (False, True):
        model = compiled(graph)
        model.set_grad_checkpointing(enable)
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        saved = 0

        def count(value: torch.Tensor) -> torch.Tensor:
            nonlocal saved
            saved += value.numel()
            return value

        with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
            result = model(image(graph))
        kept.append(saved)
        result.square().sum().backward()
        grads.append([parameter.grad for parameter in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*grads, strict=True))
    assert kept[1] < kept[0] / 2


def test_checkpointing_is_off_in_eval_mode() -> None:
    graph = network(RESNEXT)
    model = compiled(graph)
    x = image(graph)
    plain = model.eval()(x)
    model.set_grad_checkpointing()
    calls = []
    model.conv2.register_forward_hook(lambda *_: calls.append(1))
    result = model(x)
    result.sum().backward()
    assert len(calls) == 1
    assert torch.equal(result, plain)
    model.set_grad_checkpointing(False)
    assert not model.grad_checkpointing
