"""Domains of parameters: which values belong to them, in which order, and how they are written."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from error_examples import net

import resnext_dsl as rx
from resnext_dsl.semantics.domain import Domain


def values_of(low: str, high: str, step: str) -> list[Fraction]:
    """The values of a range, in exact numbers."""
    values, end = [Fraction(low)], Fraction(high)
    while values[-1] + Fraction(step) <= end:
        values.append(values[-1] + Fraction(step))
    return values


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [
        ("2", "11", "3"),
        ("1", "4", "1"),
        ("0.1", "0.75", "0.1"),
        ("1", "2.5", "0.5"),
        ("1", "2", "0.1"),
        ("0.1", "3", "1"),
    ],
)
def test_a_range_has_the_values_of_exact_numbers(low: str, high: str, step: str) -> None:
    is_whole = not any("." in text for text in (low, high, step))
    kind: Any = int if is_whole else float
    domain = Domain((), *(kind(text) for text in (low, high, step)))
    expected = values_of(low, high, step)
    assert domain.size == len(expected)
    assert [Fraction(str(value)) for value in domain.elements()] == expected
    assert [domain.place_of(kind(value)) for value in expected] == list(range(len(expected)))
    assert all(kind(value) in domain for value in expected)
    outside = {expected[0] - Fraction(step), expected[-1] + Fraction(step), expected[0] + Fraction(step) / 2}
    assert not any(float(value) in domain for value in outside)
    assert domain.place_of(float(max(outside))) is None


@pytest.mark.parametrize(
    ("domain", "value", "belongs"),
    [
        (Domain(low=1, high=3), 2, True),
        (Domain(low=1, high=3), 2.5, False),
        (Domain(low=1, high=3), True, False),
        (Domain(low=1, high=3), "2", False),
        (Domain(low=0.5, high=3.0), 2.25, True),
        (Domain(low=0.5, high=3.0), 3, True),
        (Domain((1, 2)), 1, True),
        (Domain((1, 2)), 1.0, False),
        (Domain((1, 2)), True, False),
        (Domain((True, 1)), True, True),
    ],
)
def test_a_value_belongs_to_a_domain_with_its_type(domain: Domain, value: Any, belongs: bool) -> None:
    assert (value in domain) is belongs


def test_the_place_in_a_set_is_that_of_the_value_with_its_type() -> None:
    domain = Domain((1.0, True, 1, "a"))
    assert [domain.place_of(value) for value in (1.0, True, 1, "a", "b", 2)] == [0, 1, 2, 3, None, None]


@pytest.mark.parametrize("text", ["1..8", "1..9 step 2", "1..64 log", "0.1..1.0 log", "{1, 2}", "{true, false}"])
def test_a_domain_is_written_as_in_a_spec(text: str, tmp_path: Path) -> None:
    default = {"0": "0.5", "{t": "true"}.get(text[:2].rstrip("."), "1")
    file = tmp_path / "spec.arch"
    file.write_text(net("conv(8, 1x1)").replace("input", f"param a = {default} in {text}\n    input"))
    (dimension,) = rx.space(file).layout.dimensions
    assert str(dimension.domain) == text


def test_a_domain_of_lists_is_written_by_its_elements() -> None:
    assert str(Domain(each=(Domain((1, 2)), Domain(low=1, high=3)))) == "[{1, 2}, 1..3]"


def test_a_list_of_domains_needs_a_list_as_the_default() -> None:
    text = net("conv(8, 1x1)").replace("input", "param a = 3 in [1..4, 1..4]\n    input")
    with pytest.raises(rx.ArchError) as caught:
        rx.loads(text)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E204"
    assert diagnostic.message == "a domain in `[ ]` needs a list as the default; found 3"
    assert diagnostic.span is not None
    assert diagnostic.span.text == "[1..4, 1..4]"


def test_a_list_of_domains_has_the_product_of_their_sizes() -> None:
    each = (Domain((1, 2, 5)), Domain(low=1, high=7, step=2))
    assert Domain(each=each).size == 12
    assert Domain(each=(*each, Domain(low=0.5, high=1.0))).size is None
    assert Domain(each=(Domain(low=0.5, high=1.0, step=0.25), *each)).size == 36
