"""Samples: valid, within budgets, even, without repeats, reproducible; and an end to looking where there is nothing."""

from __future__ import annotations

import math
import random
from collections import Counter

import numpy as np
import pytest
from dimension_oracle import TWIN, as_set, drawn_twin
from hypothesis import given, settings
from hypothesis import strategies as st
from space_oracle import space_from

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.spaces import sample
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space

BUDGETS = ("part", "other", "bound", "memory")


def hold(space: Space, budget: str | None, count: int, seed: int) -> None:
    """Every candidate drawn is one of the space, checks, and costs what its network does."""
    found = space.sample(count, seed, budget)
    assert len(set(found)) == len(found)
    for place, candidate in enumerate(found):
        assert candidate in space
        network = space.bind(candidate)
        network.check(*([budget] if budget else []))
        cost = network.cost()
        assert tuple(found.costs[m][place] for m in COST_MEASURES) == tuple(getattr(cost, m) for m in COST_MEASURES)


@pytest.mark.parametrize("budget", BUDGETS)
def test_what_is_drawn_keeps_its_budget(budget: str) -> None:
    hold(TWIN.space, budget, 20, 3)


@settings(max_examples=25)
@given(st.integers(0, 10**9))
def test_what_is_drawn_from_random_spaces_keeps_their_budgets(seed: int) -> None:
    twin = drawn_twin(random.Random(seed))
    wanted = as_set(twin.kept())
    if wanted:
        hold(twin.space, None, 15, seed)
        everything = twin.space.sample(len(wanted) + 1, seed)
        assert set(everything) == wanted
        assert everything.complete
        assert everything.fraction == len(wanted) / len(twin.candidates())
    else:
        with pytest.raises(rx.RequirementError, match=r"E604.*none of the [\d,]+ candidates"):
            twin.space.sample(1)


@pytest.mark.parametrize(
    ("limit", "widths"),
    [
        ("b.params <= 1168", {4, 8}),
        ("b.0.macs < 73728", {4}),
        ("a.params in 1168..1752", {8, 12}),
        ("b.depth == 2", None),
    ],
)
def test_a_budget_on_the_second_stage_of_a_template_is_kept(limit: str, widths: set[int] | None) -> None:
    """A call of equal arguments and shape is expanded once; each stage has its own share. A stage of width w has 2 * 9 * 8 * w + 16 parameters."""
    space = space_from(
        f"""network n {{
        input image: 3x8x8
        param width = 8 in {{4, 8, 12, 16}}
        template unit(c) {{ conv(c, 3x3); conv(8, 3x3); bn }}
        stem {{ conv(8, 1x1) }}
        stage a repeat 1 {{ unit(width) }}
        stage b repeat 1 {{ unit(width) }}
        budget {{ {limit} }}
    }}"""
    )
    drawn = {candidate["width"] for candidate in space.sample(4)}
    assert drawn == (widths or {4, 8, 12, 16})
    assert {candidate["width"] for candidate in space.candidates()} == drawn


def test_a_space_without_domains_has_one_candidate_or_none() -> None:
    text = "network n {{ input image: 3x8x8\n conv(8, 3x3)\n budget {{ params {} 216 }} }}"
    (candidate,) = space_from(text.format("<=")).sample(4)
    assert dict(candidate) == {}
    space = space_from(text.format("<"))
    assert list(space.candidates()) == []
    with pytest.raises(rx.RequirementError, match="none of the 1 candidates meets the budgets") as caught:
        space.sample(4)
    (diagnostic,) = caught.value.diagnostics
    assert [note.message for note in diagnostic.notes] == ["1 candidates miss `params < 216`; the nearest has 216"]


def test_shipped_networks_are_drawn_from() -> None:
    space = rx.space("resnext50_32x4d")
    hold(space, None, 10, 0)
    assert space.screen().method == "closed form"


# --- evenness ---


def quantile(freedom: int, normal: float = 4.75) -> float:
    """That of the chi-square distribution beyond which one in a million is (Wilson and Hilferty 1931)."""
    share = 2 / (9 * freedom)
    return float(freedom * (1 - share + normal * math.sqrt(share)) ** 3)


