"""Slices of lists, of lists of values and of shapes: `xs[1:]`, `xs[:-1]`, `xs[a:b]`."""

from __future__ import annotations

from itertools import product

import pytest
from error_examples import net
from graph_reading import nodes
from space_oracle import bound, space_from

import resnext_dsl as rx
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.source import Source

BOUNDS = ["", "0", "1", "2", "3", "-1", "-2", "-3"]


@pytest.mark.parametrize(("start", "stop"), list(product(BOUNDS, BOUNDS)))
def test_a_slice_is_that_of_python(start: str, stop: str) -> None:
    wanted = [4, 8, 12][slice(*(int(bound) if bound else None for bound in (start, stop)))]
    first, last = (int(bound or default) % 3 if bound != "3" else 3 for bound, default in ((start, "0"), (stop, "3")))
    last = 3 if stop in ("", "3") else last
    body = f"let c = [4, 8, 12]\nfor k in c[{start}:{stop}] {{ conv(k, 1x1) }}\nrelu"
    if first > last:
        with pytest.raises(rx.ArchError, match="ends before it begins"):
            nodes(body)
        return
    assert [node.shape[0] for node in nodes(body).values() if node.operator == "conv"] == wanted


VALUES = "split 3 as i { conv(4 * i + 4, 1x1) } merge list as xs\n"

FLOWS = {
    "use": ("use xs[1:]; concat", 20),
    "as": ("use xs[1:] as a, b; use b; concat(a)", 20),
    "a merge": ("use xs[0]; concat(xs[1:])", 24),
    "a loop": ("for x in xs[:-1] { use x; relu }", 8),
    "a split": ("split { for x in xs[1:3] { path { use x } } } merge concat", 20),
    "zip": ("split { for x, c in zip(xs[1:], [3, 5]) { path { use x; conv(c, 1x1) } } } merge concat", 8),
    "a sum of lists": ("use xs[:1] + xs[2:]; concat", 16),
    "a comprehension": ("use [x for x in xs[1:]]; concat", 20),
    "a slice of a slice": ("use xs[1:][:1]; concat", 8),
    "an element of a slice": ("use xs[1:][-1]", 12),
    "a template": ("joined(xs[:2])", 12),
    "the running value": ("use value_here[1:]; concat", 20),
    "all": ("use xs[:]; concat", 24),
}


@pytest.mark.parametrize(("body", "channels"), FLOWS.values(), ids=FLOWS)
def test_a_slice_of_a_list_of_values_stands_where_a_list_stands(body: str, channels: int) -> None:
    graph = rx.loads(net(VALUES + body, "template joined(xs) { use xs; concat }\n")).ir
    assert graph.nodes[graph.outputs[0].node].shape == (channels, 32, 32)


def test_outputs_of_a_slice() -> None:
    network = rx.loads(net(VALUES + "use xs[0]\noutput p from xs[1:] { relu }"))
    assert [output.name for output in network.ir.outputs] == ["main", "p.0", "p.1"]


def test_a_slice_of_a_shape_is_a_shape() -> None:
    (node,) = nodes("resize(size=shape_in[1:])").values()
    assert dict(node.attributes or ())["size"] == (32, 32)


ERRORS = [
    ("use xs[4:]", "E205", "4", "a slice with the bound 4 is out of range: the list has 3 values", ""),
    (
        "use xs[:4]",
        "E205",
        "4",
        "a slice with the bound 4 is out of range: the list has 3 values",
        "leave it out to go to the end",
    ),
    (
        "use xs[-4:]",
        "E205",
        "-4",
        "a slice with the bound -4 is out of range: the list has 3 values",
        "leave it out to begin with the first element",
    ),
    ("use xs[:-4]", "E205", "-4", "a slice with the bound -4 is out of range: the list has 3 values", ""),
    ("use xs[2:1]", "E205", "2:1", "a slice from 2 to 1 ends before it begins: the list has 3 values", ""),
    ("use xs[-1:-2]", "E205", "-1:-2", "a slice from 2 to 1 ends before it begins: the list has 3 values", ""),
    ("use xs[3:]", "E205", "xs[3:]", "a list of values needs at least one value; `xs[3:]` has none", ""),
    ("use xs[0]; concat(xs[1:1])", "E205", "xs[1:1]", "a list of values needs at least one value; `xs[1:1]` has", ""),
    ("use xs[:1.5]", "E204", "1.5", "a bound of a slice must be an int; found 1.5", ""),
    ("use xs[true:]", "E204", "true", "a bound of a slice must be an int; found true", ""),
    ("use xs[0][1:]", "E204", "xs[0][1:]", "only a list or a shape has elements; found a value of shape 4x32x32", ""),
    (
        "conv(sum([1, 2][:3]), 1x1)",
        "E205",
        "3",
        "a slice with the bound 3 is out of range: [1, 2] has 2 elements",
        "leave it out",
    ),
    ("conv(sum([1][2:]), 1x1)", "E205", "2", "a slice with the bound 2 is out of range: [1] has 1 element", ""),
    ("use xs[0]; resize(shape_here[3:])", "E205", "3:", "a shape has at least one size; this slice of 4x32x32", ""),
    ("use xs[unknown:]", "E101", "unknown", "unknown name `unknown`", "name a value with `as NAME` before it is used"),
    ("use xs[::2]", "E002", ":", "a slice of a list has no step; found `:`", "write `xs[START:STOP]`, or a list of"),
    ("use xs[0:2:1]", "E002", ":", "a slice of a list has no step; found `:`", "write `xs[START:STOP]`, or a list of"),
]


@pytest.mark.parametrize(("body", "code", "place", "message", "hint"), ERRORS, ids=[case[0] for case in ERRORS])
def test_a_wrong_slice_is_one_error(body: str, code: str, place: str, message: str, hint: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(VALUES + body))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == code
    assert diagnostic.message.startswith(message)
    assert diagnostic.span is not None
    assert diagnostic.span.text == place
    assert diagnostic.hint.startswith(hint)
    assert bool(diagnostic.hint) is bool(hint)


def test_the_formatter_puts_no_spaces_into_a_slice_except_around_operators() -> None:
    text = "let a = xs[ 1 : -1 ]+xs[ : n ]\nlet b = xs[n-1 :][0]\n"
    assert format_text(Source("a.arch", text)) == "let a = xs[1:-1] + xs[:n]\nlet b = xs[n - 1:][0]\n"


COLUMNS = """network n {
    input image: 4x9x9
    param a = 0 in {0, 1, 2, 3}; param b = 3 in {-1, 1, 2, 3, 4}; param w = 4 in {4, 8}
    let widths = [w, 8, 12]
    for c in widths[a:b] { conv(c, 1x1) }
    split 3 { conv(w, 1x1) } merge list as xs
    concat(xs[:b])
}"""


def test_candidates_slice_lists_of_numbers_and_of_values_alike() -> None:
    choices = {"a": [0, 1, 2, 3], "b": [-1, 1, 2, 3, 4], "w": [4, 8]}
    rows = [dict(zip(choices, row, strict=True)) for row in product(*choices.values())]
    space = space_from(COLUMNS)
    priced = space.cost({name: [row[name] for row in rows] for name in choices})
    figures = zip(priced.params, priced.flops, priced.macs, priced.activations, priced.valid, strict=True)
    assert [tuple(map(int, row)) for row in figures] == [tuple(map(int, bound(space, row))) for row in rows]
    assert 0 < priced.valid.sum() < len(rows)
