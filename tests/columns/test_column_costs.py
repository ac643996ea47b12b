"""Costs of candidates in columns equal those of each candidate by itself: many at once, at the bounds, at random."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from space_examples import ALL, BLOCK, Example
from space_oracle import METHODS, bound, candidates, check, compare, space_from
from space_random import columns_near, drawn_space

import resnext_dsl as rx
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.costs.fvcore_count import measure
from resnext_dsl.foundation.options import Options
from resnext_dsl.semantics.spec_files import shipped_names


@pytest.mark.parametrize(
    "example", [pytest.param(ALL[name], id=name, marks=pytest.mark.slow if i % 2 else ()) for i, name in enumerate(ALL)]
)
def test_many_candidates_cost_what_a_few_do(example: Example) -> None:
    """Of thousands of candidates each is looked up: in any order, and however often."""
    space, rows = space_from(example.text, example.options), candidates(example.columns)
    wanted = [bound(space, row) for row in rows]
    picked = np.random.default_rng(0).integers(len(rows), size=3000)
    columns = {name: [values[place] for place in picked] for name, values in example.columns.items()}
    many = space.cost(columns)
    _, first = np.unique(picked, return_index=True)
    compare(
        many._replace(**{name: getattr(many, name)[first] for name in (*COST_MEASURES, "valid", "overflowed")}),
        [wanted[picked[place]] for place in first],
        [rows[picked[place]] for place in first],
    )
    for name in COST_MEASURES:
        figures = getattr(many, name)
        assert (figures == figures[first][np.searchsorted(picked[first], picked)]).all()


# --- bounds, overflow, warnings ---


def test_steps_are_those_of_a_candidate() -> None:
    text = BLOCK + "network n { input x: 3x8x8\n param n = 2; param w = 4\n repeat n { block(w); block(w + 1) } }"
    for most in (40, 100, 150, 200, 400):
        try:
            space = space_from(text, Options(max_steps=most))
        except rx.ArchError:
            continue
        check(space, {"n": [0, 1, 2, 4, 8, 16], "w": [4] * 6}, exact=False)


def test_operators_are_those_of_a_candidate() -> None:
    text = "network n { input x: 3x8x8\n param n = 2; param w = 4\n conv(w, 1x1); repeat n { relu } }"
    check(space_from(text, Options(max_nodes=10)), {"n": [0, 1, 9, 10, 11, 12], "w": [4, 5] * 3}, exact=False)


def test_calls_nest_as_deep_as_in_one_network() -> None:
    templates = "".join(f"template t{i}(w) {{ residual {{ repeat 1 {{ t{i + 1}(w) }} }} }}\n" for i in range(18))
    text = (
        templates
        + "template t18(w) { conv(w, 1x1) }\nnetwork n { input x: 3x8x8\n param w = 3; param n = 2; repeat n { t0(w) } }"
    )
    check(space_from(text), {"w": [3, 4, 5], "n": [1, 2, 3]}, METHODS[:2], exact=False)


def test_functions_nest_as_deep_as_in_one_network() -> None:
    functions = "".join(f"fn f{i}(w) = (1 + (f{i + 1}(w) if w > 0 else 2))\n" for i in range(60))
    text = functions + "fn f60(w) = w\nnetwork n { input x: 3x8x8\n param w = 3; conv(f0(w), 1x1) }"
    check(space_from(text), {"w": [0, 3, 4, 5]}, METHODS[:2], exact=False)


def test_too_many_parameters_in_one_number_are_counted_candidate_by_candidate() -> None:
    names = [f"p{i}" for i in range(12)]
    declared = "\n".join(f"param {name} = 1" for name in names)
    space = space_from(
        f"network n {{ input x: 3x8x8\n{declared}\nconv({' + '.join(names)}, 3x3); if p0 > 2 {{ conv(p1, 1x1) }} }}"
    )
    numbers = np.random.default_rng(1).integers(0, 5, size=(12, 300))
    found = check(space, dict(zip(names, numbers, strict=True)), METHODS[:1], exact=False)
    assert found.method == METHODS[1]
    assert "combinations of parameters meet" in found.reason


def test_candidates_beyond_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnext_dsl.columns.price.CHUNK", 7)
    example = ALL["networks: dense"]
    check(space_from(example.text, example.options), example.columns, METHODS[1:2])


def test_overflow_leaves_the_others_alone() -> None:
    space = space_from("network n { input x: 3x8x8\n param w = 4; conv(w, 3x3); conv(w, 3x3) }")
    found = check(space, {"w": [4, 2**31 - 1, 2**26, 2**29, 0]})
    assert found.overflowed.tolist() == [False, True, False, True, False]
    assert found.valid.tolist() == [True, False, True, False, False]
    # The largest width whose FLOPs still have 63 bits: 64 * 9 * (3 w + w * w).
    largest = int((2**63 / 576) ** 0.5) - 2
    found = check(space, {"w": [largest - 100, largest + 100, 4]}, METHODS[:2])
    assert found.valid.tolist() == [True, False, True]


# --- random spaces ---


@settings(max_examples=18)
@given(st.integers(0, 10**9))
def test_random_spaces(seed: int) -> None:
    hold_random(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2000, 50))
def test_many_random_spaces(first: int) -> None:
    for seed in range(first, first + 50):
        hold_random(seed)


def hold_random(seed: int) -> None:
    source = random.Random(seed)
    space = drawn_space(source, 6)
    columns = columns_near(space, source, 8, 0.3)
    if columns:
        check(space, columns, METHODS[:2], exact=False)


LARGE = {"resnext50_32x4d_a", "resnext50_32x4d_b", "inception_resnet_v2"}
"""A network of each of their candidates takes most of a second."""


def hold_shipped(name: str, seed: int, count: int) -> None:
    source = random.Random(seed)
    space = rx.space(name)
    columns = columns_near(space, source, count, source.choice((0.1, 0.3, 0.6)))
    if columns:
        found = check(space, columns, METHODS[:1], exact=False)
        assert found.method != METHODS[2], found.reason


@pytest.mark.parametrize("name", sorted(set(shipped_names()) - LARGE))
def test_shipped_networks(name: str) -> None:
    hold_shipped(name, 0, 4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("name", shipped_names())
def test_shipped_networks_widely(name: str, seed: int) -> None:
    hold_shipped(name, seed, 8 if name in LARGE else 40)


def resnext_candidates(count: int, seed: int) -> dict[str, list[int]]:
    source = random.Random(seed)
    return {
        "cardinality": [source.choice([1, 2, 4, 8, 16, 32]) for _ in range(count)],
        "width": [source.randint(1, 8) for _ in range(count)],
        "depth1": [source.randint(0, 3) for _ in range(count)],
        "depth2": [source.randint(1, 4) for _ in range(count)],
    }


FOUR = """
network n {
    input image: 3x32x32
    param cardinality = 4; param width = 4; param depth1 = 1; param depth2 = 1
    template block(channels, d, stride = 1) {
        residual {
            let wide = cardinality * d
            conv(wide, 1x1); bn; relu; conv(wide, 3x3, stride=stride, groups=cardinality); bn; relu
            conv(channels, 1x1); bn
        }
        relu
    }
    stem { conv(16, 3x3); bn; relu }
    stage a repeat depth1 { block(32, width) }
    stage b repeat depth2 { block(64, width * 2, stride=first(2, 1)) }
    head { avgpool(global); flatten; linear(10) }
}
"""


def hold_fvcore(count: int, seed: int) -> None:
    """Every candidate's compiled module counted by fvcore itself."""
    space = space_from(FOUR)
    columns = resnext_candidates(count, seed)
    found = space.cost(columns)
    assert found.method == METHODS[0]
    for place, row in enumerate(candidates(columns)):
        counted = measure(space.bind(row).compile(form="written"), (3, 32, 32)).cost
        assert found.valid[place]
        assert tuple(int(getattr(found, name)[place]) for name in COST_MEASURES) == tuple(
            getattr(counted, name) for name in COST_MEASURES
        )


def test_candidates_cost_what_fvcore_counts() -> None:
    hold_fvcore(12, 0)


@pytest.mark.slow
def test_many_candidates_cost_what_fvcore_counts() -> None:
    hold_fvcore(200, 1)
