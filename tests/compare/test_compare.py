"""Two networks compared: what is aligned, what counts as a change, and that both directions mirror each other."""

from __future__ import annotations

from collections import Counter
from functools import cache
from itertools import combinations
from pathlib import Path

import pytest
from error_examples import net
from random_networks import drawn

import resnext_dsl as rx
from resnext_dsl.compare import Comparison, TextPair, compare
from resnext_dsl.compare import align as alignments
from resnext_dsl.compare.align import align
from resnext_dsl.compare.structure import Detail, Patterns, StructuralChange
from resnext_dsl.costs.closed_form import Cost

PAIRS = [
    ("resnet50", "resnext50_32x4d"),
    ("resnext50_32x4d", "resnext50_32x4d_a"),
    ("resnext50_32x4d_a", "resnext50_32x4d_b"),
    ("vgg16", "vgg16_bn"),
    ("resnet50", "resnet101"),
    ("resnet18", "seresnet50"),
    ("inception_v3", "inception_v4"),
    ("googlenet", "vgg11"),
    ("densenet121", "unet"),
]


@cache
def shipped(name: str) -> rx.Network:
    return rx.load(name)


def of(a: str, b: str, depth: int = 1) -> Comparison:
    return compare(shipped(a), shipped(b), depth)


def texts(a: str, b: str, before: str = "") -> Comparison:
    return compare(rx.loads(net(a, before)), rx.loads(net(b, before)))


def only(found: Comparison) -> StructuralChange:
    (change,) = found.changes
    return change


@pytest.mark.parametrize("name", ["resnet50", "resnext50_32x4d_a", "vgg16", "googlenet", "unet", "inception_v4"])
def test_a_network_does_not_differ_from_itself(name: str) -> None:
    found = compare(shipped(name), rx.load(name), depth=3)
    assert not found.differs
    assert found.same_architecture
    assert found.changes == found.parameters == found.inputs == found.outputs == found.init == ()
    assert all(pair.equal for pair in found.rows)
    assert all(pair.equal for pair in found.limits)


def mirrored(pair: TextPair) -> TextPair:
    return TextPair(pair.name, pair.b, pair.a)


def reversed_change(change: StructuralChange) -> StructuralChange:
    kind = {"added": "removed", "removed": "added"}.get(change.kind, change.kind)
    details = tuple(Detail(detail.attribute, detail.b, detail.a) for detail in change.details)
    return change._replace(kind=kind, a=change.b, b=change.a, details=details)  # type: ignore[arg-type]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_way_back_mirrors_the_way_there(a: str, b: str) -> None:
    there, back = of(a, b, 2), of(b, a, 2)
    assert there.differs
    assert back.differs
    for name in ("parameters", "inputs", "outputs", "init"):
        assert {mirrored(pair) for pair in getattr(there, name)} == set(getattr(back, name))
    assert Counter((pair.b, pair.a) for pair in there.rows) == Counter(tuple(pair) for pair in back.rows)
    # A part under two names stands under that of the first side.
    assert Counter(reversed_change(c)._replace(part="") for c in there.changes) == Counter(
        c._replace(part="") for c in back.changes
    )


def test_random_networks_mirror_each_other_too() -> None:
    networks = [drawn(seed) for seed in (7, 15, 16, 30, 31, 52, 72, 73)]  # some of these once did not
    for a, b in combinations(networks, 2):
        there, back = compare(a, b, 3), compare(b, a, 3)
        assert Counter((pair.b, pair.a) for pair in there.rows) == Counter(tuple(pair) for pair in back.rows)
        assert Counter(map(reversed_change, there.changes)) == Counter(back.changes)
        assert there.same_architecture or there.changes or there.inputs or there.outputs


