"""`gain`, `gamma` and `eps` of `conv` without standardized weights: an error at the argument, however it gets its value."""

from __future__ import annotations

from itertools import product

import pytest
from error_examples import net
from space_oracle import bound, space_from

import resnext_dsl as rx

GAIN = "`gain` needs `standardize=scaled`; found `standardize=false`"

PLACES = {
    "a call": ("conv(8, 3x3, gain=2.0)", "2.0"),
    "an expression": ("param g = 0.5\nconv(8, 3x3, gain=g * 4)", "g * 4"),
    "a default of the network": ("default conv(gain=2.0)\nconv(8, 3x3)", "2.0"),
    "a default that turns standardization off": ("default conv(gain=2.0, standardize=false)\nconv(8, 3x3)", "2.0"),
    "an argument of a template": ("template block(g) { conv(8, 3x3, gain=g) }\nblock(1.0); block(2.0)", "g"),
    "a default of a template": ("template block(g = 2.0) { conv(8, 3x3, gain=g) }\nblock", "g"),
    "a filled-in operator": ("let c = conv(kernel=3x3, gain=2.0)\nc(8)", "gain=2.0"),
    "an operator of a parameter": ("param c = conv(8, 3x3, gain=2.0)\nc", "gain=2.0"),
    "a shared instance": ("shared c = conv(8, 3x3, gain=2.0)\nc", "gain=2.0"),
    "a shortcut": ("default conv(gain=2.0)\nresidual { maxpool(2); pad_channels(8) }", "2.0"),
    "a path": ("split 2 { conv(8, 3x3, gain=2.0) } merge add", "2.0"),
    "a list": ("let gains = [1.0, 2.0]\nrepeat 2 as i { conv(8, 3x3, gain=gains[i]) }", "gains[i]"),
}


@pytest.mark.parametrize(("body", "place"), PLACES.values(), ids=PLACES)
def test_a_gain_without_scaled_weights_is_one_error_at_the_argument(body: str, place: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(body))
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E205", GAIN)
    assert diagnostic.hint == "write `standardize=scaled`, or remove `gain`"
    assert diagnostic.span is not None
    assert diagnostic.span.text == place


def test_overrides_are_checked() -> None:
    text = net("param g = 1.0\nparam scale = true\nconv(8, 3x3, standardize=scaled if scale else true, gain=g)")
    rx.loads(text, g=2.0)
    rx.loads(text, scale=False)
    with pytest.raises(rx.ArchError, match=GAIN.replace("false", "true")):
        rx.loads(text, g=2.0, scale=False)


def test_a_default_line_of_a_derived_network_is_checked() -> None:
    text = "from networks.resnet18 import resnet18\nnetwork n = resnet18() {{ default conv({}) }}\n"
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text.format("eps=1e-5"))
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.message == "`eps` needs `standardize=true` or `standardize=scaled`; found `standardize=false`"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "1e-5"
    network = rx.loads(text.format("standardize=true, eps=1e-5"))
    assert "StandardizedConv2d(3, 64, 7, stride=2, padding=3, bias=False, eps=1e-05)" in network.emit()


def test_a_call_that_turns_standardization_off_takes_no_default_that_needs_it() -> None:
    default = "default conv(standardize=scaled, gain=2.0, gamma=1.5, eps=1e-5, bias=true)"
    network = rx.loads(net(f"{default}\nconv(8, 3x3, standardize=false); conv(8, 3x3, standardize=true); conv(8, 3x3)"))
    plain, standardized, scaled = (dict(node.attributes) for node in network.ir.nodes[1:4] if node.attributes)
    assert (plain["gain"], plain["gamma"], plain["eps"], plain["bias"]) == (1.0, 1.0, 1e-6, True)
    assert (standardized["gain"], standardized["gamma"], standardized["eps"]) == (1.0, 1.0, 1e-5)
    assert (scaled["gain"], scaled["gamma"], scaled["eps"]) == (2.0, 1.5, 1e-5)


@pytest.mark.parametrize("call", ["c(standardize=false)", "conv(8, 3x3, standardize=false)"])
def test_so_does_an_instance_and_a_filled_in_operator(call: str) -> None:
    default = "default conv(standardize=scaled, gain=2.0)\nlet c = conv(8, 3x3)"
    for body in (f"{default}\n{call}", f"{default}\nshared s = {call}\ns"):
        (node,) = (node for node in rx.loads(net(body)).ir.nodes if node.operator == "conv")
        assert dict(node.attributes or ())["gain"] == 1.0


def test_the_default_value_is_no_error() -> None:
    plain, stated = (rx.loads(net(f"conv(8, 3x3{more})")) for more in ("", ", gain=1.0, gamma=1.0, eps=1e-6"))
    assert plain.fingerprint == stated.fingerprint


COLUMNS = """network n {
    input image: 4x9x9
    param s = 0; param g = 1.0; param e = 1e-6; param d = 0
    default conv(eps=e)
    conv(8, 3x3, standardize=scaled if s == 2 else s == 1, gain=g)
    if d == 1 { conv(4, 1x1) } else { conv(4, 1x1, standardize=false) }
}"""


def test_candidates_of_a_space_are_invalid_exactly_if_their_network_is() -> None:
    choices = {"s": [0, 1, 2], "g": [1.0, 2.0], "e": [1e-6, 1e-5], "d": [0, 1]}
    rows = [dict(zip(choices, row, strict=True)) for row in product(*choices.values())]
    space = space_from(COLUMNS)
    priced = space.cost({name: [row[name] for row in rows] for name in choices})
    figures = zip(priced.params, priced.flops, priced.macs, priced.activations, priced.valid, strict=True)
    assert [tuple(map(int, row)) for row in figures] == [tuple(map(int, bound(space, row))) for row in rows]
    assert (priced.method, priced.valid.sum()) == ("closed form", 12)
