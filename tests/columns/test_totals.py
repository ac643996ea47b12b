"""Measures of the parts of many candidates, depth included, against the reference interpreter's reading of each."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from reference_interpreter import MEASURES, measured, run_of
from space_oracle import METHODS, check, space_from

from resnext_dsl.columns.axes import varied
from resnext_dsl.columns.column_expansion import run
from resnext_dsl.columns.lanes import Lanes
from resnext_dsl.columns.price import opened
from resnext_dsl.columns.totals import Lookup, Totals
from resnext_dsl.foundation.options import DEFAULTS

UNIT = "template unit(c, n = 1) { residual(shortcut=projection) { repeat n { conv(c, 3x3) } }; relu }"

NETWORKS = {
    "one template in several parts": (
        f"""{UNIT}
        param w = 4; param n = 1; param d = 1
        stem {{ unit(w) }}
        stage a repeat d {{ unit(w, n); unit(w) }}
        stage b {{ unit(w, n); unit(w) }}
        stage c {{ unit(w, n); unit(w); unit(w) }}
        head {{ avgpool(global); flatten; linear(w); linear(10) }}""",
        {"w": [4, 6], "n": [1, 2, 3], "d": [0, 1, 3]},
        ["", "stem", "a", "b", "c", "head"],
    ),
    "paths of other lengths": (
        """param n = 2; param f = true; param w = 4
        conv(w, 1x1)
        stage a { split { path { repeat n { conv(w, 3x3) } }; path { conv(w, 1x1); conv(w, 1x1) } } merge add }
        conv(5, 1x1)
        stage b { if f { concat(a); conv(w, 1x1) } else { use a; relu }; conv(3, 1x1) }
        output aux when training from a { avgpool(global); flatten; linear(4); linear(2) }
        stage c repeat n { conv(first(w, 2), 1x1) }""",
        {"n": [1, 2, 4], "f": [True, False], "w": [4, 5]},
        ["", "a", "b", "aux", "c"],
    ),
    "a part that some candidates skip": (
        """param n = 2; param f = true
        conv(4, 1x1) as x
        stage a { repeat 3 { conv(4, 3x3) } }
        stage b { if f { use x }; repeat n { conv(4, 3x3); add(x) } }
        conv(2, 1x1)""",
        {"n": [0, 1, 5], "f": [True, False]},
        ["", "a", "b"],
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("is_table", [True, False], ids=["table", "candidates"])
def test_a_part_measures_what_the_reference_interpreter_counts(name: str, is_table: bool) -> None:
    body, values, parts = NETWORKS[name]
    text = f"network n {{\n    input image: 3x8x8\n{body}\n}}\n"
    space, rows = space_from(text), list(product(*values.values()))
    count, axes, _ = varied(space.network.parameters, dict(zip(values, zip(*rows, strict=True), strict=True)))
    places = [axis.place for axis in axes]
    lanes = Lanes(len(axes), 10**6) if is_table else Lanes(1, count)
    along = np.ix_(*(np.arange(len(axis.values)) for axis in axes)) if is_table else places
    totals = Totals(run(space.spec.spec_file, opened(lanes, axes, along), lanes, DEFAULTS))
    find = Lookup(places if is_table else [np.arange(count)])
    runs = [run_of(text, Path(), dict(zip(values, row, strict=True))) for row in rows]
    assert find(lanes.active).all()
    for part, measure in product(parts, MEASURES):
        found = totals.depth(find, part) if measure == "depth" else totals.of(measure, find, part)[0]
        assert found.tolist() == [measured(each, part, measure) for each in runs], (part, measure)


def test_a_cost_and_its_condition_of_too_many_parameters_together_are_counted_candidate_by_candidate() -> None:
    """Each number depends on two of the four parameters; the condition and the cost meet in the sum only."""
    text = """network n {
        input image: 3x4x4
        param a = 1; param b = 1; param c = 1; param d = 1
        conv(4, 1x1)
        if c + d > 6 { conv(a + b, 1x1); conv(4, 1x1) }
    }"""
    numbers = np.random.default_rng(0).integers(1, 9, size=(4, 60))
    found = check(space_from(text), dict(zip("abcd", numbers, strict=True)), METHODS[:1], exact=False)
    assert (found.method, found.reason) == (METHODS[1], "4096 combinations of parameters meet in one number")


def test_operators_that_no_output_of_the_candidate_depends_on_are_not_counted() -> None:
    """With `keep` the second convolution reads the input, so that the first is not in the network."""
    text = """network n {
        input image: 3x4x4
        param w = 4; param keep = true
        conv(w, 3x3)
        if keep { use image }
        conv(4, 1x1)
    }"""
    columns = {"w": [4, 4, 8, 8], "keep": [True, False, True, False]}
    found = check(space_from(text), columns, METHODS[:2], exact=False)
    assert found.params.tolist() == [12, 108 + 16, 12, 216 + 32]