def test_an_operator_is_not_a_scope_of_its_name() -> None:
    found = compare(
        rx.loads(net("stage p { relu; conv(8, 1x1) }")), rx.loads(net("stage p { relu; repeat 2 { conv(8, 1x1) } }")), 2
    )
    names = [tuple(row and row.name for row in pair) for pair in found.rows]
    assert names == [("p", "p"), ("p.relu", "p.relu"), ("p.conv", None), (None, "p.conv")]


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_every_operator_is_paired_once_or_on_one_side_only(a: str, b: str) -> None:
    found = of(a, b)
    laid = align(found.a.ir, found.b.ir)
    assert laid.back == {j: i for i, j in laid.pairs.items()}
    removed = sum(change.operators for change in found.changes if change.kind == "removed")
    added = sum(change.operators for change in found.changes if change.kind == "added")
    assert len(found.a.ir.nodes) - removed == len(found.b.ir.nodes) - added == len(laid.pairs)


@pytest.mark.parametrize(("a", "b"), PAIRS)
def test_the_rows_of_each_side_are_its_stages(a: str, b: str) -> None:
    found = of(a, b)
    for side, network in (("a", found.a), ("b", found.b)):
        rows = [getattr(pair, side) for pair in found.rows if getattr(pair, side) is not None]
        assert {row.name: row.cost for row in rows} == network.cost().by_stage()
        total = sum((row.cost for row in rows), Cost())
        whole = network.cost()
        assert (total.params, total.flops, total.activations) == (whole.params, whole.flops, whole.activations)


def test_two_settings_change_channels_and_groups_and_nothing_else() -> None:
    found = compare(shipped("resnext50_32x4d"), rx.load("resnext50_32x4d", cardinality=8, width=14))
    assert found.parameters == (TextPair("cardinality", "32", "8"), TextPair("width", "4", "14"))
    assert found.inputs == found.outputs == found.init == ()
    assert Counter(change.kind for change in found.changes) == {"changed": 8, "reshaped": 4}
    conv3 = [change for change in found.changes if change.part == "conv3"]
    assert [(c.a, c.details) for c in conv3 if c.kind == "changed"] == [
        (tuple(f"conv3.{k}.conv1" for k in range(4)), (Detail("channels", "256", "224"),)),
        (
            tuple(f"conv3.{k}.conv2" for k in range(4)),
            (Detail("channels", "256", "224"), Detail("groups", "32", "8")),
        ),
    ]
    assert [pair.row.name for pair in found.rows if pair.equal] == ["stem", "head"]


def test_a_setting_at_its_own_value_is_no_difference() -> None:
    assert not compare(shipped("resnext50_32x4d"), rx.load("resnext50_32x4d", cardinality=32)).differs


def test_forms_of_a_block_differ_as_written_at_equal_cost() -> None:
    for form in ("resnext50_32x4d_a", "resnext50_32x4d_b"):
        found = of("resnext50_32x4d", form)
        assert found.same_architecture
        assert not found.same_graph
        assert found.a.cost().params == found.b.cost().params
        assert found.a.cost().flops == found.b.cost().flops
        (paths,) = {c.holds for c in found.changes if c.kind == "added" and c.b[0].endswith(".paths")}
        assert paths.endswith("64 bn, 64 relu")


def test_what_is_put_between_does_not_shift_the_rest() -> None:
    found = of("vgg16", "vgg16_bn")
    assert {change.kind for change in found.changes} == {"added"}
    assert [change.b for change in found.changes][2] == tuple(f"conv3.repeat.{k}.bn" for k in range(3))
    found = texts("stem { conv(8, 3x3); conv(9, 3x3) }", "stem { conv(4, 1x1); conv(8, 3x3); conv(9, 3x3) }")
    # by name, both convolutions would have changed
    assert [(change.kind, change.a, change.b, change.holds) for change in found.changes] == [
        ("added", (), ("stem.conv1",), "conv 1x1 4"),
        ("renamed", ("stem.conv1",), ("stem.conv2",), ""),
        ("renamed", ("stem.conv2",), ("stem.conv3",), ""),
    ]


def test_more_passes_are_one_change() -> None:
    change = only(of("resnet50", "resnet101"))
    assert change.kind == "added"
    assert change.b == tuple(f"conv4.{k}" for k in range(6, 23))
    assert change.holds == "3 conv, 3 bn, 3 relu, 1 add"
    assert change.operators == 170


