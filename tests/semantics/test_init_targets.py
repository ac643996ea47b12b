"""Which nodes the rules of an `init` block mean, and the errors for rules that mean none."""

from __future__ import annotations

from pathlib import Path

import pytest
from error_examples import net

import resnext_dsl as rx

BODY = """
    stem { conv(8, 3x3); bn; conv(8, 1x1, bias=true); relu }
    stage a repeat 2 { split { path { conv(8, 3x3); prelu } path { conv(8, 1x1) } } merge add }
    output aux from a { avgpool(global); flatten; linear(4) }
    head { avgpool(global); flatten; repeat 2 { linear(6); relu }; linear(4) }
"""


def settled(rules: str, body: str = BODY) -> list[tuple[str, str, str]]:
    """Path, operator and field of every rule."""
    return [(rule.path, rule.operator, rule.field) for rule in rx.loads(net(f"{body}    init {{ {rules} }}")).init]


def errors(rules: str, body: str = BODY) -> list[tuple[str, str, str, str]]:
    """Code, message, text of the span and hint of every error."""
    with pytest.raises(rx.ArchError) as caught:
        settled(rules, body)
    return [(d.code, d.message, d.span.text if d.span else "", d.hint) for d in caught.value.diagnostics]


@pytest.mark.parametrize(
    ("target", "meant"),
    [
        ("conv.weight", ("", "conv", "weight")),
        ("stem.bn.bias", ("stem", "bn", "bias")),
        ("a.conv.weight", ("a", "conv", "weight")),
        ("a.0.conv.weight", ("a.0", "conv", "weight")),
        ("a.0.paths.1.conv.weight", ("a.0.paths.1", "conv", "weight")),
        ("a.0.paths.1.conv.conv.weight", ("a.0.paths.1.conv", "conv", "weight")),
        ("stem.conv2.bias", ("stem.conv2", "conv", "bias")),
        ("stem.conv2.conv.bias", ("stem.conv2", "conv", "bias")),
        ("head.linear.bias", ("head", "linear", "bias")),
        ("head.linear.linear.bias", ("head.linear", "linear", "bias")),
        ("head.repeat.1.linear.bias", ("head.repeat.1", "linear", "bias")),
        ("a . 1 .\n paths.0.prelu.weight", ("a.1.paths.0", "prelu", "weight")),
    ],
)
def test_a_target_is_a_path_an_operator_and_a_field(target: str, meant: tuple[str, str, str]) -> None:
    assert settled(f"{target} = constant(1)") == [meant]


def test_a_node_outside_the_parts_is_named_by_itself() -> None:
    body = "conv(8, 1x1, bias=true); conv(8, 3x3)\n    residual { t }\n"
    template = "template t { conv(8, 1x1) }\n"
    text = net(f"{body}    init {{ conv1.bias = ones; t.conv.weight = zeros }}", template)
    assert [(rule.path, rule.operator) for rule in rx.loads(text).init] == [("conv1", "conv"), ("t", "conv")]


def test_a_node_is_of_the_operator_that_its_parameter_holds() -> None:
    text = net("stage a { t(prelu) }\n    init { a.act.weight = ones }", "template t(act) { conv(8, 1x1); act }\n")
    assert [(rule.path, rule.operator) for rule in rx.loads(text).init] == [("a.act", "prelu")]


@pytest.mark.parametrize(
    ("target", "error"),
    [
        ("axu.linear.bias", ("E101", "the network contains no `axu`", "axu", "did you mean `aux`?")),
        ("b9.linear.bias", ("E101", "the network contains no `b9`", "b9", "it contains: a, aux, head, stem")),
        ("a.2.conv.weight", ("E101", "`a` contains no `2`", "2", "it contains: 0, 1")),
        ("a.0.1.conv.weight", ("E101", "`a` contains no `0.1`", "0.1", "it contains: 0, 1")),
        ("a.0.path.1.conv.weight", ("E101", "`a.0` contains no `path`", "path", "did you mean `paths`?")),
        ("stem.conv2.q.bn.bias", ("E101", "`stem.conv2` contains no `q`", "q", "it is an operator")),
        ("stem.conv3.bias", ("E101", "`stem` contains no `conv3`", "conv3", "did you mean `conv1`?")),
        ("cnov.weight", ("E101", "unknown operator or node `cnov`", "cnov", "did you mean `conv`?")),
        ("image.weight", ("E101", "unknown operator or node `image`", "image", None)),
        ("aux.weight", ("E207", "`aux` is not an operator", "aux", "name an operator inside it: `aux.linear.weight`")),
        ("a.0.weight", ("E207", "`a.0` is not an operator", "0", "name an operator inside it: `a.0.conv.weight`")),
        ("aux.conv.bias", ("E209", "`aux` contains no `conv`", "conv", "its operators with weights: linear")),
        ("stem.conv1.bias", ("E209", "`stem.conv1` has no bias", "bias", "`conv(..., bias=true)` has one")),
        ("a.conv.bias", ("E209", "no `conv` in `a` has a bias", "bias", "`conv(..., bias=true)` has one")),
        ("stem.relu.weight", ("E201", "`relu` has no weights to initialise", "relu", None)),
        ("head.avgpool.weight", ("E201", "`avgpool` has no weights to initialise", "avgpool", None)),
        ("a.0.paths.7.bias", ("E101", "`a.0.paths` contains no `7`", "7", "it contains: 0, 1")),
        ("stem.conv2.bais", ("E101", "unknown field `bais`", "bais", "did you mean `bias`?")),
    ],
)
def test_a_target_that_means_nothing(target: str, error: tuple[str, str, str, str | None]) -> None:
    (found,) = errors(f"{target} = zeros")
    assert found[:3] == error[:3]
    assert error[3] in (found[3], None)


