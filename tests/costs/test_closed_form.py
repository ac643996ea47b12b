"""How a network's cost is split: by stage, operator, line, module and template call."""

from __future__ import annotations

import pytest

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import CallCost, Cost, TemplateCall, cost_of
from resnext_dsl.semantics.spec_files import shipped_names

SPEC = """\
network net {
    input image: 4x8x8
    template unit(c) { conv(c, 1x1); relu }
    template pair(c) { repeat 2 { unit(c) }; maxpool(2x2) }
    stage a repeat 3 { unit(4) }
    stage b { pair(4); unit(8) }
    avgpool(2x2)
    head { avgpool(global); flatten; linear(2, bias=false) }
}
"""


def test_template_calls_are_counted_where_they_stand() -> None:
    assert rx.loads(SPEC).cost().by_template() == {
        TemplateCall("unit", "<spec>", 5): CallCost(3, Cost(3 * 16, 3 * 16 * 64, 3 * 16 * 64, 3 * 4 * 64)),
        TemplateCall("pair", "<spec>", 6): CallCost(1, Cost(2 * 16, 2 * 16 * 64, 2 * 16 * 64, 2 * 4 * 64)),
        TemplateCall("unit", "<spec>", 4): CallCost(2, Cost(2 * 16, 2 * 16 * 64, 2 * 16 * 64, 2 * 4 * 64)),
        TemplateCall("unit", "<spec>", 6): CallCost(1, Cost(32, 32 * 16, 32 * 16, 8 * 16)),
    }


def test_template_calls_come_in_the_order_of_the_network() -> None:
    places = list(rx.loads(SPEC).cost().by_template())
    assert [(place.template, place.line) for place in places] == [("unit", 5), ("pair", 6), ("unit", 4), ("unit", 6)]


def test_what_fvcore_does_not_count_is_listed() -> None:
    cost = rx.loads(SPEC).cost()
    assert cost.uncounted == (("avgpool", 1), ("flatten", 1), ("maxpool", 1), ("relu", 6))
    assert "avgpool" in cost.uncounted_nodes
    assert "head.avgpool" not in cost.uncounted_nodes


@pytest.mark.parametrize("name", shipped_names())
def test_every_split_adds_up_to_the_whole(name: str) -> None:
    cost = rx.load(name).cost()
    total = Cost(cost.params, cost.flops, cost.macs, cost.activations)
    for part in (cost.by_stage(), cost.by_operator(), cost.by_line()):
        assert sum(part.values(), Cost()) == total
    modules = cost.by_module()
    assert modules[""] == total
    shared = {"boxes": "offsets", "paths": "scores"} if name.startswith("retinanet") else {}  # uses of instances only
    assert {name: modules[shared.get(name, name)] for name in cost.by_stage()} == cost.by_stage()


def test_the_calls_of_a_network_of_the_paper() -> None:
    """Xie et al., CVPR 2017, Table 1: 3, 4, 6 and 3 blocks."""
    calls = {place.line: part.calls for place, part in rx.load("resnext50_32x4d").cost().by_template().items()}
    assert list(calls.values()) == [3, 4, 6, 3]


@pytest.mark.parametrize(
    ("name", "depth"),
    [("vgg11", 11), ("resnet18", 18), ("resnext50_32x4d", 50), ("densenet121", 121), ("googlenet", 22)],
)
def test_the_depth_is_the_number_in_the_name_or_the_paper(name: str, depth: int) -> None:
    """GoogLeNet has 22 layers with parameters (Szegedy et al., CVPR 2015, section 5)."""
    assert rx.load(name).cost().depth == depth


def test_an_output_of_training_counts_in_the_parameters_and_in_training_in_every_figure() -> None:
    text = """network n {
    input image: 3x8x8
    stage a { conv(4, 3x3) }
    conv(2, 1x1)
    output aux when training from a { avgpool(global); flatten; linear(5); linear(3) }
}
"""
    training = rx.loads(text)
    always = rx.loads(text.replace(" when training", "")).cost()
    without = rx.loads("\n".join(line for line in text.splitlines() if "aux" not in line)).cost()
    assert cost_of(training.ir, training=True).figures == always.figures
    assert training.cost().figures == (always.params, *without.figures[1:])
    assert always.params - without.params == 4 * 5 + 5 + 5 * 3 + 3
    assert (training.cost().depth, always.depth, without.depth) == (2, 3, 2)