def test_an_operator_of_the_same_kind_takes_the_place_of_another() -> None:
    change = only(texts("stem { conv(8, 3x3); relu }", "stem { conv(8, 3x3); silu }"))
    assert change.kind == "changed"
    assert (change.a, change.b) == (("stem.relu",), ("stem.silu",))
    assert change.details == (Detail("operator", "relu", "silu"),)


def test_reading_another_value_is_a_change() -> None:
    body = "conv(8, 3x3) as x; relu as y; conv(8, 3x3); add({})"
    change = only(texts(body.format("x"), body.format("y")))
    assert change.a == ("add",)
    assert change.details == (Detail("inputs", "conv2, conv1", "conv2, relu"),)


def test_a_merge_whose_values_change_places_is_the_same() -> None:
    body = "conv(8, 3x3) as x; relu as y; use x; {}"
    for operator, same in (("add(y)", True), ("concat(y)", False)):
        found = texts(body.format(operator), f"conv(8, 3x3) as x; relu as y; {operator.replace('y', 'x')}")
        assert found.same_architecture is same
        assert bool(found.changes) is not same


def test_only_shapes_change_with_the_input() -> None:
    found = compare(shipped("resnet18"), rx.load("resnet18", resolution=192))
    assert found.inputs == (TextPair("image", "3x224x224", "3x192x192"),)
    assert {change.kind for change in found.changes} == {"reshaped"}
    assert [change.part for change in found.changes] == ["stem", "conv2", "conv3", "conv4", "conv5"]


SAME = """
    param w = 8
    # the stem
    stem {{ conv(w, 3x3); bn; relu }}
    stage {} repeat 2 {{ conv(16, 3x3); bn; relu }}
    head {{ avgpool(global); flatten; linear(10) }}
"""


def test_parts_under_another_name_are_found_by_what_they_hold() -> None:
    found = texts(SAME.format("conv2"), SAME.format("layer1"))
    assert found.same_architecture
    assert found.differs  # the keys of checkpoints do
    assert found.other_names == 6
    assert [tuple(row and row.name for row in pair) for pair in found.rows] == [
        ("stem", "stem"),
        ("conv2", "layer1"),
        ("head", "head"),
    ]
    assert all(pair.equal for pair in found.rows)
    change = only(found)
    assert (change.kind, change.a, change.b, change.operators) == ("renamed", ("conv2",), ("layer1",), 6)


def test_comments_and_constants_are_no_difference() -> None:
    plain = SAME.format("conv2")
    spelled = plain.replace("# the stem", "let two = 2").replace("repeat 2", "repeat two")
    assert not texts(plain, spelled).differs


def test_other_scopes_around_the_same_operators_change_names_only() -> None:
    before = "template cbr(c) { conv(c, 3x3); bn; relu }\n"
    found = texts("stem { conv(8, 3x3); bn; relu; relu }", "stem { cbr(8); relu }", before)
    assert found.same_architecture
    assert found.other_names > 0
    assert {change.kind for change in found.changes} <= {"renamed"}


def test_parts_of_one_side_keep_their_order_among_those_of_both() -> None:
    a = "stem { conv(8, 3x3) }; stage p { relu }; stage r { conv(4, 1x1) }"
    b = "stem { conv(8, 3x3) }; stage p { relu }; stage q { bn }; stage r { conv(4, 1x1) }; head { flatten }"
    found = texts(a, b)
    assert [pair.row.name for pair in found.rows] == ["stem", "p", "q", "r", "head"]
    assert [pair.a is None for pair in found.rows] == [False, False, True, False, True]


def test_outputs_by_name() -> None:
    body = "stem {{ conv(8, 3x3) }}\n output aux {} from stem {{ conv(1, 1x1) }}\n head {{ conv({}, 1x1) }}"
    found = texts(body.format("", 2), body.format("when training", 3))
    assert found.outputs == (
        TextPair("main", "2x32x32", "3x32x32"),
        TextPair("aux", "1x32x32", "1x32x32 in training only"),
    )


