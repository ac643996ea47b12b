"""Templates and functions that call themselves: those that end are networks, the others one error found at once."""

from __future__ import annotations

import time

import pytest
from emit_oracle import check_equal
from interpreter_agreement import agree
from reference_interpreter import interpret
from space_oracle import check, space_from

import resnext_dsl as rx

TREE = """
template leaf(c) { residual { conv(c, 3x3); bn }; relu }
template tree(n, c, kept = []) {
    if n > 1 {
        tree(n - 1, c) as left
        tree(n - 1, c, kept + [left])
    } else {
        leaf(c) as left
        leaf(c)
        concat(left)
        for value in kept { concat(value) }
        conv(c, 1x1); bn; relu
    }
}
"""
PAIR = """
template even(n) { conv(8, 3x3); if n > 0 { odd(n - 1) } }
template odd(n) { conv(4, 1x1); relu; if n > 0 { even(n - 1) } else { bn } }
"""
HEAD = "head { avgpool(global); flatten; linear(5) }"


def net(body: str, before: str = "", parameters: str = "") -> str:
    return f"{before}\nnetwork n {{\n    input image: 3x12x12\n    {parameters}\n    {body}\n}}\n"


ENDING = {
    "a tree": net("tree(3, 8)", TREE),
    "trees of several depths": net(f"tree(1, 8); tree(3, 8); stage s {{ tree(2, 4); tree(3, 4) }}; {HEAD}", TREE),
    "two in turn": net(f"even(4); bn; odd(3); even(0); {HEAD}", PAIR),
    "in a loop": net("t(3)", "template t(n) { conv(n + 3, 3x3); bn; repeat n as i { t(n - 1 - i) } }"),
    "in a stage": net(f"stage s repeat 3 as i {{ tree(i + 1, 8) }}; {HEAD}", TREE),
    "in paths": net("t(3)", "template t(n) { split { path { bn } if n > 0 { path { conv(3, 3x3); t(n - 1) } } } merge add }"),
    "in every path": net("t(2)", "template t(n) { if n > 0 { split 2 { t(n - 1) } merge add } else { conv(3, 3x3) } }"),
    "in a shortcut": net("t(3)", "template t(n) { relu; residual(when=n > 0) { conv(3, 3x3) } shortcut { t(n - 1) } }"),
    "by the shape": net("t", "template t { conv(channels_in * 2, 3x3); if channels_here < 40 { t } }"),
    "given to itself": net("t(t, 3)", "template t(u, n) { conv(8, 3x3); bn; if n > 0 { u(u, n - 1) } }"),
    "a pyramid": net(
        f"stem {{ conv(8, 3x3) }}; level(3); {HEAD}",
        "template level(n) { conv(8, 3x3); relu; if n > 0 { residual(shortcut=identity) { maxpool(2x2); level(n - 1); resize(value_in) } } }",
    ),
    "a function": net("conv(f(6), 3x3)", "fn f(n) = n if n < 2 else f(n - 1) + f(n - 2)"),
    "functions in turn": net("conv(f(7), 3x3)", "fn f(n) = 1 if n == 0 else g(n - 1) + 1\nfn g(n) = 0 if n == 0 else f(n - 1)"),
    "a function by `and`": net("conv(8 if f(3) else 4, 3x3)", "fn f(n) = n > 0 and (n == 1 or f(n - 1))"),
    "a function over a list": net("conv(sum(f([1, 2, 3])), 1x1)", "fn f(xs) = [2 * x for x in xs if len(f([])) == 0]"),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDING)
def test_a_recursion_that_ends_is_a_network(name: str) -> None:
    network = rx.loads(ENDING[name])
    check_equal(network.ir)
    if "resize" not in ENDING[name]:  # the second interpreter has no `resize`
        agree(network, interpret(ENDING[name]))


def test_the_levels_of_a_tree_are_classes_of_their_own_and_its_leaves_are_one() -> None:
    network = rx.loads(ENDING["trees of several depths"])
    source = network.emit()
    assert [line for line in source.splitlines() if line.startswith("class Leaf")] == ["class Leaf(nn.Module):"]
    names = [node.name for node in rx.loads(ENDING["a tree"]).ir.nodes if node.operator == "concat"]
    assert names[:3] == ["tree.tree1.tree1.concat1", "tree.tree1.tree2.concat1", "tree.tree1.tree2.concat2.0.concat"]


