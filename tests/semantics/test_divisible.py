"""`divisible` against its rule, stated without rounding, and against torchvision's code, one by one and in columns."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import pytest
from references import torchvision
from space_oracle import METHODS, only, space_from

from resnext_dsl.semantics.functions import divisible

VALUES = [*range(1, 130), 255, 256, 257, 1000, 1001]
DIVISORS = [1, 2, 3, 4, 5, 7, 8, 9, 10, 16, 18, 63]
SPACE = "network n { input image: 1x1x1\n param value = 1\n param divisor = 1\n conv(divisible(value, divisor), 1x1) }"


def nearest(value: Fraction, divisor: int) -> int:
    """The multiple that is nearest (the larger of two), of those that are not below 9/10 of the value."""
    multiples = range(divisor, int(value) + 2 * divisor + 1, divisor)
    near = [m for m in multiples if 10 * m >= 9 * value]
    first = max(divisor, min(multiples, key=lambda m: (abs(m - value), -m)))
    return first if first in near else min(near)


def test_the_rule_on_a_grid() -> None:
    for value, divisor in product(VALUES, DIVISORS):
        assert divisible(value, divisor) == nearest(Fraction(value), divisor), (value, divisor)


def test_torchvision_rounds_the_same_way() -> None:
    theirs = torchvision.models._utils._make_divisible
    for value, divisor in product([*VALUES, 0.5, 3.2, 10.01, 22.5, 35.55, 99.99], DIVISORS):
        assert divisible(value, divisor) == theirs(value, divisor), (value, divisor)


@pytest.mark.parametrize(
    ("value", "divisor", "multiple"),
    [(10, 9, 9), (20, 18, 18), (11, 9, 18), (12, 8, 16), (11, 8, 16), (4, 8, 8), (70, 63, 63), (71, 63, 126)],
)
def test_a_multiple_of_exactly_nine_tenths_stays(value: int, divisor: int, multiple: int) -> None:
    assert divisible(value, divisor) == multiple


@pytest.mark.parametrize("method", METHODS)
def test_columns_follow_the_rule(method: str) -> None:
    pairs = list(product(VALUES[::9] if method == METHODS[2] else VALUES, DIVISORS))
    space = space_from(SPACE)
    with only(method):
        found = space.cost({"value": [value for value, _ in pairs], "divisor": [divisor for _, divisor in pairs]})
    assert found.method == method
    assert found.activations.tolist() == [nearest(Fraction(value), divisor) for value, divisor in pairs]