def test_rules_of_initialisation() -> None:
    body = "stem {{ conv(8, 3x3, bias=true) }}\n init {{ {} }}"
    found = texts(
        body.format("conv.weight = normal(0.01); conv.bias = zeros"), body.format("conv.weight = normal(0.02)")
    )
    assert found.same_architecture
    assert found.differs
    assert found.init == (
        TextPair("conv.weight", "normal(std=0.01)", "normal(std=0.02)"),
        TextPair("conv.bias", "zeros", None),
    )


def test_long_lists_are_told_apart_at_their_end() -> None:
    body = "param sizes = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, {}]\n stem {{ conv(sizes[0], 1x1) }}"
    found = texts(body.format(1), body.format(2))
    (pair,) = found.parameters
    assert pair == TextPair("sizes", f"[{'1, ' * 13}1]", f"[{'1, ' * 13}2]")


def test_limits_that_turn() -> None:
    found = compare(shipped("resnext50_32x4d"), rx.load("resnext50_32x4d", width=5))
    assert [(pair.a.limit.measure, pair.a.met, pair.b.met) for pair in found.limits if pair.a and pair.b] == [
        ("params", True, False),
        ("flops", True, False),
        ("depth", True, True),
    ]
    assert [pair.equal for pair in found.limits] == [False, False, True]


def test_a_limit_with_another_bound_is_another() -> None:
    body = "stem {{ conv(8, 3x3) }}\n budget {{ params <= {}; depth == 1 }}"
    found = texts(body.format(500), body.format(600))
    assert found.same_architecture
    assert found.differs
    assert [pair.equal for pair in found.limits] == [False, True]


def test_a_limit_of_one_side() -> None:
    found = texts("stem { relu }", "stem { relu }\n budget small { params == 0 }")
    (pair,) = found.limits
    assert pair.a is None
    assert found.differs


def test_one_part_alone() -> None:
    found = of("resnet50", "resnext50_32x4d", 2).of_part("conv3")
    assert [pair.row.name for pair in found.rows] == ["conv3", *(f"conv3.{k}" for k in range(4))]
    assert {change.part for change in found.changes} == {"conv3"}
    assert found.differs


@pytest.mark.parametrize(
    ("names", "text"),
    [
        (["conv3.0.conv2", "conv3.1.conv2", "conv3.2.conv2", "conv3.3.conv2"], "conv3.*.conv2"),
        (["conv3.1.conv2", "conv3.2.conv2"], "conv3.{1..2}.conv2"),
        (["conv3.0.conv2", "conv3.3.conv2"], "conv3.{0,3}.conv2"),
        (["conv3.2.conv2"], "conv3.2.conv2"),
        (["stem.conv"], "stem.conv"),
    ],
)
def test_many_names_are_written_as_one(names: list[str], text: str) -> None:
    assert Patterns(shipped("resnet50").ir).text(names) == text


def test_names_decide_where_a_scope_is_too_large_to_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignments, "MOST", 0)
    assert not compare(shipped("resnet18"), rx.load("resnet18")).differs
    found = of("vgg16", "vgg16_bn")
    assert {change.kind for change in found.changes} == {"added"}


def test_every_two_of_a_family_can_be_compared() -> None:
    names = ["resnet18", "resnext29_8x64d", "mobilenetv2_100", "regnetx_002", "shufflenet_v2_x1_0", "alexnet"]
    for a, b in combinations(names, 2):
        found = of(a, b)
        assert found.differs
        assert found.changes


def test_two_files_of_one_text_are_one_network(tmp_path: Path) -> None:
    text = net(SAME.format("conv2"))
    for name in ("one.arch", "two.arch"):
        (tmp_path / name).write_text(text.replace("network n", f"network {name[:3]}"))
    assert not compare(rx.load(tmp_path / "one.arch"), rx.load(tmp_path / "two.arch")).differs
