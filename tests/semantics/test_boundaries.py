"""Bounds from both sides: the last value that is allowed, and the first one that is not."""

from __future__ import annotations

import pytest
from error_examples import net
from graph_reading import channels

import resnext_dsl as rx


def code(body: str) -> str:
    """The code of the only error of a body, or "" if it has none."""
    try:
        rx.loads(net(body))
    except rx.ArchError as problem:
        (diagnostic,) = problem.diagnostics
        return diagnostic.code
    return ""


@pytest.mark.parametrize(("index", "width"), [("-3", 4), ("-1", 9), ("0", 4), ("2", 9)])
def test_the_first_and_the_last_index_of_a_list_and_of_a_shape(index: str, width: int) -> None:
    assert channels(f"[4, 6, 9][{index}]") == width
    assert channels(f"(4 x 6 x 9)[{index}]") == width


@pytest.mark.parametrize("index", ["-4", "3"])
def test_an_index_beyond_either_end_is_an_error(index: str) -> None:
    for value in ("[4, 6, 9]", "(4 x 6 x 9)"):
        with pytest.raises(rx.ArchError, match=rf"index {index} is out of range: .* has 3 elements, counted from 0"):
            rx.loads(net(f"conv({value}[{index}], 1x1)"))


DIGITS = [
    ("10 ** 30 - 1", "E404"),  # the power alone has 31 digits
    ("10 ** 29 * 9", ""),
    ("10 ** 29 * 10", "E404"),
    ("9" * 30, ""),
    ("9" * 30 + " + 1", "E404"),
    ("9" * 31, "E404"),
    ("-" + "9" * 30, ""),
    ("-" + "9" * 30 + " - 1", "E404"),
    ("(-10) ** 29", ""),
    ("(-10) ** 30", "E404"),
    ("(-10) ** 31", "E404"),
    ("2 ** 99", ""),
    ("2 ** 100", "E404"),
    ("(-2) ** 99", ""),
    ("(-2) ** 101", "E404"),
    ("2 ** 1000000000", "E404"),
    ("(-2) ** 1000000000", "E404"),
    ("(-3) ** 999999999", "E404"),
    ("1 ** 1000000000", ""),
    ("(-1) ** 1000000001", ""),
    ("0 ** 1000000000", ""),
]


@pytest.mark.parametrize(("text", "expected"), DIGITS)
def test_an_int_has_at_most_30_digits_with_either_sign(text: str, expected: str) -> None:
    assert code(f"let n = {text}\n relu") == expected


ALLOWED = [
    ("repeat 0 { bn }; relu", "repeat -1 { bn }; relu", "E205"),
    ("split 1 { relu } merge add", "split 0 { relu } merge add", "E205"),
    ("conv(1, 1x1)", "conv(0, 1x1)", "E205"),
    ("conv(2147483647, 1x1)", "conv(2147483648, 1x1)", "E205"),
    ("conv(4, 32x32, padding=0)", "conv(4, 33x33, padding=0)", "E303"),
    ("conv(4, 34x34, padding=1)", "conv(4, 35x35, padding=1)", "E303"),
    ("maxpool(4x4, padding=2)", "maxpool(4x4, padding=3)", "E205"),
    ("avgpool(5x5, padding=2)", "avgpool(5x5, padding=3)", "E205"),
    ("dropout(1.0)", "dropout(1.01)", "E205"),
    ("dropout(0.0)", "dropout(-0.01)", "E205"),
    ("drop_path(0.99)", "drop_path(1.0)", "E205"),
    ("bn(eps=1e-9)", "bn(eps=0.0)", "E205"),
    ("slice(0, 3)", "slice(0, 4)", "E205"),
    ("slice(2, 3)", "slice(3, 3)", "E205"),
    ("pad_channels(3)", "pad_channels(2)", "E205"),
    ("conv(3, 1x1, groups=3)", "conv(3, 1x1, groups=2)", "E302"),
    ("param w = 64 in 1..64\n relu", "param w = 65 in 1..64\n relu", "E205"),
    ("param w = 1 in 1..64\n relu", "param w = 0 in 1..64\n relu", "E205"),
    ("param w = 7 in 1..8 step 3\n relu", "param w = 8 in 1..8 step 3\n relu", "E205"),
]


@pytest.mark.parametrize(("right", "wrong", "expected"), ALLOWED)
def test_the_last_value_that_is_allowed_and_the_first_that_is_not(right: str, wrong: str, expected: str) -> None:
    assert code(right) == ""
    assert code(wrong) == expected


@pytest.mark.parametrize(
    ("limit", "met"),
    [
        ("<= 216", True), ("<= 215", False), ("< 217", True), ("< 216", False), (">= 216", True), (">= 217", False),
        ("> 215", True), ("> 216", False), ("== 216", True), ("== 215", False), ("== 217", False),
        ("in 216..300", True), ("in 217..300", False), ("in 100..216", True), ("in 100..215", False),
    ],
)  # fmt: skip
def test_a_limit_at_what_the_network_has_and_one_beside_it(limit: str, met: bool) -> None:
    network = rx.loads(net(f"conv(8, 3x3)\n budget {{ params {limit} }}"))
    assert all(line.met for line in network.usage()) == met