def hold_even(counts: Counter[Candidate], expected: set[Candidate], draws: int) -> None:
    assert set(counts) <= expected
    each = draws / len(expected)
    assert each >= 20, "the approximation needs more draws"
    statistic = sum((counts[candidate] - each) ** 2 / each for candidate in expected)
    assert statistic < quantile(len(expected) - 1)


@pytest.mark.parametrize("budget", ["part", "bound"])
def test_single_draws_are_even_over_what_will_do(budget: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "FIRST", {True: 4, False: 4})
    space = TWIN.space
    expected = as_set(TWIN.kept(budget))
    draws = 25 * len(expected)
    hold_even(Counter(space.sample(1, seed, budget)[0] for seed in range(draws)), expected, draws)


def test_every_place_in_a_sample_is_even(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "FIRST", {True: 4, False: 4})
    space = space_from(
        "network n { input image: 2x8x8\n param a = 1 in 1..5\n param b = 1 in 1..3 when a > 2\n"
        " require a * b != 5\n conv(a * b, 1x1) }"
    )
    expected = set(space)
    assert len(expected) == 10
    draws = [space.sample(10, seed) for seed in range(400)]
    for place in (0, 3, 9):  # the last ones are found by going through the space
        hold_even(Counter(drawn[place] for drawn in draws), expected, len(draws))