def test_a_scheme_is_held_against_the_operator_of_a_node() -> None:
    (found,) = errors("stem.conv2.bias = xavier_normal")
    assert found[:3] == (
        "E205",
        "`xavier_normal` initialises weights of convolutions and linear layers only",
        "xavier_normal",
    )


def test_every_wrong_rule_is_reported() -> None:
    found = errors("stem.linear.weight = ones; a.7.conv.weight = ones; aux.bn.bias = ones")
    assert [error[1] for error in found] == [
        "`stem` contains no `linear`",
        "`a` contains no `7`",
        "`aux` contains no `bn`",
    ]


def test_what_the_text_alone_tells_is_reported_beside_other_mistakes() -> None:
    found = errors("axu.linear.bias = zeros; a.7.conv.weight = ones; bn.bias = nul", "stage a { conv(0, 1x1) }\n")
    assert [error[1] for error in found] == [
        "`channels` must be at least 1; found 0",
        "the network contains no `axu`",
        "unknown scheme `nul`",
    ]


def test_a_part_that_nothing_reads_holds_nothing() -> None:
    (found,) = errors("b.conv.weight = ones", "stage a { conv(8, 1x1) }\n    stage b { conv(8, 1x1) }\n    use a\n")
    assert found[:2] == ("E101", "the network contains no `b`")


def test_a_field_that_no_operator_of_the_part_has() -> None:
    body = "stage a { conv(8, 1x1); bn(affine=false) }\n    stage b { bn }\n"
    (found,) = errors("bn.weight = ones; b.bn.weight = ones; a.bn.weight = ones", body)
    assert found == ("E209", "no `bn` in `a` has a weight", "weight", "`bn(..., affine=true)` has one")


def test_a_derived_network_says_its_rules_after_those_of_its_base(tmp_path: Path) -> None:
    (tmp_path / "base.arch").write_text(net("stage a { conv(8, 1x1) }\n    init { a.conv.weight = ones }"))
    derived = 'from "base.arch" import n\nnetwork m = n() { init { a.conv.weight = zeros; conv.weight = normal(1) } }\n'
    (tmp_path / "m.arch").write_text(derived)
    network = rx.load(tmp_path / "m.arch")
    assert [(rule.path, rule.scheme) for rule in network.init] == [("a", "ones"), ("a", "zeros"), ("", "normal")]
    assert (network.compile().a.conv.weight == 0).all()


def test_many_rules_take_no_longer_than_their_text() -> None:
    repeat = 2000
    stages = "".join(f"stage s{k} {{ conv(8, 1x1); bn }}\n" for k in range(1000))
    right = "; ".join(f"s{k % 1000}.{'conv' if k < 1000 else 'bn'}.weight = ones" for k in range(repeat))
    assert len(rx.loads(net(f"{stages} init {{ {right} }}")).init) == repeat
    for wrong in ("z{}.conv.weight", "s{}.linear.weight", "s{}.q.conv.weight"):
        rules = "; ".join(f"{wrong.format(k)} = ones" for k in range(repeat))
        assert len(errors(rules, stages)) == rx.Options().max_errors


def test_a_number_stands_between_names() -> None:
    for target in ("a.0", "0.conv.weight", "a.0 . 1.conv.weight", "a.3x3.conv.weight", "a..conv.weight"):
        with pytest.raises(rx.ArchError, match=r"error\[E002\]"):
            settled(f"{target} = ones")
