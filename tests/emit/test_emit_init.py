"""`init` rules: each scheme against torch's own initialiser from the same generator, or against its formula."""

from __future__ import annotations

import math

import pytest
import torch
from emit_oracle import network
from torch import nn

from resnext_dsl.compile import build
from resnext_dsl.emit import InitRule, emit

BODY = """
    stem { conv(32, 3x3, groups=4, bias=true); bn; relu }
    stage a { conv(64, 3x3); layernorm; prelu; conv_transpose(16, 2x2, stride=2, groups=2) }
    head { avgpool(global); flatten; linear(100) }
"""


def built(*rules: InitRule) -> nn.Module:
    return build(network(BODY), rules, seed=3)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (InitRule("conv", "weight", "kaiming_normal"), lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (
            InitRule("conv", "weight", "kaiming_normal", (("fan", "fan_out"), ("gain", "linear"))),
            lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"),
        ),
        (
            InitRule("conv", "weight", "kaiming_uniform", (("fan", "fan_out"),)),
            lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
        ),
        (InitRule("conv", "weight", "xavier_normal"), nn.init.xavier_normal_),
        (InitRule("conv", "weight", "xavier_uniform"), nn.init.xavier_uniform_),
        (InitRule("conv", "weight", "normal", (("std", 0.02),)), lambda w: nn.init.normal_(w, std=0.02)),
        (InitRule("conv", "weight", "trunc_normal", (("std", 0.02),)), lambda w: nn.init.trunc_normal_(w, std=0.02)),
        (InitRule("conv", "weight", "uniform", (("bound", 0.5),)), lambda w: nn.init.uniform_(w, -0.5, 0.5)),
        (InitRule("conv", "weight", "zeros"), nn.init.zeros_),
        (InitRule("conv", "weight", "ones"), nn.init.ones_),
        (InitRule("conv", "weight", "constant", (("value", -2.0),)), lambda w: nn.init.constant_(w, -2.0)),
    ],
)
def test_a_scheme_is_torchs(rule: InitRule, expected: object) -> None:
    model = built(rule)
    for weight in (model.stem.conv.weight, model.a.conv.weight):
        torch.manual_seed(7)
        wanted = expected(torch.empty_like(weight))  # type: ignore[operator]
        torch.manual_seed(7)
        layer = next(m for m in model.modules() if getattr(m, "weight", None) is weight)
        model.init_weights(layer)
        assert torch.equal(weight, wanted)


def test_fan_out_by_group_is_that_of_one_group() -> None:
    """timm's rule for EfficientNet and RegNet: kernel area x outputs / groups."""
    model = built(InitRule("conv", "weight", "kaiming_normal", (("fan", "fan_out"), ("per_group", True))))
    assert model.stem.conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 32 / 4)), rel=0.1)
    assert model.a.conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.1)
    rule = InitRule("conv", "weight", "kaiming_uniform", (("fan", "fan_out"), ("gain", "linear"), ("per_group", True)))
    weight = built(rule).stem.conv.weight
    assert 0.95 < weight.abs().max().item() / math.sqrt(3 / (9 * 32 / 4)) <= 1.0


def test_linear_uniform_is_bounded_by_the_outputs() -> None:
    weight = built(InitRule("linear", "weight", "linear_uniform")).head.linear.weight
    assert 0.95 < weight.abs().max().item() / (1 / math.sqrt(100)) <= 1.0


def test_rules_concern_their_operator_and_field_only() -> None:
    plain = built().state_dict()
    ruled = built(
        InitRule("linear", "bias", "ones"), InitRule("bn", "weight", "constant", (("value", 0.25),))
    ).state_dict()
    changed = {key for key in plain if not torch.equal(plain[key], ruled[key])}
    assert changed == {"head.linear.bias", "stem.bn.weight"}


def test_a_bias_that_some_lack_is_passed_over() -> None:
    model = built(InitRule("conv", "bias", "ones"))
    assert (model.stem.conv.bias == 1).all()
    assert model.a.conv.bias is None


def test_the_last_of_two_rules_for_one_field_holds() -> None:
    model = built(InitRule("conv", "weight", "ones"), InitRule("conv", "weight", "zeros"))
    assert (model.a.conv.weight == 0).all()


def test_no_rule_leaves_torchs_default_and_no_method() -> None:
    graph = network(BODY)
    assert "init_weights" not in emit(graph)
    torch.manual_seed(5)
    expected = nn.Conv2d(8, 32, 3, padding=1, groups=4)
    assert torch.equal(build(graph, seed=5).stem.conv.weight, expected.weight)


def test_classes_that_start_alike_share_a_branch() -> None:
    rules = (InitRule("conv", "weight", "zeros"), InitRule("linear", "weight", "zeros"))
    assert "if isinstance(module, (nn.Conv2d, nn.Linear)):\n                nn.init.zeros_(module.weight)" in emit(
        network(BODY), rules
    )


@pytest.mark.parametrize(
    ("operator", "field", "scheme"),
    [
        ("relu", "weight", "zeros"),
        ("prelu", "bias", "zeros"),
        ("bn", "weight", "kaiming_normal"),
        ("conv", "bias", "xavier_normal"),
    ],
)
def test_a_rule_that_no_module_can_follow_is_refused(operator: str, field: str, scheme: str) -> None:
    with pytest.raises(ValueError, match=f"`{operator}.{field}` cannot start as `{scheme}`"):
        emit(network(BODY), (InitRule(operator, field, scheme),))
