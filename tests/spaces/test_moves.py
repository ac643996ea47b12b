"""Neighbours, changes, mixtures, vectors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from dimension_oracle import TWIN, Twin, as_set, drawn_twin
from hypothesis import given, settings
from hypothesis import strategies as st
from space_oracle import space_from

import resnext_dsl as rx
from resnext_dsl.spaces.candidate import Candidate

Row = dict[str, Any]


def flat(row: Row) -> Row:
    """A candidate with the elements of its lists by themselves."""
    found: Row = {}
    for name, value in row.items():
        found |= {f"{name}[{i}]": item for i, item in enumerate(value)} if isinstance(value, tuple) else {name: value}
    return found


def beside(twin: Twin, row: Row) -> set[Candidate]:
    """The neighbours of a candidate by brute force: of all candidates those that differ as the documentation says."""
    options: Row = {}
    for name, values in twin.values.items():
        lists = isinstance(values[0], tuple)
        columns = [sorted({value[i] for value in values}) for i in range(len(values[0]))] if lists else [values]
        options |= {f"{name}[{i}]" if lists else name: column for i, column in enumerate(columns)}
    sets = {"se", "act", "depths[1]"} | {
        name for name in options if f"param {name} " in twin.text and _is_set(twin, name)
    }
    found = set()
    here = flat(row)
    for other in twin.candidates():
        there = flat(other)
        for changed in here.keys() & there.keys():
            at, to = options[changed].index(here[changed]), options[changed].index(there[changed])
            near = at != to and (changed in sets or abs(at - to) == 1)
            if near and all(there[name] == _after(twin, here, name) for name in there if name != changed):
                found.add(Candidate(other))
    return found


def _is_set(twin: Twin, name: str) -> bool:
    line = next(line for line in twin.text.splitlines() if f"param {name} " in line)
    return "in {" in line


def _after(twin: Twin, here: Row, name: str) -> Any:
    """What a dimension that is not changed has: what it had, or the file's own value where it was not there."""
    return here[name] if name in here else flat(twin.own)[name]


def hold_moves(twin: Twin, budget: str | None, seed: int) -> None:
    space = twin.space
    kept = as_set(twin.kept(*([budget] if budget else [])))
    if not kept:
        return
    one, *rest = space.sample(3, seed, budget)
    near = space.neighbours(one, budget)
    assert len(near) == len(set(near))
    assert set(near) == {c for c in beside(twin, dict(one)) if c in kept and c != one}
    other = rest[-1] if rest else one
    child = space.crossover(one, other, seed, budget)
    assert child in kept
    a, b, c = (flat(dict(candidate)) for candidate in (one, other, child))
    assert all(value in (a.get(name), b.get(name), flat(twin.own)[name]) for name, value in c.items())
    try:
        changed = space.mutate(one, seed, budget)
    except rx.RequirementError:
        return
    assert changed in kept
    assert changed != one
    d = flat(dict(changed))
    assert sum(a[name] != d[name] for name in a.keys() & d.keys()) == 1


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", ["part", "bound"])
def test_moves_stay_in_the_budget(budget: str, seed: int) -> None:
    hold_moves(TWIN, budget, seed)


@settings(max_examples=30)
@given(st.integers(0, 10**9))
def test_moves_in_random_spaces(seed: int) -> None:
    hold_moves(drawn_twin(random.Random(seed)), None, seed)


def test_every_neighbour_is_reached_by_a_change() -> None:
    space = TWIN.space
    start = space.sample(1, 5, "bound")[0]
    near = set(space.neighbours(start, "bound"))
    rng = np.random.default_rng(0)
    assert near <= {space.mutate(start, rng, "bound") for _ in range(400)}


def test_moves_without_a_way_say_so() -> None:
    space = space_from("network n { input image: 2x8x8\n param a = 2 in 1..5\n conv(a, 1x1); budget { params == 4 } }")
    (only,) = space.sample(9)
    assert space.neighbours(only) == []
    assert space.crossover(only, only) == only
    with pytest.raises(rx.RequirementError, match=r"E604.*no other value in --set a=2 meets the budgets"):
        space.mutate(only)
    with pytest.raises(rx.RequirementError, match=r"E604.*no mixture of the two meets the budgets"):
        space.crossover(space.candidate({"a": 1}), space.candidate({"a": 3}))


def test_neighbours_in_a_range_without_steps() -> None:
    space = space_from(
        "network n { input image: 2x8x8\n param a = 1.0 in 0..10\n param b = 0.1 in 1e-4..1 log\n conv(2, 1x1) }"
    )
    found = space.neighbours(space.candidate({"a": 0.2, "b": 0.1}))
    assert [(round(c["a"], 9), round(c["b"], 9)) for c in found] == [
        *((0.0, 0.1), (0.7, 0.1)),
        *((0.2, round(10**-1.2, 9)), (0.2, round(10**-0.8, 9))),
    ]


def test_moves_are_reproducible() -> None:
    space = TWIN.space
    one, other = space.sample(2, 1, "bound")
    assert space.mutate(one, 5, "bound") == TWIN.space.mutate(one, 5, "bound")
    assert space.crossover(one, other, 5, "bound") == TWIN.space.crossover(one, other, 5, "bound")


# --- vectors ---


def test_the_numbers_of_a_vector() -> None:
    space = TWIN.space
    assert space.coordinates == [
        *("se=true", "se=false", "squeeze=2", "squeeze=4", "deep", "depths[0]", "depths[1]=2", "depths[1]=5"),
        *("act=relu", "act=silu", "act=bn(eps=0.001)", "width"),
    ]
    candidate = space.candidate({"depths": [2, 5], "act": "silu", "width": 12})
    assert space.encode(candidate).tolist() == [1, 0, 0, 1, 0.5, 1, 0, 1, 0, 1, 0, 2 / 3]
    assert space.encode(space.candidate({"se": False})).tolist() == [0, 1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 1 / 3]


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_vectors_come_back_as_their_candidates(seed: int) -> None:
    space = drawn_twin(random.Random(seed)).space
    assert space.size is not None
    everything = space.candidates_of(space.layout.at(0, space.size), space.size)
    rows = space.encode(everything)
    assert rows.shape == (space.size, len(space.coordinates))
    assert ((rows >= 0) & (rows <= 1)).all()
    assert space.decode(rows) == everything
    assert space.decode(rows[-1]) == everything[-1]


@settings(max_examples=40)
@given(st.integers(0, 10**9))
def test_any_vector_is_a_candidate(seed: int) -> None:
    rng = np.random.default_rng(seed)
    found = TWIN.space.decode(rng.normal(0.5, 1, (5, 12)))
    assert all(candidate in TWIN.space for candidate in found)


def test_ranges_in_the_logarithm_come_back() -> None:
    space = space_from(
        "network n { input image: 2x8x8\n param a = 8 in 3..5000 log\n param b = 0.1 in 1e-4..1 log\n param c = 1.0 in -1..2\n conv(2, 1x1) }"
    )
    found = space.sample(300)
    for before, after in zip(found, space.decode(space.encode(found)), strict=True):
        assert after["a"] == before["a"]
        assert after["b"] == pytest.approx(before["b"], rel=1e-12)
        assert after["c"] == pytest.approx(before["c"], rel=1e-12, abs=1e-12)


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a candidate is 12 numbers; found an array of shape \(3,\)"):
        TWIN.space.decode(np.zeros(3))
