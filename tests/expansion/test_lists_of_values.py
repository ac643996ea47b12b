"""Lists of values: how they are written, what they stand for, and the error of each mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from emit_oracle import check_equal
from error_examples import net
from graph_reading import nodes
from space_oracle import space_from

import resnext_dsl as rx
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.spec_files import text_source

TWO = "split 2 as i { conv(4 + i, 1x1) } merge list"
"""A statement that leaves a list of two values, of 4 and 5 channels."""


def reads(body: str, before: str = "") -> dict[str, tuple[int, ...]]:
    """The nodes of a network around a body, the input aside: for each the nodes that it reads, the input being 0."""
    return {name: node.inputs for name, node in nodes(body, before).items()}


# --- statements ---


def test_merge_list_keeps_the_values_of_the_paths_apart() -> None:
    network = rx.loads(net(f"{TWO} as xs; use xs[1]; relu; concat(xs[0])"))
    assert {node.name: node.inputs for node in network.ir.nodes} == {
        "image": (),
        "paths.0.conv": (0,),
        "paths.1.conv": (0,),
        "relu": (2,),
        "concat": (3, 1),
    }


def test_a_list_has_as_many_names_as_values() -> None:
    found = reads(f"{TWO} as a, b; use b; relu; concat(a, b)")
    assert found == {"paths.0.conv": (0,), "paths.1.conv": (0,), "relu": (2,), "concat": (3, 1, 2)}


@pytest.mark.parametrize(
    "statement",
    [
        "two as a, b",
        "use [value_here, image] as a, b",
        "if true { two } as a, b",
        "repeat 1 { two } as a, b",
        "for k in [1] { two } as a, b",
        "split { path { two } } merge list as a, b",
        "residual(when=false) { two } as a, b",
    ],
)
def test_every_statement_with_as_takes_several_names(statement: str) -> None:
    found = reads(f"{statement}; use b; relu; concat(a)", "template two { conv(3, 1x1) as y; use [y, value_in] }\n")
    made = len(found) - 2
    assert found["relu"] == (0,)
    assert found["concat"] == (made + 1, made)


def test_parts_take_several_names_and_keep_their_own() -> None:
    body = f"stem {{ {TWO} }} as a, b\n    stage s repeat 1 {{ use [b, a] }} as c, d\n    use d; concat(c, s, stem)"
    assert reads(body)["concat"] == (1, 2, 2, 1, 1, 2)


def test_a_merge_takes_the_values_of_lists() -> None:
    assert reads(f"{TWO}; concat")["concat"] == (1, 2)
    assert reads(f"{TWO} as xs; use image; concat(xs, image)")["concat"] == (0, 1, 2, 0)
    assert reads(f"split {{ path {{ {TWO} }}; path {{ relu }} }} merge concat")["concat"] == (1, 2, 3)
    assert reads("relu; use [value_here]; concat") == {"relu": (0,)}


def test_lists_are_joined_indexed_measured_and_walked() -> None:
    body = f"""
    {TWO} as xs
    use xs + [image] as ys
    use ys[len(xs)]; conv(len(ys), 1x1) as y
    for x in xs {{ concat(x) }}
    split {{ for x, c in zip(ys, [7, 8, 9]) {{ path {{ use x; conv(c, 1x1) }} }} }} merge concat(value_here)
    concat([x for x in ys if true], y)
    """
    found = nodes(body)
    assert (found["conv"].inputs, found["conv"].shape[0]) == ((0,), 3)
    assert [found[f"concat1.{k}.concat"].inputs for k in range(2)] == [(3, 1), (4, 2)]
    paths = [found[f"paths2.{k}.conv"] for k in range(3)]
    assert [(path.inputs, path.shape[0]) for path in paths] == [((1,), 7), ((2,), 8), ((0,), 9)]
    assert (found["concat2"].inputs, found["concat3"].inputs) == ((6, 7, 8, 5), (9, 1, 2, 0, 3))


def test_a_loop_collects_values() -> None:
    found = reads(
        "use [image] as xs\n    repeat 3 { use xs[-1]; conv(4, 3x3); use xs + [value_here] as xs }\n    concat"
    )
    assert found["concat"] == (0, 1, 2, 3)


def test_a_template_may_take_and_give_lists() -> None:
    before = "template cell(extra) { use value_in as a, b; use a; conv(4, 1x1); add(extra); use [b, value_here] }\n"
    found = reads("conv(4, 1x1) as e; use [e, image]; cell([e]); cell([e, e])\n    concat", before)
    assert found == {
        "conv": (0,),
        "cell1.conv": (1,),
        "cell1.add": (2, 1),
        "cell2.conv": (0,),
        "cell2.add": (4, 1, 1),
        "concat": (3, 5),
    }


def test_value_here_is_the_running_value_of_the_statement() -> None:
    found = reads("conv(4, 1x1); relu; concat(value_here); split 2 as k { mul(value_here) } merge add(value_here)")
    assert found["concat"] == (2, 2)
    assert [found["paths.0.mul"], found["paths.1.mul"], found["add"]] == [(3, 3), (3, 3), (4, 5, 3)]


def test_paths_take_the_list_and_residuals_add_what_is_merged_of_it() -> None:
    found = reads(f"{TWO}; split {{ path {{ concat }}; path {{ use value_here[0]; conv(9, 1x1) }} }} merge add")
    assert (found["paths2.0.concat"], found["paths2.1.conv"], found["add"]) == ((1, 2), (1,), (3, 4))
    found = reads(f"{TWO}; residual {{ concat; relu }} shortcut {{ concat }}")
    assert found["add"] == (4, 5)


def test_parts_see_the_running_value_in_their_counts() -> None:
    assert len(nodes("conv(2, 1x1)\n    stage s repeat channels_here { relu }")) == 3


def test_names_given_again_in_a_loop_are_new_values() -> None:
    with pytest.raises(rx.ArchError, match="two values of a block have the name `a`"):
        rx.loads(net(f"{TWO} as a, a; concat"))


# --- outputs ---


def outputs(body: str) -> list[tuple[str, int, bool]]:
    return [tuple(output) for output in rx.loads(net(body)).ir.outputs]


def test_a_list_of_outputs_has_numbered_names() -> None:
    body = f"{TWO} as xs\n    output p from xs\n    output q from xs[0]\n    output r when training from xs + [image]\n    concat"
    assert outputs(body) == [
        *[("main", 3, False), ("p.0", 1, False), ("p.1", 2, False), ("q", 1, False)],
        *[("r.0", 1, True), ("r.1", 2, True), ("r.2", 0, True)],
    ]


def test_the_body_of_an_output_runs_on_each_value_of_a_list() -> None:
    network = rx.loads(net(f"{TWO} as xs\n    output p from xs {{ conv(2, 1x1); relu }}\n    concat"))
    graph = network.ir
    named = {node.name: node.inputs for node in graph.nodes}
    assert (named["p.0.conv"], named["p.1.conv"], named["p.1.relu"]) == ((1,), (2,), (5,))
    assert [output.name for output in graph.outputs] == ["main", "p.0", "p.1"]
    assert network.cost().by_stage()["p"].params == 4 * 2 + 5 * 2
    fields = type(check_equal(graph)(rx_image())).__annotations__
    assert list(fields) == ["main", "p_0", "p_1"]


def rx_image() -> Any:
    import torch

    return torch.zeros(1, 3, 32, 32)


def test_a_network_may_end_in_a_list() -> None:
    graph = rx.loads(net(f"stem {{ relu }}\n    head {{ {TWO} }}")).ir
    assert [tuple(output) for output in graph.outputs] == [("main.0", 2, False), ("main.1", 3, False)]
    module = check_equal(graph)
    assert list(type(module(rx_image())).__annotations__) == ["main_0", "main_1"]
    assert not hasattr(module, "reset_classifier")


def test_fields_of_outputs_have_names_of_their_own() -> None:
    graph = rx.loads(net(f"{TWO} as xs\n    output p_0 from xs[0]\n    output p from xs\n    concat")).ir
    assert list(type(check_equal(graph)(rx_image())).__annotations__) == ["main", "p_0", "p_02", "p_1"]


MODES = [
    "output p from xs { conv(2, 1x1) }; output aux when training from xs { conv(3, 1x1) }; use xs + [image]",
    "head { relu_each(xs) }; output aux when training from head { conv(3, 1x1) }; output p from head[1]",
    "head { relu_each(xs); concat } ; output aux when training from xs + [image]",
    "output aux when training from xs; output more when training from [image] { relu }; use xs[1]; conv(2, 1x1)",
    "output aux when training from xs; use xs",
    "stage s { relu_each(xs) } as a, b; output p from s { relu_each([value_here]); add }; use a",
]


@pytest.mark.parametrize("body", MODES)
def test_results_of_training_come_after_those_of_both_modes(body: str) -> None:
    lines = "\n    ".join([f"{TWO} as xs", *body.split("; ")])
    template = "template relu_each(xs) { split { for x in xs { path { use x; relu } } } merge list }\n"
    graph = rx.loads(net(lines, template)).ir
    module = check_equal(graph)
    in_training = module(rx_image())
    module.eval()
    found = module(rx_image())
    always = [output for output in graph.outputs if not output.training_only]
    results = [found] if len(always) == 1 else [result for result in found if result is not None]
    assert len(results) == len(always)
    for one, other in zip(results, in_training if isinstance(in_training, tuple) else [in_training], strict=False):
        assert (one == other).all()


# --- mistakes ---

CHOOSE = "choose one, `use NAME[0]`, or merge them: `add`, `concat`"
BEFORE_USE = "name a value with `as NAME` before it is used"
NONE = "a list of values needs at least one value; `{}` is an empty list"
BEGIN = "begin a list with its first value: `[value_here]`"

MISTAKES = {
    "relu as a; use [a, b]": ("E101", "unknown name `b`", "b", BEFORE_USE),
    "relu; t3": ("E101", "unknown name `d`", "d", BEFORE_USE),
    "if 1 == 2 { relu as a }; use [image, a]": ("E101", "unknown name `a`", "a", BEFORE_USE),
    "relu\n    output p from q": ("E101", "no value is named `q` here", "q", BEFORE_USE),
    f"{TWO} as a, b, c; relu": (
        "E204",
        "`a, b, c` names 3 values; the statement gives 2 values",
        "a, b, c",
        "`as a` names the whole list",
    ),
    "relu as a, b; use a; gelu": (
        "E204",
        "`a, b` names 2 values; the statement gives 1 value",
        "a, b",
        "give it one name",
    ),
    f"{TWO} as xs; use xs[2]": (
        "E205",
        "index 2 is out of range: the list has 2 values, counted from 0",
        "2",
        "`[-1]` is the last value",
    ),
    f"{TWO}; relu": ("E204", "`relu` takes one value; the running value is a list of 2 values", "relu", CHOOSE),
    f"{TWO}; conv(3, 1x1)": ("E204", "`conv` takes one value; the running value is a list of 2 values", "conv", CHOOSE),
    f"{TWO} as xs; use image; crop(like=xs)": (
        "E204",
        "`crop` takes one value; `xs` is a list of 2 values",
        "xs",
        "choose one: `xs[0]`",
    ),
    f"{TWO}\n    stage s {{ let c = channels_here; use value_in[c] }}": (
        "E204",
        "`channels_here` belongs to one value; the running value is a list of 2 values",
        "channels_here",
        "`use NAME[0]` continues from its first value",
    ),
    f"{TWO}; t": (
        "E204",
        "`shape_in` belongs to one value; the input is a list of 2 values",
        "shape_in",
        "`use value_in[0]` continues from its first value",
    ),
    f"{TWO}; residual {{ concat }}": (
        "E204",
        "a residual adds one value to another; its input is a list of 2 values",
        "residual",
        "choose one, `use NAME[0]`, or add a `shortcut { ... }` that merges them",
    ),
    "residual { use [value_in, value_in, value_in] }": (
        "E204",
        "a residual adds one value to another; its body gives a list of 3 values",
        "residual",
        "merge them at the end of the body: `add`, `concat`",
    ),
    "residual { relu } shortcut { use [value_in] }": (
        "E204",
        "a residual adds one value to another; its shortcut gives a list of 1 value",
        "residual",
        "merge them at the end of the shortcut: `add`, `concat`",
    ),
    f"{TWO}; split 2 slice {{ relu }} merge add": (
        "E204",
        "`slice` cuts the channels of one value; the running value is a list of 2 values",
        "split",
        "choose one, `use NAME[0]`, or merge them: `concat`",
    ),
    f"{TWO} as xs; use image; add(xs)": (
        "E304",
        "`add` needs values of equal shape; value 1 is 3x32x32, value 2 is 4x32x32",
        "add(xs)",
        "`conv(3, 1x1)` changes 4 channels to 3",
    ),
    "use []": ("E205", NONE.format("[]"), "[]", BEGIN),
    "stage s { let xs = []; use xs }": ("E205", NONE.format("xs"), "xs", BEGIN),
    "relu; concat([])": ("E205", NONE.format("[]"), "[]", BEGIN),
    "relu\n    output p from []": ("E205", NONE.format("[]"), "[]", BEGIN),
    "split { for x in [] { path { use x } } } merge list": (
        "E205",
        "a split needs at least one path; no condition of its paths holds",
        "split { for x in [] { path { use x } } } merge list",
        "add a path without a condition",
    ),
    "use [[image]]": (
        "E204",
        "`[[image]]` is not a value of the network; found [[a value of shape 3x32x32]]",
        "[[image]]",
        "a list of values has nothing else in it; `+` joins lists",
    ),
    "use [image, 3]": (
        "E204",
        "`[image, 3]` is not a value of the network; found [a value of shape 3x32x32, 3]",
        "[image, 3]",
        "a list of values has nothing else in it; `+` joins lists",
    ),
    "use bn(eps=1e-3)": (
        "E204",
        "`bn(eps=1e-3)` is not a value of the network; found bn(eps=0.001)",
        "bn(eps=1e-3)",
        "write `bn(eps=1e-3)` as a statement of its own; `as` names its value",
    ),
    f"{TWO} as xs; xs": (
        "E207",
        "`xs` is a value of type list, not an operator or template",
        "xs",
        "write `use xs` to continue from that value",
    ),
    f"{TWO} as xs; use image; conv(xs, 1x1)": (
        "E204",
        "`channels` must be an int; found a value of type list",
        "xs",
        "",
    ),
    "relu as a; use a + [a]": ("E204", "`+` does not accept a value and a list", "a + [a]", ""),
    "relu as a; if a == a { gelu }": ("E204", "`==` does not accept a value and a value", "a == a", ""),
    "relu as a; if [a] == [a] { gelu }": ("E204", "`==` does not accept a list and a list", "[a] == [a]", ""),
    "stage s { let z = zip([1, 2], [3]); relu }": (
        "E205",
        "`zip` needs lists of equal length; found 2 and 1 elements",
        "zip([1, 2], [3])",
        "",
    ),
    "stage s { let z = zip([1, 2]); relu }": ("E202", "`zip` takes at least 2 arguments; found 1", "zip([1, 2])", ""),
    "split { path { relu } } merge list(image)": (
        "E203",
        "`merge list` takes no arguments",
        "image",
        "the list has the values of the paths; `use` adds others: `use value_here + [a]`",
    ),
    "relu as a; t2(concat(a))": (
        "E203",
        "`concat` cannot have values of the network filled in; found `a`",
        "a",
        "apply it with its values as a statement: `concat(...)`; pass values to templates as arguments",
    ),
    f"{TWO} as xs\n    output p from xs {{ use [value_in, value_in] }}\n    concat": (
        "E204",
        "the body of an output of a list must end in one value; it gives 2 values",
        "p",
        "merge them, or state an output for each",
    ),
}
TEMPLATES = """template t { let s = shape_in; concat }
template t2(f) { f }
template t3 { relu as c; use [c, d] }
"""


@pytest.mark.parametrize("body", MISTAKES)
def test_a_mistake_is_one_error_with_its_place(body: str) -> None:
    used = "".join(f"{line}\n" for line in TEMPLATES.splitlines() if f"; {line.split()[1].partition('(')[0]}" in body)
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(body, used))
    code, message, text, hint = MISTAKES[body]
    found = [(d.code, d.message, d.span.text if d.span else "", d.hint) for d in caught.value.diagnostics]
    assert found == [(code, message, text, hint)]


def test_a_name_of_an_unequal_count_stands_for_nothing_further() -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(f"{TWO} as a, b, c\n    use c; conv(4, 3x3)\n    relu; add(b)"))
    assert [d.code for d in caught.value.diagnostics] == ["E204"]


# --- bounds ---


@pytest.mark.parametrize(
    "body",
    [
        "use [image for i in range(9000)] as xs; repeat 100000 { use xs }; concat",
        "use [image for i in range(9000)] as xs; repeat 100000 { use image; add(xs) }; relu",
        "use [image for i in range(9000)] as xs; repeat 100000 { same }; concat",
        "use [image for i in range(9000)] as xs; repeat 100000 { split 1 { same } merge list }; concat",
    ],
)
def test_long_lists_take_steps(body: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(body, "template same { use value_in }\n"))
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E405"]


def test_a_list_has_a_largest_length() -> None:
    with pytest.raises(rx.ArchError, match="the list would have more than 100000 elements") as caught:
        rx.loads(net("use [image] as xs; repeat 60 { use xs + xs as xs }; concat"))
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E205"]


def test_the_estimate_of_a_size_counts_no_operator_for_merge_list() -> None:
    body = "split 2400 { relu } merge list"
    listed = "split { repeat 1200 { path { relu } path { relu } } } merge list"
    for text in (body, listed):
        assert len(rx.loads(net(text), options=DEFAULTS._replace(max_nodes=2400)).ir.nodes) == 2401
        with pytest.raises(rx.ArchError, match="at most 2399 are allowed"):
            rx.loads(net(text), options=DEFAULTS._replace(max_nodes=2399))


# --- calls that are copied ---

BOTH = """template both(xs) {
    split { for x in xs { path { use x; conv(2, 1x1) } } } merge list as ys
    use ys + value_in + xs
}
"""


def test_a_call_with_another_list_is_another_call() -> None:
    body = "conv(4, 1x1) as a; conv(4, 1x1) as b; use [a, b]; both([a]) as p; use [a, b]; both([b]) as q\n    use p; concat(q)"
    assert reads(body, BOTH)["concat"] == (3, 1, 2, 1, 4, 1, 2, 2)


def test_a_copied_call_reads_the_values_of_its_own_list() -> None:
    before = "template cell { use value_in as a, b; use a; add(b); relu; use [b, value_here, a] }\n"
    body = """
    conv(4, 1x1) as a; conv(4, 1x1) as b; conv(4, 1x1) as c
    use [a, b]; cell as p; use [c, a]; cell as q; use [b, b]; cell as r
    use p; concat(q, r)
    """
    found = reads(body, before)
    assert [found[f"cell{k}.add"] for k in (1, 2, 3)] == [(1, 2), (3, 1), (2, 2)]
    assert found["concat"] == (2, 5, 1, 1, 7, 3, 2, 9, 2)


def test_a_list_with_a_value_twice_is_not_a_list_of_two_values() -> None:
    before = "template cell { use value_in as a, b; use b; relu; use [value_here, a] }\n"
    found = reads("conv(4, 1x1) as a; gelu as b; use [a, a]; cell as p; use [a, b]; cell; concat(p)", before)
    assert (found["cell1.relu"], found["cell2.relu"], found["concat"]) == ((1,), (2,), (4, 1, 3, 1))


def test_one_value_and_a_list_of_one_are_different_inputs() -> None:
    before = "template cell { concat(value_in, value_here); relu }\n"
    found = reads("conv(4, 1x1) as a; cell as p; use [a]; cell; add(p)", before)
    assert (found["cell1.concat"], found["cell2.concat"]) == ((1, 1, 1), (1, 1, 1))
    with pytest.raises(rx.ArchError, match="`channels_in` belongs to one value"):
        reads("relu as a; wide; use [a]; wide", "template wide { let c = channels_in; concat; conv(c, 1x1) }\n")


def test_arguments_that_are_the_input_values_follow_them_in_a_copy() -> None:
    before = "template cell(xs) { use xs[0]; relu; use [value_here] + value_in }\n"
    body = """
    conv(4, 1x1) as a; conv(4, 1x1) as b
    use [a, b] as p; cell(p) as s; use [b, a] as q; cell(q) as t; use q; cell(p) as u
    use s; concat(t, u)
    """
    found = reads(body, before)
    assert [found[f"cell{k}.relu"] for k in (1, 2, 3)] == [(1,), (2,), (1,)]
    assert found["concat"] == (3, 1, 2, 4, 2, 1, 5, 2, 1)


def test_a_pass_copies_calls_with_lists_in_filled_in_templates() -> None:
    before = f"{BOTH}template outer(f) {{ f; concat; conv(4, 1x1) }}\n"
    body = "conv(4, 1x1) as a; repeat 2 { conv(4, 3x3) as b; use [b]; outer(both(xs=[b, a])) }"
    found = reads(body, before)
    assert found["repeat.0.outer.concat"] == (3, 4, 2, 2, 1)
    assert found["repeat.1.outer.concat"] == (8, 9, 7, 7, 1)


COLUMNS = {
    "copied calls with lists": (
        "param w = 4; param n = 1; conv(w, 1x1) as a; conv(w, 3x3) as b\n"
        "use [a, b]; cell([a]) as p; use [b, a]; cell([a]) as q; use [b, b]; cell([b, a]) as r; use [a, b]; cell([a])\n"
        "concat(p, q, r); conv(n, 1x1)",
        {"w": [4, 5, 6], "n": [1, 2]},
        True,
    ),
    "a list of candidates": (
        "param w = 4; param f = true; split 3 as i { conv(w + i, 1x1) } merge list as xs\n"
        "if f { use xs } else { use [xs[2], xs[0], xs[1]] }; cell(xs) as ys; use ys[1]; concat(ys)",
        {"w": [4, 5], "f": [True, False]},
        True,
    ),
    "lists of unequal length": (
        "param k = 2; param w = 4; split k as i { conv(w * 2 ** i, 1x1) } merge list as xs; cell(xs); concat",
        {"k": [1, 2, 3, 0], "w": [4, 6]},
        False,
    ),
    "indices": (
        "param k = 0; split 3 as i { conv(4 + i, 1x1) } merge list as xs; use xs[k]; conv(channels_here, 3x3); concat(xs)",
        {"k": [0, 1, 2, 3, -1, -4]},
        True,
    ),
    "names of a list": (
        "param k = 2; if k == 2 { use [image, image] } else { use [image, image, image] } as xs; use xs as a, b; use a; relu; concat(b)",
        {"k": [2, 3]},
        False,
    ),
    "a loop that collects": (
        "param w = 4; use [image] as xs; repeat 3 as i { use xs[-1]; conv(w + i, 3x3); use xs + [value_here] as xs }; concat; conv(w, 1x1)",
        {"w": [4, 5, 9]},
        True,
    ),
    "a loop that collects in some passes": (
        "param n = 2; use [image] as xs; repeat n { use xs[-1]; conv(4, 3x3); use xs + [value_here] as xs }; concat; conv(2, 1x1)",
        {"n": [0, 1, 3]},
        False,
    ),
    "outputs": (
        "param w = 4; param f = true; split 2 as i { conv(w + i, 1x1) } merge list as xs\n"
        "output p from xs { if f { conv(w, 3x3) } }\noutput q when training from xs { conv(2, 1x1) }\nuse xs + [image]",
        {"w": [4, 5], "f": [True, False]},
        True,
    ),
    "nothing but the input": (
        "param f = true; if f { relu as a; use [image, a] } else { use [image, image] }",
        {"f": [True, False]},
        True,
    ),
    "wrong kinds": (
        "param f = true; split 2 { conv(4, 1x1) } merge list as xs; if f { add }; conv(4, 3x3)",
        {"f": [True, False]},
        False,
    ),
}
CELL = """template cell(xs) {
    split len(value_in) as i { use value_in[i]; conv(4 + i, 1x1); concat(xs) } merge list
}
"""


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_are_equal_to_one_by_one(name: str) -> None:
    body, values, closed = COLUMNS[name]
    text = net(body, CELL)
    rows = np.array(np.meshgrid(*values.values(), indexing="ij"), dtype=object).reshape(len(values), -1).T.tolist()
    space = space_from(text)
    found = space.cost({key: [row[place] for row in rows] for place, key in enumerate(values)})
    assert (found.method == "closed form") == closed
    for place, row in enumerate(rows):
        try:
            cost = rx.loads(text, **dict(zip(values, row, strict=True))).cost()
            wanted = (True, cost.params, cost.flops, cost.macs, cost.activations)
        except rx.ArchError:
            wanted = (False, 0, 0, 0, 0)
        got = [column[place] for column in (found.valid, found.params, found.flops, found.macs, found.activations)]
        assert tuple(got) == wanted, row


# --- text ---


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("use  xs [ -1 ]", "use xs[-1]"),
        ("use xs+[ value_here ]as ys", "use xs + [value_here] as ys"),
        ("fuse( xs )as a ,b", "fuse(xs) as a, b"),
        (
            "split{for x in xs{path{use x}}}merge list as a,b",
            "split { for x in xs { path { use x } } } merge list as a, b",
        ),
        ("output p when training from xs[ 0 ]{relu}", "output p when training from xs[0] { relu }"),
        ("crop( like = skip )", "crop(like=skip)"),
    ],
)
def test_lists_are_formatted(text: str, formatted: str) -> None:
    source = text_source(f"network n {{\n    {text}\n}}\n", "<spec>", DEFAULTS)
    assert format_text(source) == f"network n {{\n    {formatted}\n}}\n"
    assert format_text(text_source(format_text(source), "<spec>", DEFAULTS)) == format_text(source)
