"""Checks many candidates of a space against its requirements and budgets at once, and computes their cost.

If every parameter that the network reads has few values, it computes tables of costs once and looks candidates up.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from resnext_dsl.budgets.limits import Limit
from resnext_dsl.budgets.usage import COMPARISONS, usage
from resnext_dsl.columns.arithmetic import LARGEST, Column
from resnext_dsl.columns.axes import Axis
from resnext_dsl.columns.column_expansion import ColumnResult, run
from resnext_dsl.columns.lanes import Array, DeadError, Lanes, Mask, NoClosedFormError, TooWideError
from resnext_dsl.columns.price import CHUNK, opened
from resnext_dsl.columns.totals import Lookup, Totals
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape, is_int
from resnext_dsl.spaces.candidate import override_of
from resnext_dsl.spaces.dimensions import Dimension
from resnext_dsl.spaces.grid import Grid
from resnext_dsl.spaces.layout import Population

FEW = 1 << 16
"""Most values of a parameter for which a table is computed."""

LARGEST_TABLE = 1 << 22
"""Most combinations of values in one table."""

METHODS = ("closed form", "closed form, candidate by candidate", "one by one")


class Verdict(NamedTuple):
    """The result of checking some candidates.

    Attributes:
        valid: For each candidate, whether it is valid.
        kept: For each candidate, whether it is valid and meets the budgets.
        costs: Measure -> int64 array with the cost of kept candidates; 0 for others.
        missed: For each limit, the number of valid candidates that miss it and meet the limits checked before it.
        nearest: For each limit, the measure nearest to the bound among these; None if no candidate misses the limit.
    """

    valid: Mask
    kept: Mask
    costs: dict[str, Array]
    missed: list[int]
    nearest: list[int | float | None]


class _Run(NamedTuple):
    """The expansion of all candidates for one input shape."""

    lanes: Lanes
    result: ColumnResult
    totals: Totals


Runs = Callable[[Shape | None], _Run | None]
"""Maps an input shape (None: the declared one) to its run; to None if no candidate is valid with that input."""


class Screen:
    """Checks the candidates of a grid against some of its budgets.

    Attributes:
        limits: The limits that are checked; limits on latency are left out.
        method: One of `METHODS`.
        reason: The reason why the method is not the first of `METHODS`.
    """

    def __init__(self, grid: Grid, limits: Sequence[tuple[int, Limit]]) -> None:
        """Chooses the method; no candidate is checked yet.

        Args:
            grid: The grid of the candidates.
            limits: The limits to check, each with its index among the limits of the grid's network.
        """
        self._grid = grid
        self._places = [place for place, limit in limits if limit.row.read is not None]
        self.limits = [limit for _, limit in limits if limit.row.read is not None]
        parts = {part.name for part in grid.network.ir.parts}
        self._apart = [n for n, limit in enumerate(self.limits) if not _in_columns(limit, parts)]
        dimensions = grid.layout.dimensions
        self._axes = [n for n, dimension in enumerate(dimensions) if dimension.parameter in grid.reads.elsewhere]
        wide = [dimensions[n].name for n in self._axes if (dimensions[n].size or FEW + 1) > FEW]
        self.method, self.reason = METHODS[0], ""
        if wide:
            self.method, self.reason = METHODS[1], f"`{wide[0]}` has too many values for a table"

    @cached_property
    def fast(self) -> bool:
        """Whether all limits are checked in closed form; checks one candidate to find out."""
        self.judge(self._grid.layout.draw(np.random.default_rng(0), 1))
        return self.method != METHODS[2] and not self._apart

    def judge(self, population: Population) -> Verdict:
        """Checks the candidates of a population against the requirements and limits."""
        if not self._axes:
            return self._all_alike(population)
        try:
            if self.method == METHODS[0]:
                verdict = self._held(self._table, Lookup(self._index(population)), len(population[0]))
            elif self.method == METHODS[1]:
                verdict = self._chunked(population)
            else:
                return self._one_by_one(population)
        except TooWideError as problem:
            self.method, self.reason = METHODS[1], str(problem)
        except NoClosedFormError as problem:
            self.method, self.reason = METHODS[2], str(problem)
        except RecursionError:
            self.method, self.reason = METHODS[2], "the spec is nested too deeply"
        else:
            return self._held_apart(population, verdict)
        return self.judge(population)

    # --- in closed form ---

    def _index(self, population: Population) -> list[Array]:
        """The indices of candidates on the axes; an inactive dimension has the last index."""
        conditions, sizes = self._grid.layout.conditions, [len(axis.values) for axis in self._axis_values]
        return [
            np.where(population[number] < 0, size - 1, population[number])
            if number in conditions
            else population[number]
            for number, size in zip(self._axes, sizes, strict=True)
        ]

    @cached_property
    def _axis_values(self) -> list[Axis]:
        """The axes with all their values; for a dimension with a condition, the value in the file is the last."""
        layout = self._grid.layout
        return [_axis(layout.dimensions[number], number in layout.conditions) for number in self._axes]

    @cached_property
    def _tables(self) -> dict[Shape | None, _Run | None]:
        return {}

    def _table(self, shape: Shape | None) -> _Run | None:
        """The run with one axis for each dimension, cached by input shape."""
        if shape not in self._tables:
            axes = self._axis_values
            places = np.ix_(*(np.arange(len(axis.values)) for axis in axes))
            self._tables[shape] = self._run(Lanes(len(axes), LARGEST_TABLE), axes, places, shape)
        return self._tables[shape]

    def _run(self, lanes: Lanes, axes: list[Axis], places: Sequence[Array], shape: Shape | None) -> _Run | None:
        grid = self._grid
        try:
            values = grid.fixed | opened(lanes, axes, places)
            result = run(grid.spec.spec_file, values, lanes, grid.options, shape)
            return _Run(lanes, result, Totals(result))
        except DeadError:
            return None

    def _chunked(self, population: Population) -> Verdict:
        """Checks candidates in chunks, with the candidates as the only axis."""
        count = len(population[0])
        parts = []
        for start in range(0, max(count, 1), CHUNK):
            chunk = [places[start : start + CHUNK] for places in population]
            parts.append(self._chunk(chunk, len(chunk[0])))
        return _together(parts)

    def _chunk(self, population: Population, count: int) -> Verdict:
        layout = self._grid.layout
        axes, places = [], []
        for number in self._axes:
            axis, place = _column_of(layout.dimensions[number], population[number], number in layout.conditions)
            axes.append(axis)
            places.append(place)
        known: dict[Shape | None, _Run | None] = {}

        def runs(shape: Shape | None) -> _Run | None:
            if shape not in known:
                known[shape] = self._run(Lanes(1, max(count, 1)), axes, places, shape)
            return known[shape]

        return self._held(runs, Lookup([np.arange(count)]), count)

    def _held(self, runs: Runs, find: Lookup, count: int) -> Verdict:
        """The verdict on candidates that `find` looks up in the tables of `runs`."""
        base = runs(None)
        nothing = np.zeros(count, dtype=bool)
        if base is None:
            costs = {measure: np.zeros(count, dtype=np.int64) for measure in COST_MEASURES}
            return Verdict(nothing, nothing, costs, [0] * len(self.limits), self._nothing())
        if not isinstance(base.result.bounds, tuple):
            raise NoClosedFormError("a budget has an input shape for some candidates only")
        valid = find(base.lanes.active)
        for measure in COST_MEASURES:
            valid &= ~base.totals.large(measure, find)
        left = np.flatnonzero(valid)
        missed, nearest = [0] * len(self.limits), self._nothing()
        for number, limit in enumerate(self.limits):
            if number not in self._apart:
                bound, shape = base.result.bounds[self._places[number]]
                rest = find[left]
                fits, used = _figure(limit, runs(_plain_shape(shape)), rest, len(left))
                ok = fits & _compared(limit.comparison, used, bound, rest)
                missed[number], nearest[number] = len(left) - int(ok.sum()), _nearest(limit, used[fits & ~ok])
                left = left[ok]
        kept, costs = np.zeros(count, dtype=bool), {}
        kept[left], rest = True, find[left]
        for measure in COST_MEASURES:
            costs[measure] = np.zeros(count, dtype=np.int64)
            costs[measure][left] = base.totals.of(measure, rest)[0]
        return Verdict(valid, kept, costs, missed, nearest)

    def _nothing(self) -> list[int | float | None]:
        return [None] * len(self.limits)

    # --- one by one ---

    def _all_alike(self, population: Population) -> Verdict:
        """The verdict for a network that reads no dimension: the verdict on the first candidate holds for all."""
        count = len(population[0]) if population else 1
        one = self._one_by_one([places[:1] for places in population])
        valid, kept = np.repeat(one.valid, count), np.repeat(one.kept, count)
        costs = {measure: np.repeat(cost, count) for measure, cost in one.costs.items()}
        return Verdict(valid, kept, costs, [count * missed for missed in one.missed], one.nearest)

    def _held_apart(self, population: Population, verdict: Verdict) -> Verdict:
        """Checks the limits without a closed form for the candidates that meet the others."""
        if not self._apart:
            return verdict
        kept = verdict.kept.copy()
        places = np.flatnonzero(kept)
        limits = [self.limits[number] for number in self._apart]
        used: list[list[float]] = [[] for _ in limits]
        for place, candidate in zip(places, self._candidates(population, places), strict=True):
            try:
                lines = usage(tuple(limits), self._grid.bind(candidate))
            except ArchError:  # it cannot take the input of a budget
                kept[place] = False
                continue
            kept[place] = all(line.met for line in lines)
            for line, values in zip(lines, used, strict=True):
                if not line.met and line.used is not None:
                    values.append(line.used)
        missed, nearest = list(verdict.missed), list(verdict.nearest)
        for number, values in zip(self._apart, used, strict=True):
            missed[number], nearest[number] = len(values), _nearest(self.limits[number], np.array(values))
        return verdict._replace(kept=kept, missed=missed, nearest=nearest)

    def _candidates(self, population: Population, places: Array) -> Any:
        return self._grid.candidates_of([column[places] for column in population], len(places))

    def _one_by_one(self, population: Population) -> Verdict:
        """Checks candidates by building the network of each."""
        count = len(population[0]) if population else 1
        valid, kept = np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        costs = {measure: np.zeros(count, dtype=np.int64) for measure in COST_MEASURES}
        used: list[list[float]] = [[] for _ in self.limits]
        for place, candidate in enumerate(self._grid.candidates_of(population, count)):
            try:
                network = self._grid.bind(candidate)
            except ArchError:
                continue
            figures = [getattr(network.cost(), measure) for measure in COST_MEASURES]
            if max(figures) > LARGEST:
                continue
            valid[place] = True
            for measure, figure in zip(COST_MEASURES, figures, strict=True):
                costs[measure][place] = figure
            try:
                lines = usage(tuple(self.limits), network)
            except ArchError:  # it cannot take the input of a budget
                continue
            kept[place] = all(line.met for line in lines)
            for line, values in zip(lines, used, strict=True):
                if not line.met and line.used is not None:
                    values.append(line.used)
        nearest = [_nearest(limit, np.array(values)) for limit, values in zip(self.limits, used, strict=True)]
        return Verdict(valid, kept, costs, [len(values) for values in used], nearest)


# --- limits ---


def _in_columns(limit: Limit, parts: set[str]) -> bool:
    """Whether a limit has a closed form: a sum of costs or the depth, of the network or of one of its parts."""
    return (limit.measure in COST_MEASURES or limit.measure == "depth") and (not limit.part or limit.part in parts)


def _plain_shape(shape: Any) -> Shape | None:
    if shape is not None and not (isinstance(shape, tuple) and all(type(size) is int for size in shape)):
        raise NoClosedFormError("the input shape of a budget depends on a parameter")
    return shape


def _figure(limit: Limit, computed: _Run | None, find: Lookup, count: int) -> tuple[Mask, Array]:
    """Whether candidates are valid with the input of a limit, and their values of its measure."""
    if computed is None:
        return np.zeros(count, dtype=bool), np.zeros(count, dtype=np.int64)
    fits = find(computed.lanes.active)
    if limit.measure == "depth":
        return fits, computed.totals.depth(find, limit.part)
    used, large = computed.totals.of(limit.measure, find, limit.part)
    return fits & ~large, used


def _compared(comparison: str, used: Array, bound: Any, find: Lookup) -> Mask:
    if type(bound) is Column:
        return np.asarray(COMPARISONS[comparison](used, find(bound.values)))  # type: ignore[arg-type]
    if not isinstance(bound, int | float):
        raise NoClosedFormError("the bound of a budget is an int for some candidates and a float for others")
    if not is_int(bound):
        if not math.isfinite(bound) or (comparison == "==" and bound != int(bound)):
            return np.asarray(COMPARISONS[comparison](used.astype(float), bound))  # type: ignore[arg-type]
        # As an int, since a large one has no exact float: x <= 2.5 is x <= 2, x < 2.5 is x < 3.
        bound = math.floor(bound) if comparison in ("<=", ">", "==") else math.ceil(bound)
    return np.asarray(COMPARISONS[comparison](used, bound))  # type: ignore[arg-type]


def _nearest(limit: Limit, used: Array) -> int | float | None:
    """The value nearest to the bound of a limit among values that miss it."""
    if not used.size:
        return None
    if limit.comparison == "==":
        best = used[np.argmin(np.abs(used - limit.bound))]
    else:
        best = used.min() if limit.comparison in ("<=", "<") else used.max()
    return best.item()  # type: ignore[no-any-return]


def _together(parts: list[Verdict]) -> Verdict:
    """Concatenates verdicts."""
    if len(parts) == 1:
        return parts[0]
    costs = {measure: np.concatenate([part.costs[measure] for part in parts]) for measure in COST_MEASURES}
    missed = [sum(column) for column in zip(*(part.missed for part in parts), strict=True)]
    nearest = [
        next((value for value in column if value is not None), None)
        for column in zip(*(p.nearest for p in parts), strict=True)
    ]
    valid, kept = (np.concatenate([getattr(part, name) for part in parts]) for name in ("valid", "kept"))
    return Verdict(valid, kept, costs, missed, nearest)


# --- axes ---


def _axis(dimension: Dimension, conditional: bool) -> Axis:
    """An axis with all values of a dimension, and its default if the dimension has a condition."""
    values = dimension.values() + ([dimension.default] if conditional else [])
    if dimension.kind not in ("int", "float", "bool"):
        return Axis(dimension.parameter, dimension.element, [override_of(value) for value in values], np.zeros(0))
    return Axis(dimension.parameter, dimension.element, np.array(values), np.zeros(0))


def _column_of(dimension: Dimension, places: Array, conditional: bool) -> tuple[Axis, Array]:
    """An axis for the values of some candidates, and the index of each candidate on it."""
    size = dimension.size
    if size is not None and size <= FEW:
        axis = _axis(dimension, conditional)
        return axis, np.where(places < 0, len(axis.values) - 1, places) if conditional else places
    if size is None:
        numbers = np.where(np.isnan(places), dimension.default, places)
    else:
        domain = dimension.domain
        step = 1 if domain.step is None else domain.step
        whole = is_int(domain.low) and is_int(step)
        numbers = domain.low + places * step if whole else np.array([domain.value_at(int(place)) for place in places])
        numbers = np.where(places < 0, dimension.default, numbers)
    return Axis(dimension.parameter, dimension.element, numbers, places), np.arange(len(places))
