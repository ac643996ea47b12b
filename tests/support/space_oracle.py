"""Holds `Space.cost` against the network of every candidate, in each of the three ways that it counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest import mock

import numpy as np

import resnext_dsl as rx
from resnext_dsl.columns import price
from resnext_dsl.columns.arithmetic import LARGEST
from resnext_dsl.columns.lanes import NoClosedFormError, TooWideError
from resnext_dsl.columns.price import CostColumns
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.spaces.space import Space, space_of

METHODS = ("closed form", "closed form, candidate by candidate", "one by one")


def space_from(text: str, options: Options = DEFAULTS, **fixed: Any) -> Space:
    """The space of a text."""
    return space_of(text_source(text, "<spec>", options), None, options, fixed)


def bound(space: Space, candidate: Mapping[str, Any]) -> tuple[int, ...]:
    """The four figures of one candidate by its own network, and whether it is one."""
    try:
        cost = space.bind(candidate).cost()
    except rx.ArchError:
        return 0, 0, 0, 0, False
    return cost.params, cost.flops, cost.macs, cost.activations, True


def candidates(columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The candidates of columns, one by one."""
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, map(_python, row), strict=True)) for row in rows]


def _python(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


@contextmanager
def only(method: str) -> Any:
    """Counts by this method where it can be."""

    def too_wide(*_: Any) -> NoReturn:
        raise TooWideError("a test wants it")

    def no_form(*_: Any) -> NoReturn:
        raise NoClosedFormError("a test wants it")

    replaced = {METHODS[0]: None, METHODS[1]: too_wide, METHODS[2]: no_form}[method]
    if replaced is None:
        yield
    else:
        with mock.patch.object(price, "_factored", replaced):
            yield


def check(
    space: Space,
    columns: Mapping[str, Sequence[Any]],
    methods: Sequence[str] = METHODS,
    exact: bool = True,
) -> CostColumns:
    """Asserts that columns cost what each candidate's network does, by each method; gives what the first one found.

    Args:
        space: The space.
        columns: What varies.
        methods: The ways of counting.
        exact: Whether the first two methods must do without counting one by one.
    """
    rows = candidates(columns)
    wanted = [bound(space, row) for row in rows]
    results = []
    for method in methods:
        with only(method):
            found = space.cost(columns)
        if exact:
            assert found.method == method, (found.method, found.reason)
        compare(found, wanted, rows)
        results.append(found)
    return results[0]


def compare(found: CostColumns, wanted: Sequence[tuple[int, ...]], rows: Sequence[Mapping[str, Any]]) -> None:
    """Asserts the figures of every candidate."""
    for measure in COST_MEASURES:
        assert getattr(found, measure).dtype == np.int64
        assert getattr(found, measure).shape == (len(rows),)
    assert found.valid.dtype == found.overflowed.dtype == np.bool_
    for place, (row, want) in enumerate(zip(rows, wanted, strict=True)):
        got = tuple(getattr(found, measure)[place].item() for measure in COST_MEASURES)
        if found.overflowed[place] or max(want[:4]) > LARGEST:
            assert found.overflowed[place], (place, row, "overflows unseen")
            assert not found.valid[place]
            assert got == (0, 0, 0, 0)
        else:
            assert (*got, bool(found.valid[place])) == (*want[:4], bool(want[4])), (found.method, place, row)
