"""Arguments filled in before a call: positions go on after them, and none of them can be given again."""

from __future__ import annotations

import pytest
from error_examples import net
from graph_reading import nodes

import resnext_dsl as rx

TEMPLATE = "template t(c, k = 3, s = 1, act = relu) { conv(c, k, stride=s); act }\n"


def attributes(body: str, before: str = "") -> tuple[int, object, object]:
    """Channels, kernel and stride of the convolution."""
    node = next(node for node in nodes(body, before).values() if node.operator == "conv")
    values = dict(node.attributes or ())
    return node.shape[0], values["kernel"], values["stride"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("let u = conv(8)\nu(3)", (8, (3, 3), (1, 1))),
        ("let u = conv(8)\nu(3, 2)", (8, (3, 3), (2, 2))),
        ("let u = conv(kernel=3)\nu(8, 2)", (8, (3, 3), (2, 2))),
        ("let u = conv(stride=2)\nu(8, 3)", (8, (3, 3), (2, 2))),
        ("let u = conv(8)\nlet v = u(3)\nv(2)", (8, (3, 3), (2, 2))),
        ("let u = conv(8)\nlet v = u(stride=2)\nv(3)", (8, (3, 3), (2, 2))),
        ("let wide = t(16)\nwide(5)", (16, (5, 5), (1, 1))),
        ("let wide = t(16)\nwide(5, 2, silu)", (16, (5, 5), (2, 2))),
        ("let wide = t(k=5)\nwide(16, 2)", (16, (5, 5), (2, 2))),
    ],
)
def test_positions_go_on_after_the_filled_in_arguments(body: str, expected: tuple[object, ...]) -> None:
    assert attributes(body, TEMPLATE) == expected


def test_defaults_of_a_network_are_not_filled_in() -> None:
    assert attributes("default conv(kernel=3, stride=2)\nconv(8, 1)") == (8, (1, 1), (2, 2))
    assert attributes("default conv(kernel=3, stride=2)\nlet u = conv(8)\nu(stride=1)") == (8, (3, 3), (1, 1))


@pytest.mark.parametrize(
    ("body", "message", "found", "places"),
    [
        ("let u = conv(8)\nu(3, channels=4)", "`conv` has the argument `channels` twice", "channels", ["8"]),
        ("let wide = t(16)\nwide(c=5)", "`t` has the argument `c` twice", "c", ["16"]),
        ("let wide = t(c=16)\nlet more = wide(c=5)\nmore()", "`t` has the argument `c` twice", "c", ["c=16"]),
        ("let wide = t(c=16)\nlet more = wide(k=5)\nmore(k=1)", "`t` has the argument `k` twice", "k", ["k=5"]),
        ("conv(8, 3, kernel=1)", "`conv` has the argument `kernel` twice", "kernel", ["3"]),
        (
            "let u = t(1, 3, 1)\nu(relu, 2)",
            "`t` takes at most 1 more argument; this one is too many",
            "2",
            ["1", "3", "1"],
        ),
        ("let u = relu6()\nlet v = t(1, 3, 1, u)\nv(2)", "`t` takes no more arguments", "2", ["1", "3", "1", "u"]),
        ("let u = bn(eps=0.1)\nu(eps=0.2)", "`bn` has the argument `eps` twice", "eps", ["eps=0.1"]),
    ],
)
def test_an_argument_given_twice_names_both_places(body: str, message: str, found: str, places: list[str]) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(body, TEMPLATE))
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E203", message)
    assert diagnostic.span is not None
    assert diagnostic.span.text == found
    assert [note.span.text for note in diagnostic.notes if note.span is not None] == places


def test_the_help_lists_the_arguments_that_are_left() -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net("let u = conv(stride=2)\nu(8)"))
    assert caught.value.diagnostics[0].message == "`conv` needs the argument `kernel`"
    optional = ("padding", "dilation", "groups", "bias", "standardize", "gain", "gamma", "eps")
    usage = f"left to fill in: `conv(channels, kernel, {', '.join(f'{name}=...' for name in optional)})`"
    assert caught.value.diagnostics[0].hint == usage


def test_a_value_with_arguments_stays_equal_wherever_they_were_filled_in() -> None:
    text = "param act = leaky_relu(0.1) in {leaky_relu(0.1), relu}\nact"
    assert rx.loads(net(text), act="leaky_relu(0.1)").ir.nodes[-1].operator == "leaky_relu"
