"""`init` rules: each scheme against torch's own initialiser from the same generator, or against its formula."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from emit_oracle import network
from torch import nn

import resnext_dsl as rx
from resnext_dsl.compiler.torch_module import build
from resnext_dsl.emit import FieldInit, emit

BODY = """
    stem { conv(32, 3x3, groups=4, bias=true); bn; relu }
    stage a { conv(64, 3x3); layernorm; prelu; conv_transpose(16, 2x2, stride=2, groups=2) }
    head { avgpool(global); flatten; linear(100) }
"""


def built(*rules: FieldInit) -> nn.Module:
    return build(network(BODY), rules, seed=3)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (FieldInit("conv", "weight", "kaiming_normal"), lambda w: nn.init.kaiming_normal_(w, nonlinearity="relu")),
        (
            FieldInit("conv", "weight", "kaiming_normal", (("fan", "fan_out"), ("gain", "linear"))),
            lambda w: nn.init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"),
        ),
        (
            FieldInit("conv", "weight", "kaiming_uniform", (("fan", "fan_out"),)),
            lambda w: nn.init.kaiming_uniform_(w, mode="fan_out", nonlinearity="relu"),
        ),
        (FieldInit("conv", "weight", "xavier_normal"), nn.init.xavier_normal_),
        (FieldInit("conv", "weight", "xavier_uniform"), nn.init.xavier_uniform_),
        (FieldInit("conv", "weight", "normal", (("std", 0.02),)), lambda w: nn.init.normal_(w, std=0.02)),
        (FieldInit("conv", "weight", "trunc_normal", (("std", 0.02),)), lambda w: nn.init.trunc_normal_(w, std=0.02)),
        (FieldInit("conv", "weight", "uniform", (("bound", 0.5),)), lambda w: nn.init.uniform_(w, -0.5, 0.5)),
        (FieldInit("conv", "weight", "zeros"), nn.init.zeros_),
        (FieldInit("conv", "weight", "ones"), nn.init.ones_),
        (FieldInit("conv", "weight", "constant", (("value", -2.0),)), lambda w: nn.init.constant_(w, -2.0)),
    ],
)
def test_a_scheme_is_torchs(rule: FieldInit, expected: object) -> None:
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
    model = built(FieldInit("conv", "weight", "kaiming_normal", (("fan", "fan_out"), ("per_group", True))))
    assert model.stem.conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 32 / 4)), rel=0.1)
    assert model.a.conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.1)
    rule = FieldInit("conv", "weight", "kaiming_uniform", (("fan", "fan_out"), ("gain", "linear"), ("per_group", True)))
    weight = built(rule).stem.conv.weight
    assert 0.95 < weight.abs().max().item() / math.sqrt(3 / (9 * 32 / 4)) <= 1.0


def test_linear_uniform_is_bounded_by_the_outputs() -> None:
    weight = built(FieldInit("linear", "weight", "linear_uniform")).head.linear.weight
    assert 0.95 < weight.abs().max().item() / (1 / math.sqrt(100)) <= 1.0


def test_rules_concern_their_operator_and_field_only() -> None:
    plain = built().state_dict()
    ruled = built(
        FieldInit("linear", "bias", "ones"), FieldInit("bn", "weight", "constant", (("value", 0.25),))
    ).state_dict()
    changed = {key for key in plain if not torch.equal(plain[key], ruled[key])}
    assert changed == {"head.linear.bias", "stem.bn.weight"}


def test_a_bias_that_some_lack_is_passed_over() -> None:
    model = built(FieldInit("conv", "bias", "ones"))
    assert (model.stem.conv.bias == 1).all()
    assert model.a.conv.bias is None


def test_the_last_of_two_rules_for_one_field_holds() -> None:
    model = built(FieldInit("conv", "weight", "ones"), FieldInit("conv", "weight", "zeros"))
    assert (model.a.conv.weight == 0).all()


def test_a_subclass_of_a_layer_follows_the_rules_of_its_own_fields() -> None:
    text = """network net {
        input image: 3x9x9
        conv(4, 3x3, bias=true)
        conv(4, 3x3, stride=2, padding=same_upper)
        conv(4, 3x3, standardize=scaled, bias=true) as scaled
        init { conv.weight = ones; conv.bias = constant(2.0); conv.gain = constant(3.0) }
    }"""
    state = rx.loads(text).compile(form="written").state_dict()
    assert [(key.rpartition(".")[2], float(tensor.min())) for key, tensor in state.items()] == [
        *(("weight", 1), ("bias", 2)),
        ("weight", 1),
        *(("weight", 1), ("bias", 2), ("gain", 3)),
    ]


def constant(value: float, path: str, operator: str = "conv", field: str = "weight") -> FieldInit:
    return FieldInit(operator, field, "constant", (("value", value),), path)


PARTS = """
    stem { conv(8, 3x3, bias=true) }
    stage a repeat 3 { split { path { conv(8, 3x3) } path { conv(8, 1x1) } } merge add }
    stage ab { conv(8, 3x3, bias=true); bn }
    head { avgpool(global); flatten; repeat 2 { linear(8); relu }; linear(4) }
