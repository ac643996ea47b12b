"""Bounds from both sides: the last value that is allowed, and the first one that is not."""

from __future__ import annotations

import pytest
from error_examples import net
from graph_reading import channels

import resnext_dsl as rx
from resnext_dsl.foundation.options import Options


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
        ("in 216..216", True), ("in 215..215", False), ("in 0..216", True), (">= 0", True), ("<= 0", False),
    ],
)  # fmt: skip
def test_a_limit_at_what_the_network_has_and_one_beside_it(limit: str, met: bool) -> None:
    network = rx.loads(net(f"conv(8, 3x3)\n budget {{ params {limit} }}"))
    assert all(line.met for line in network.usage()) == met


@pytest.mark.parametrize(("limit", "text"), [("in 217..216", "217..216"), (">= -1", "-1"), ("<= 0 - 1", "0 - 1")])
def test_a_limit_without_a_number_between_its_bounds_is_an_error(limit: str, text: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(f"conv(8, 3x3)\n budget {{ params {limit} }}")).usage()
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.span and diagnostic.span.text) == ("E205", text)


@pytest.mark.parametrize("before", [5, 6, 7, 8, 9, 16, 17])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_stride_of_a_projection_gives_the_size_of_the_body(before: int, stride: int) -> None:
    """The convolution of the body has (n - 1) // stride + 1 rows; so has the projection with its stride."""
    network = rx.loads(f"network n {{ input x: 4 x {before} x 5\n residual {{ conv(4, 3x3, stride={stride} x 1) }} }}")
    (projection,) = (node for node in network.ir.nodes if dict(node.attributes or ()).get("kernel") == (1, 1))
    assert projection.shape == (4, (before - 1) // stride + 1, 5)
    found, _ = dict(projection.attributes)["stride"]
    assert (before - 1) // found + 1 == (before - 1) // stride + 1
    assert all((before - 1) // smaller + 1 > (before - 1) // stride + 1 for smaller in range(1, found))


def least_steps(body: str) -> int:
    """The fewest steps of computation with which a body loads."""
    low, high = 0, 1 << 14
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if loads_within(middle, body) else (middle, high)
    return high


def loads_within(most: int, body: str) -> bool:
    """Whether a body needs no more steps than these."""
    try:
        rx.loads(net(body), options=Options(max_steps=most))
    except rx.ArchError as problem:
        return problem.diagnostics[0].code != "E405"
    return True


def test_a_function_of_a_list_takes_a_step_for_each_element() -> None:
    body = "let l = range({}); conv({}, 1x1)"
    for name in ("len(l)", "sum(l)", "max(l)", "count(l, 1) + 1"):
        twice = f"{name} + {name}"
        small, large = (
            least_steps(body.format(n, twice)) - least_steps(body.format(n, name + " + 0")) for n in (10, 110)
        )
        assert large - small == 100


def test_an_operator_takes_a_step_beside_those_of_its_operands() -> None:
    for sign in "+-*":
        steps = [least_steps(f"let a = {f' {sign} '.join(['1'] * count)}; relu") for count in (2, 12)]
        assert steps[1] - steps[0] == 20


@pytest.mark.parametrize("most", [3, 8])
def test_functions_call_each_other_as_deep_as_the_option_says(most: int) -> None:
    def loads(depth: int) -> None:
        functions = "".join(f"fn f{i}(w) = f{i + 1}(w) + f{i + 1}(w)\n" for i in range(1, depth))
        text = net("conv(f1(1), 1x1); conv(f1(2), 1x1)", functions + f"fn f{depth}(w) = w\n")
        rx.loads(text, options=Options(max_calls=most))

    loads(most)
    with pytest.raises(rx.ArchError) as caught:
        loads(most + 1)
    assert caught.value.diagnostics[0].code == "E403"


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1_000_001, "`range` would have 1000001 elements"),
        (1_000_000, "the list would have more than 100000 elements"),
        (100_001, "the list would have more than 100000 elements"),
    ],
)
def test_a_range_has_at_most_a_million_elements_and_a_list_those_of_the_option(count: int, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(net(f"let a = range(7, {count + 7}); relu"))
    (diagnostic,) = caught.value.diagnostics
    assert (diagnostic.code, diagnostic.message) == ("E205", message)
    assert diagnostic.span is not None
    assert diagnostic.span.text == f"range(7, {count + 7})"
