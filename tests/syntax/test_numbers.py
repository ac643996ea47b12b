"""Number literals and amounts against Python's `decimal`."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import SpecSyntaxError
from resnext_dsl.foundation.source import Source
from resnext_dsl.foundation.units import BYTES, TIME
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.parse import parse

POWERS = {"": 0, "K": 3, "M": 6, "G": 9, "T": 12}
UNITS = {"ns": Decimal("1e-9"), "us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1), "B": Decimal(1)}
UNITS |= {f"{letter}B": Decimal(10) ** POWERS[letter] for letter in "KMGT"}
UNITS |= {f"{letter}iB": Decimal(2) ** (10 * power) for power, letter in enumerate("KMGT", 1)}


def written(text: str) -> s.Literal:
    tree = parse(Source("a.arch", f"let c = {text}\n"))
    constant = tree.items[0]
    assert isinstance(constant, s.Let)
    assert isinstance(constant.value, s.Literal)
    return constant.value


digits = st.from_regex(r"[0-9]{1,12}", fullmatch=True)
points = st.one_of(st.just(""), st.from_regex(r"\.[0-9]{1,12}", fullmatch=True))
exponents = st.one_of(st.just(""), st.from_regex(r"[eE][+-]?[0-9]{1,3}", fullmatch=True))


@given(digits, points, exponents, st.sampled_from(sorted(POWERS)))
def test_numbers(whole: str, fraction: str, exponent: str, suffix: str) -> None:
    text = whole + fraction + exponent
    with localcontext(prec=2000):
        exact = Decimal(text).scaleb(POWERS[suffix])
    if not fraction and not exponent:
        expected: float = int(exact)
    elif abs(int(exponent[1:] or 0)) > 300 or (exact and not Decimal("1e-300") <= exact <= Decimal("1e300")):
        with pytest.raises(SpecSyntaxError) as caught:
            written(text + suffix)
        assert [d.code for d in caught.value.diagnostics] == ["E205"]
        assert caught.value.diagnostics[0].hint == "numbers range from 1e-300 to 1e300"
        return
    else:
        expected = int(exact) if suffix and exact == exact.to_integral_value() else float(exact)
    value = written(text + suffix).value
    assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize("text", ["1e300", "1e-300", "0e300", "0.0", "10e299", f"1.{'0' * 90}1"])
def test_numbers_at_the_ends_of_the_range(text: str) -> None:
    assert written(text).value == float(text)


@pytest.mark.parametrize("text", ["1e301", "1e-301", "11e299", "0.9e-300", "1e300K", "123456e299", f"1.{'0' * 99}1"])
def test_numbers_out_of_range(text: str) -> None:
    with pytest.raises(SpecSyntaxError, match="is out of range"):
        written(text)


@given(digits, points, st.sampled_from(sorted(UNITS)))
def test_amounts(whole: str, fraction: str, unit: str) -> None:
    with localcontext(prec=200):
        exact = Decimal(whole + fraction) * UNITS[unit]
    expected = int(exact) if unit.endswith("B") and exact == exact.to_integral_value() else float(exact)
    written_limit = (
        f"latency(cpu, 1) <= {whole}{fraction}{unit}" if unit.endswith("s") else f"weights <= {whole}{fraction}{unit}"
    )
    network = rx.loads(f"network n {{ input x: 3 x 4 x 4\n conv(4, 1x1)\n budget {{ {written_limit} }} }}")
    (limit,) = network.limits_of([])
    assert (limit.bound, type(limit.bound)) == (expected, type(expected))


def test_the_tests_know_every_unit() -> None:
    assert set(TIME.sizes) | set(BYTES.sizes) == set(UNITS)