def test_a_range_in_the_logarithm_is_even_in_that() -> None:
    text = "network n {{ input image: 2x8x8\n param a = {0} in {1}\n conv(2, 1x1) }}"
    numbers = np.log10([c["a"] for c in space_from(text.format("0.01", "1e-4..1 log")).sample(4000)])
    counts = np.histogram(numbers, bins=8, range=(-4, 0))[0]
    assert counts.sum() == 4000
    assert ((counts - 500) ** 2 / 500).sum() < quantile(7)
    dense = space_from(text.format("0.25", "0..1")).sample(4000)
    counts = np.histogram([c["a"] for c in dense], bins=8, range=(0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < quantile(7)
    layout = space_from(text.format("4", "1..64 log")).layout
    places = layout.draw(np.random.default_rng(0), 30_000)[0]
    wanted = np.diff(np.log(np.arange(65) + 0.5)) / np.log(64.5 / 0.5) * 30_000
    assert ((np.bincount(places, minlength=64) - wanted) ** 2 / wanted).sum() < quantile(63)


def test_a_deciding_range_in_the_logarithm_is_even_in_that() -> None:
    space = space_from(
        "network n { input image: 2x8x8\n param a = 4 in 1..8 log\n param b = 1 in 1..3 when a > 4\n conv(2, 1x1) }"
    )
    places = space.layout.draw(np.random.default_rng(0), 30_000)
    chances = np.diff(np.log(np.arange(9) + 0.5)) * np.where(np.arange(1, 9) > 4, 3, 1)
    wanted = chances / chances.sum() * 30_000
    assert ((np.bincount(places[0], minlength=8) - wanted) ** 2 / wanted).sum() < quantile(7)
    assert ((places[1] >= 0) == (places[0] + 1 > 4)).all()


# --- the same again ---


def test_a_seed_gives_the_same_and_a_smaller_sample_is_the_beginning() -> None:
    space = TWIN.space
    whole = space.sample(60, 7, "bound")
    assert whole == TWIN.space.sample(60, 7, "bound")
    assert whole[:10] == space.sample(10, 7, "bound")
    assert whole != space.sample(60, 8, "bound")
    many = rx.space("resnext50_32x4d")
    assert many.sample(500, 1)[:40] == many.sample(40, 1)


def test_a_sample_of_nothing() -> None:
    assert list(TWIN.space.sample(0)) == []
    assert TWIN.space.sample(0).fraction == 0


def test_the_space_is_gone_through_where_it_has_fewer() -> None:
    found = TWIN.space.sample(10_000, budget="part")
    assert found.complete
    assert set(found) == as_set(TWIN.kept("part"))
    assert found.looked_at == TWIN.space.size
    assert found.kept == len(found)


def test_several_budgets_are_held_together() -> None:
    both = TWIN.space.sample(1000, budget=["part", "memory"])
    assert set(both) == as_set(TWIN.kept("part", "memory"))


# --- nothing ---


def test_a_budget_that_empties_a_space_says_what_is_in_the_way() -> None:
    with pytest.raises(rx.RequirementError) as caught:
        TWIN.space.sample(3, budget="never")
    (found,) = caught.value.diagnostics
    assert found.code == "E604"
    assert found.message == "none of the 240 candidates meets the budgets"
    first, second, *_ = found.notes
    least = min(rx.loads(TWIN.text, **row).cost().flops for row in TWIN.candidates() if row["width"] != 12)
    assert first.message == f"180 candidates miss `flops < 1,000` of budget `never`; the nearest has {least:,}"
    assert first.span is not None
    assert first.span.line == 20
    assert second.message == "60 candidates are not valid"
    assert any("no twelve" in note.message for note in found.notes)


def test_looking_ends_in_a_space_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "LOOKS", {True: 20_000, False: 100})
    text = "network n {{ input image: 2x8x8\n param a = 0.5 in 0..1\n param w = 8 in 8..64\n {}\n conv(w, 1x1); budget {{ {} }} }}"
    with pytest.raises(rx.RequirementError, match="none of the 32,768 drawn candidates meets the budgets"):
        space_from(text.format("", "params <= 10")).sample(1)
    with pytest.raises(rx.RequirementError, match="none of the 32,768 drawn candidates is valid"):
        space_from(text.format("require a == 0.5", "params <= 1K")).sample(1)
    with pytest.raises(rx.RequirementError, match=r"found only \d+ of 40 candidates among 32,768 drawn"):
        space_from(text.format("require abs(a - 0.5) < 0.0001", "params <= 1K")).sample(40)
    found = space_from(text.format("require abs(a - 0.5) < 0.1", "params <= 1K")).sample(40)
    assert all(abs(candidate["a"] - 0.5) < 0.1 for candidate in found)


def test_unknown_budgets_are_named() -> None:
    with pytest.raises(rx.ArchError, match=r"unknown budget `prat`(?s:.*)did you mean `part`"):
        TWIN.space.sample(1, budget="prat")


def test_a_space_without_end_is_not_gone_through() -> None:
    space = space_from("network n { input image: 2x8x8\n param a = 0.5 in 0..1\n conv(2, 1x1) }")
    assert space.size is None
    with pytest.raises(rx.ArchError, match=r"the domain 0\.0\.\.1\.0 of `a` is infinite"):
        list(space)


# --- the ways of counting ---


def test_wide_ranges_are_priced_candidate_by_candidate() -> None:
    space = space_from(
        "network n { input image: 3x8x8\n param a = 100 in 1..10000000\n param s = 0.5 in 0.1..1\n"
        " param d = 1 in 1..3 when a % 2 == 0\n conv(max(1, round(a * s)), 1x1); repeat d { conv(4, 1x1) }\n"
        " budget { params <= 1M; depth <= 3 } }",
        d=2,
    )
    found = space.sample(30)
    assert space.screen().method == "closed form, candidate by candidate"
    assert "`a` has too many values" in space.screen().reason
    for place, candidate in enumerate(found):
        assert space.bind(candidate).check()
        assert space.bind(candidate).cost().params == found.costs["params"][place]


def test_candidates_without_a_closed_form_are_taken_one_by_one() -> None:
    space = space_from(
        "network n { input image: 3x8x8\n param a = 1 in 1..4\n param flat = false in {true, false}\n"
        " conv(a, 1x1); if flat { flatten; linear(a) }\n budget { params <= 300 }\n budget big(input=3x64x64) { params <= 300 } }"
    )
    found = space.sample(100, budget="big")
    assert space.screen("big").method == "one by one"
    assert set(found) == set(space.candidates("big")) == {space.candidate({"a": a}) for a in range(1, 5)}


def test_float_bounds_are_compared_as_such() -> None:
    text = "network n {{ input image: 1x8x8\n param a = 1 in 1..9\n conv(a, 1x1); budget {{ params {} }} }}"
    for limit in ("<= 4.5", "< 4.5", "< 4", ">= 4.5", "> 4.5", "> 4", "== 4.0", "<= 4 * 1.0", "in 2.5..6.5"):
        space = space_from(text.format(limit))
        wanted = {a for a in range(1, 10) if not _exceeds(text.format(limit), a)}
        assert {candidate["a"] for candidate in space} == wanted, limit


def _exceeds(text: str, a: int) -> bool:
    try:
        rx.loads(text, a=a).check()
    except rx.BudgetError:
        return True
    return False