"""


def started(*rules: FieldInit, field: str = "weight") -> dict[str, float]:
    """Module -> the value of its field, for modules whose field has equal elements."""
    weights = {name: getattr(m, field, None) for name, m in build(network(PARTS), rules, seed=0).named_modules()}
    return {name: w.min().item() for name, w in weights.items() if w is not None and w.min() == w.max()}


def test_a_rule_of_a_path_concerns_what_lies_under_it_only() -> None:
    assert started(constant(3, "a.1")) == {"a.1.paths.0.conv": 3, "a.1.paths.1.conv": 3, "ab.bn": 1}
    assert started(constant(3, "ab.conv")) == {"ab.conv": 3, "ab.bn": 1}
    assert "ab.conv" not in started(constant(3, "a"))
    assert set(started(constant(3, "head.repeat", "linear"))) == {
        "head.repeat.0.linear",
        "head.repeat.1.linear",
        "ab.bn",
    }


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_the_longest_path_holds_in_any_order(order: tuple[int, ...]) -> None:
    rules = [constant(1, ""), constant(2, "a"), constant(3, "a.1"), constant(4, "a.1.paths.1.conv")]
    assert started(*(rules[place] for place in order)) == {
        "stem.conv": 1,
        "a.0.paths.0.conv": 2,
        "a.0.paths.1.conv": 2,
        "a.1.paths.0.conv": 3,
        "a.1.paths.1.conv": 4,
        "a.2.paths.0.conv": 2,
        "a.2.paths.1.conv": 2,
        "ab.conv": 1,
        "ab.bn": 1,
    }


def test_the_last_of_two_rules_for_one_path_holds() -> None:
    rules = (constant(5, "ab"), constant(2, "stem"), constant(6, "ab"), constant(7, ""))
    assert started(*rules)["ab.conv"] == 6


def test_a_bias_that_some_of_a_class_lack() -> None:
    rules = (constant(1, "", field="bias"), constant(2, "stem", field="bias"))
    assert started(*rules, field="bias") == {"stem.conv": 2, "ab.conv": 1, "ab.bn": 0}
    assert started(constant(2, "ab", field="bias"), field="bias") == {"ab.conv": 2, "ab.bn": 0}


def test_a_new_classifier_follows_the_rules_of_its_place() -> None:
    rules = (constant(1, "", "linear"), constant(2, "head.linear", "linear"), constant(3, "head.repeat", "linear"))
    model = build(network(PARTS), rules)
    model.reset_classifier(7)
    assert model.head.linear.weight.shape == (7, 8)
    assert (model.head.linear.weight == 2).all()


def test_a_module_of_another_network_follows_the_general_rules() -> None:
    model, other = build(network(PARTS), (constant(1, ""), constant(2, "stem"))), nn.Conv2d(2, 2, 1)
    model.init_weights(other)
    assert (other.weight == 1).all()


def test_parts_that_start_alike_share_a_condition() -> None:
    rules = (constant(1, ""), constant(2, "stem"), constant(2, "ab"), constant(9, "no.such.part"))
    text = emit(network(PARTS), rules)
    condition = 'if place.startswith(("stem.", "ab.")):\n                    nn.init.constant_(module.weight, 2)'
    assert condition in text
    assert "no.such" not in text


def test_rules_without_a_path_need_no_names() -> None:
    assert "named_modules" not in emit(network(PARTS), (constant(1, ""),))


def test_no_rule_leaves_torchs_default_and_no_method() -> None:
    graph = network(BODY)
    assert "init_weights" not in emit(graph)
    torch.manual_seed(5)
    expected = nn.Conv2d(8, 32, 3, padding=1, groups=4)
    assert torch.equal(build(graph, seed=5).stem.conv.weight, expected.weight)


def test_classes_that_start_alike_share_a_branch() -> None:
    rules = (FieldInit("conv", "weight", "zeros"), FieldInit("linear", "weight", "zeros"))
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
        emit(network(BODY), (FieldInit(operator, field, scheme),))