def test_a_function_has_its_value() -> None:
    text = net(
        "conv(f(6), 3x3); conv(g(3), 1x1)",
        "fn f(n) = n if n < 2 else f(n - 1) + f(n - 2)\nfn g(n) = 1 if n < 2 else n * g(n - 1)",
    )
    assert [node.shape[0] for node in rx.loads(text).ir.nodes[1:]] == [8, 6]


def test_columns_of_depths_cost_what_each_network_costs() -> None:
    text = net(f"tree(n, c); {HEAD}", TREE, "param n = 1 in 1..4; param c = 8 in {4, 8}")
    check(space_from(text), {"n": [1, 2, 3, 4] * 2, "c": [4] * 4 + [8] * 4})


def test_columns_of_depths_that_do_not_end_are_invalid() -> None:
    before = "template t(n) { conv(4, 3x3); if n != 0 { t(n - 2) } }"
    text = net("t(n)", before, "param n = 2 in 0..9; param k = 1 in 1..2")
    check(space_from(text), {"n": list(range(-1, 9)), "k": [1, 2] * 5})
    tripled = net(
        "t(n)", "template t(n) { conv(4, 3x3); if n != 0 { t(n - 2); t(n - 2); t(n - 2) } }", "param n = 2 in 0..9"
    )
    check(space_from(tripled), {"n": [0, 1, 2, 3, 4]})


def test_columns_of_recursive_functions() -> None:
    text = net("conv(f(n), 3x3)", "fn f(n) = 1 if n <= 1 else n * f(n - 1)", "param n = 2 in 0..5")
    check(space_from(text), {"n": list(range(6))})


DEEP = "templates, functions and blocks are nested deeper than 64"
ENDLESS = [
    ("t(8)", "template t(n) { relu; if n != 0 { t(n + 1) } }", "E403", "template `t` calls itself too often", "if n > 1 { t(n - 1) }", 34),
    ("t(8)", "template t(n) { if n != 0 { t(n + 1); t(n + 1) } }", "E403", "template `t` calls itself too often", "if n > 1 { t(n - 1) }", 28),
    ("t(8, 1)", "template t(n, k) { if n != 0 { t(n + 1, 2 * k); t(n + 1, 2 * k + 1) } }", "E403", "template `t` calls itself too often", "if n > 1 { t(n - 1) }", 31),
    ("t", "template t { relu; repeat 3 { t } }", "E403", "template `t` calls itself too often", "if n > 1 { t(n - 1) }", 30),
    ("t", "template t { relu; if channels_here == 3 { t } }", "E403", "template `t` calls itself too often", "if n > 1 { t(n - 1) }", 43),
    ("t(t)", "template t(u) { relu; u(u) }", "E403", "template `t` calls itself too often", "if n > 1 { t(n - 1) }", 22),
    ("a(1)", "template a(n) { relu; if n > 0 { b(n) } }\ntemplate b(n) { bn; if n > 0 { a(n) } }", "E403", "template `a` calls itself too often", "if n > 1 { a(n - 1) }", 73),
    ("conv(f(1), 1x1)", "fn f(n) = f(n + 1) if n > 0 else 1", "E403", "function `f` calls itself too often", "f(n - 1) if n > 1 else ...", 10),
    ("conv(f(f), 1x1)", "fn f(g) = g(g)", "E403", "function `f` calls itself too often", "f(n - 1) if n > 1 else ...", 10),
    ("t", "template t { relu; t }", "E104", "template `t` always calls itself: t -> t", "if n > 1 { t(n - 1) }", 19),
    ("relu", "template t { if channels_here > 1 { bn }; residual { t } }", "E104", "template `t` always calls itself: t -> t", "if n > 1 { t(n - 1) }", 53),
    ("relu", "template t { split { path { bn } path { t } } merge add }", "E104", "template `t` always calls itself: t -> t", "if n > 1 { t(n - 1) }", 40),
    ("a", "template a { b }\ntemplate b { relu; a }", "E104", "template `a` always calls itself: a -> b -> a", "if n > 1 { a(n - 1) }", 36),
    ("conv(f(1), 1x1)", "fn f(n) = 1 + f(n - 1)", "E104", "function `f` always calls itself: f -> f", "f(n - 1) if n > 1 else ...", 14),
    ("conv(f(1), 1x1)", "fn f(n) = 1 if f(n - 1) > 1 else 2", "E104", "function `f` always calls itself: f -> f", "f(n - 1) if n > 1 else ...", 15),
]  # fmt: skip


