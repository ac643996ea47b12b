"""The initial weights of a rewritten network have the spread that they have as written."""

from __future__ import annotations

import pytest
import torch

import resnext_dsl as rx
from resnext_dsl.compiler.torch_module import _network_class
from resnext_dsl.rewrite.carry import carry

BODY = """
    stage s {{ split 8 {{ conv(16, 1x1); bn; conv(16, 3x3{bias}); relu; conv(96, 1x1) }} merge add; bn }}
    stage t {{ conv(64, 1x1); conv(64, 3x3, groups=4{bias}); conv(64, 1x1) }}
    head {{ avgpool(global); flatten; linear(100) }}
"""
RULES = [
    "",
    "init { conv.weight = kaiming_normal(fan_out) }",
    "init { conv.weight = kaiming_uniform(fan_out, linear, per_group=true); conv.bias = zeros }",
    "init { conv.weight = xavier_normal; bn.weight = constant(0.5) }",
    "init { conv.weight = xavier_uniform; s.conv.weight = normal(0.2) }",
    "init { conv.weight = linear_uniform; conv.bias = normal(0.3) }",
]


@pytest.mark.parametrize("form", ["fastest", "a", "b"])
@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("bias", ["", ", bias=true"])
def test_emitted_source_starts_with_the_spread_of_the_spec(rules: str, form: str, bias: str) -> None:
    if bias == "" and "conv.bias" in rules:
        rules = rules.replace("; conv.bias = zeros", "").replace("; conv.bias = normal(0.3)", "")
    network = rx.loads(f"network n {{\n    input image: 32x4x4\n{BODY.format(bias=bias)}\n{rules}\n}}")
    torch.manual_seed(0)
    written = network.compile(form="written")
    expected = carry(network.rewrite(form).weights, written.state_dict())
    state = _network_class(network.emit(form=form))().state_dict()
    assert list(state) == list(expected)
    for key, tensor in state.items():
        if tensor.is_floating_point() and tensor.numel() >= 256:
            assert tensor.std().item() == pytest.approx(expected[key].std().item(), rel=0.2), key


def test_rules_stay_where_nothing_is_rewritten() -> None:
    network = rx.load("resnet18")
    assert network.emit() == network.emit(form="written")
