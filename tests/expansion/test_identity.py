"""`identity` is the value itself: it adds no operator, and no module but in the place of one that other instances have."""

from __future__ import annotations

import pytest
from emit_oracle import check_equal, network
from space_oracle import check, space_from

import resnext_dsl as rx


def net(body: str) -> str:
    """A network with this body."""
    return f"network n {{\n    input value: 8x9x9\n    {body}\n}}\n"


HEAD = "head { avgpool(global); flatten; linear(5) }"

SAME = [  # with `identity`, and without it
    ("conv(8, 3x3); identity; relu", "conv(8, 3x3); relu"),
    ("conv(8, 3x3); identity as x; relu; add(x)", "conv(8, 3x3) as x; relu; add(x)"),
    ("identity as x; conv(8, 3x3); use x; identity; relu", "relu"),
    ("residual { conv(8, 3x3) } shortcut { identity }", "residual { conv(8, 3x3) }"),
    ("residual { conv(8, 3x3) } shortcut { nothing }", "residual { conv(8, 3x3) }"),
    ("residual { identity }", "residual { }"),
    ("nothing; relu; nothing; nothing", "relu"),
    ("conv(8, 1x1); activated(identity)", "conv(8, 1x1); conv(8, 3x3)"),
    ("conv(8, 1x1); activated(chosen)", "conv(8, 1x1); conv(8, 3x3)"),
    ("conv(8, 3x3) as x; split { path { identity } path { identity } } merge mul", "conv(8, 3x3) as x; mul(x)"),
    ("split 2 { identity } merge concat; relu", "concat(value); relu"),
    ("repeat 3 { identity }; relu", "relu"),
]

TEMPLATES = """
    param chosen = identity in {relu, identity}
    template nothing() { identity }
    template activated(act) { conv(8, 3x3); act }
"""


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_network_is_the_same_without_its_identities(one: str, other: str) -> None:
    with_identity, without = (rx.loads(net(f"{TEMPLATES}\n {body}")) for body in (one, other))
    assert [(n.operator, n.inputs, n.shape) for n in with_identity.ir.nodes] == [
        (n.operator, n.inputs, n.shape) for n in without.ir.nodes
    ]
    assert with_identity.fingerprint == without.fingerprint
    assert with_identity.cost() == without.cost()
    check_equal(with_identity.ir)
    assert "nn.Identity" not in with_identity.emit()


KEPT = [  # paths keep their numbers, and so do passes and stages
    "split { path { identity } path { conv(8, 3x3); bn } } merge add; relu",
    "split { path { conv(8, 3x3); bn } path { identity } path { conv(8, 1x1) } } merge concat",
    "split { path { identity } path { avgpool(global); conv(4, 1x1); relu; conv(8, 1x1); sigmoid } } merge mul",
    "split slice { path { identity } path { conv(4, 3x3) } } merge concat; shuffle(2)",
    "split 4 slice as i { if i == 2 { conv(2, 3x3) } else { identity } } merge concat",
    "split [2, 2, 4] slice as i { if i == 2 { conv(4, 3x3) } else { identity } } merge concat",
    "split 2 slice { identity } merge concat",
    "stem { identity }; stage a { conv(8, 3x3) }; stage b { identity }; stage c { relu; concat(b, stem) }",
    "stage a { conv(8, 3x3); identity }; output side from a { identity }; output other from a { relu; identity }",
    "repeat 3 as i { if i == 1 { identity } else { conv(8, 3x3) } }",
    "stage s repeat 3 as i { if i > 0 { identity } else { conv(8, 3x3) } }",
]


@pytest.mark.parametrize("body", KEPT)
def test_paths_and_stages_of_identity_compute_the_value(body: str) -> None:
    graph = network(f"    {body}\n    {HEAD}")
    assert "identity" not in {node.operator for node in graph.nodes}
    check_equal(graph)


def test_paths_keep_their_numbers() -> None:
    graph = network("    split { path { identity } path { conv(8, 3x3) } path { identity } path { bn } } merge add")
    assert [node.name for node in graph.nodes[1:]] == ["paths.1.conv", "paths.3.bn", "add"]
    assert graph.nodes[-1].inputs == (0, 1, 0, 2)


def test_an_instance_whose_activation_is_identity_shares_the_class_of_the_others() -> None:
    body = "template b(act) { conv(8, 3x3); bn; act }\n    stage s { b(relu); b(identity); b(silu) }\n    "
    model = check_equal(network(body + HEAD))
    assert [type(child).__name__ for child in model.s.children()] == ["B", "B", "B"]
    assert [type(child.act).__name__ for child in model.s.children()] == ["ReLU", "Identity", "SiLU"]


@pytest.mark.parametrize("body", ["identity", "split 3 { identity } merge add; nothing", "stage s { nothing }"])
def test_a_network_of_identity_alone_has_no_operators(body: str) -> None:
    if "split" in body:
        body = body.replace("3", "1")  # a sum of several is an operator
    with pytest.raises(rx.ArchError, match="network `n` has no operators") as caught:
        rx.loads(net(f"template nothing() {{ identity }}\n {body}"))
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E305"]


@pytest.mark.parametrize(
    "body",
    [
        "conv(w, 3x3); act",
        "act",  # `identity` alone is no network
        "split { path { act } path { conv(w, 3x3) } } merge concat",
        "conv(w, 1x1); residual { conv(w, 3x3); act } shortcut { act }",
        "conv(2 * w, 1x1); split slice { path { act } path { conv(w, 3x3); act } } merge concat",
    ],
)
def test_columns_cost_what_each_network_costs(body: str) -> None:
    text = f"network n {{ input x: 8x9x9; param w = 8 in 1..64; param act = relu in {{relu, identity, bn}}; {body} }}"
    space = space_from(text)
    check(space, {"w": [8, 8, 8, 5, 5, 5], "act": ["relu", "identity", "bn"] * 2})