@pytest.mark.parametrize(("body", "before", "code", "message", "example", "start"), ENDLESS)
def test_a_recursion_that_does_not_end_is_one_error_found_at_once(
    body: str, before: str, code: str, message: str, example: str, start: int
) -> None:
    began = time.process_time()
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(body, before))
    assert time.process_time() - began < 1
    (found,) = (each for each in caught.value.diagnostics if each.severity == "error")
    assert (found.code, found.span.start) == (code, start)
    limit = "; the option `max_calls` sets the limit" if code == "E403" else ""
    assert found.message == (f"{message}: {DEEP}" if code == "E403" else message)
    assert found.hint == f"end the recursion by a condition on an argument that decreases, as in `{example}`{limit}"


def test_the_trail_of_a_recursion_leads_from_the_outermost_call() -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("stage s { t(8) }", "template t(n) { relu; if n != 0 { t(n + 1) } }"))
    (found,) = caught.value.diagnostics
    assert [note.message for note in found.trail[:3]] == ["stage `s`", "template `t`", "template `t`"]
    assert len(found.trail) > 20
    lines = str(caught.value).splitlines()
    assert sum("in template `t`" in line for line in lines) == 7
    assert any(line.endswith("more calls ...") for line in lines)


def test_the_bound_on_calls_is_the_bound_on_depth() -> None:
    before = "template t(n) { conv(n + 1, 1x1); if n > 0 { t(n - 1) } }"
    assert len(rx.loads(net("t(30)", before)).ir.nodes) == 32
    with pytest.raises(rx.ArchError, match="template `t` calls itself too often"):
        rx.loads(net("t(40)", before))
    assert len(rx.loads(net("t(40)", before), options=rx.Options(max_calls=100)).ir.nodes) == 42


@pytest.mark.parametrize(
    "before",
    [
        "template t(n) { if n > 0 { t(n - 1); t(n - 1) } else { relu } }",
        "template t(n) { if n > 0 { t(n - 1); t(n - 1) } }",
        "template t(n) { if n > 0 { repeat 1000 { t(n - 1) } } else { relu } }",
    ],
)
def test_a_recursion_that_makes_too_much_is_refused_at_once(before: str) -> None:
    began = time.process_time()
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("t(20)", before))
    assert time.process_time() - began < 5
    assert [found.code for found in caught.value.diagnostics] == ["E405"]


def test_calls_with_other_arguments_each_end_at_the_bound_on_steps() -> None:
    before = "template t(n, k) { if n > 0 { t(n - 1, 2 * k); t(n - 1, 2 * k + 1) } }"
    with pytest.raises(rx.ArchError, match="the spec needs more than 50000 steps of computation"):
        rx.loads(net("relu; t(25, 1)", before), options=rx.Options(max_steps=50_000))
    doubled = "fn f(n, k) = 1 if n == 0 else f(n - 1, 2 * k) + f(n - 1, 2 * k + 1)"
    with pytest.raises(rx.ArchError, match="the spec needs more than 50000 steps of computation"):
        rx.loads(net("conv(f(25, 1), 1x1)", doubled), options=rx.Options(max_steps=50_000))


def test_conditions_on_shapes_do_not_make_the_estimate_of_the_size_follow_every_call() -> None:
    before = "template t(n) { if channels_here > 5 { t(2 * n); t(2 * n + 1) } else { relu } }"
    began = time.process_time()
    assert len(rx.loads(net("repeat 2500 { bn }; t(1)", before)).ir.nodes) == 2502
    assert time.process_time() - began < 5
