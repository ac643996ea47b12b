"""What the operators of many candidates come to: their costs in sum, and the longest way through them.

Only those count that a candidate's outputs depend on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np

from resnext_dsl.columns.arithmetic import LARGEST, Column
from resnext_dsl.columns.column_expansion import ColumnResult, MergedValue, Priced
from resnext_dsl.columns.lanes import Array, Mask
from resnext_dsl.costs.closed_form import COST_MEASURES


class Lookup:
    """Looks up each candidate's element of a table with axes."""

    def __init__(self, index: list[Array]) -> None:
        self._index = index
        self.shape = index[0].shape
        self._flat: dict[tuple[int, ...], Array] = {}

    def __getitem__(self, places: Array) -> Lookup:
        """The same for some of the candidates."""
        return Lookup([index[places] for index in self._index])

    def __call__(self, table: Array) -> Array:
        """The elements, an array of its own."""
        if table.size == 1:
            return np.full(self.shape, table.item(), dtype=table.dtype)
        shape = table.shape
        if shape not in self._flat:
            flat: Any = 0
            for size, index in zip(shape, self._index, strict=True):
                flat = flat * size + index if size > 1 else flat
            self._flat[shape] = flat
        return table.ravel()[self._flat[shape]]


class Totals:
    """Sums over the operators of a result, in as few tables as there are sets of axes."""

    def __init__(self, result: ColumnResult) -> None:
        self._lanes = result.lanes
        there = _reached(result, [output[:2] for output in result.outputs])
        runs = _reached(result, [output[:2] for output in result.outputs if not output[2]])
        self._both: dict[tuple[int, int], Mask] = {}
        self._kept = there, runs
        self._result = result
        self._summed: dict[tuple[str, str, Any], list[Array]] = {}
        self._deepest: dict[str, Array] = {}
        self._bounds: dict[str, float] = {}
        self._costs: dict[str, list[tuple[Mask, Any, str]]] = {measure: [] for measure in COST_MEASURES}
        for place, node in enumerate(result.nodes):
            if isinstance(node, Priced):
                self._add("params", node.params, self._where(there[place], node.mark), node.part)
                for measure in COST_MEASURES[1:]:
                    self._add(measure, getattr(node, measure), self._where(runs[place], node.mark), node.part)

        for measure, costs in self._costs.items():
            self._bounds[measure] = sum(cost.bound if type(cost) is Column else cost for _, cost, _ in costs)

    def _where(self, needed: Mask | None, mark: int) -> Mask | None:
        if needed is None:
            return None
        mask = self._lanes.masks[mark]
        key = id(needed), id(mask)  # both stay: the result holds them
        if key not in self._both:
            self._both[key] = self._lanes.both(needed, mask)
        return self._both[key]

    def _add(self, measure: str, cost: Any, where: Mask | None, part: str) -> None:
        if where is not None and not (type(cost) is int and cost == 0):
            self._costs[measure].append((where, cost, part))

    def of(self, measure: str, find: Lookup, part: str = "") -> tuple[Array, Array]:
        """A measure of every candidate, or of a part of it, and where it leaves 64 bits."""
        total = sum(map(find, self._sums(measure, part, np.int64)), np.int64(0))
        exact = np.broadcast_to(total, find.shape)
        return exact, self.large(measure, find, part)

    def large(self, measure: str, find: Lookup, part: str = "") -> Array:
        """Where a measure leaves 64 bits."""
        if self._bounds[measure] < LARGEST:
            return np.zeros(find.shape, dtype=bool)
        close = sum(map(find, self._sums(measure, part, np.float64)), np.float64(0))
        return np.broadcast_to(close >= 2.0**63 * (1 - 2.0**-40), find.shape)

    def _sums(self, measure: str, part: str, dtype: Any) -> list[Array]:
        """The tables that a measure of each candidate is the sum of; made once, for lookups that come again."""
        key = measure, part, dtype
        if key not in self._summed:
            parts = [(where, cost) for where, cost, inside in self._costs[measure] if part in ("", inside)]
            self._summed[key] = list(self._tables(parts, dtype))
        return self._summed[key]

    def depth(self, find: Lookup, part: str = "") -> Array:
        """Convolutions and linear layers on the longest way from the input to an output; of a part, those in it."""
        if part not in self._deepest:
            self._deepest[part] = self._depth(part)
        return find(self._deepest[part])

    def _depth(self, part: str) -> Array:
        lanes, runs = self._lanes, self._kept[1]
        depths: list[Any] = []
        deepest: Any = np.zeros((1,) * lanes.active.ndim, dtype=np.int64)
        for place, node in enumerate(self._result.nodes):
            if node is None or runs[place] is None:
                depths.append(np.zeros_like(deepest, shape=(1,) * lanes.active.ndim))
                continue
            if isinstance(node, MergedValue):
                made = depths[node.sources[0][1]]
                for mask, source in node.sources[1:]:
                    lanes.fits(mask, made, depths[source])
                    made = np.where(mask, depths[source], made)
            else:
                lanes.fits(*(depths[source] for source in node.inputs))
                made = reduce(np.maximum, [depths[source] for source in node.inputs])
                made = made + int(node.counts and part in ("", node.part))
            depths.append(made)
            where = self._where(runs[place], node.mark)
            assert where is not None
            lanes.fits(where, made, deepest)
            deepest = np.maximum(deepest, np.where(where, made, 0))
        return np.asarray(deepest)

    def _tables(self, parts: list[tuple[Mask, Any]], dtype: Any) -> Iterator[Array]:
        """The sums of what has the same axes; each added to one that has its axes and more, if there is one."""
        sums: dict[tuple[int, ...], Any] = {}
        for where, cost in parts:
            # What leaves 64 bits by itself is the caller's to find, in the sum of floats.
            values = np.asarray(cost.values if type(cost) is Column else min(cost, LARGEST)).astype(dtype)
            self._lanes.fits(where, values)
            term = np.where(where, values, dtype(0))
            sums[term.shape] = sums.get(term.shape, dtype(0)) + term
        shapes = sorted(sums, key=lambda shape: sum(size > 1 for size in shape))
        for place, shape in enumerate(shapes):
            wider = next((s for s in shapes[place + 1 :] if _covers(s, shape)), None)
            if wider is None:
                yield sums[shape]
            else:
                sums[wider] = sums[wider] + sums[shape]


def _covers(wide: tuple[int, ...], narrow: tuple[int, ...]) -> bool:
    return all(size in (1, more) for size, more in zip(narrow, wide, strict=True))


def _reached(result: ColumnResult, outputs: list[tuple[int, int]]) -> list[Mask | None]:
    """For each node the candidates in which one of these outputs depends on it; None where there are none."""
    lanes = result.lanes
    needed: list[Mask | None] = [None] * len(result.nodes)

    def need(node: int, mask: Mask) -> None:
        known = needed[node]
        if known is None or known is mask:
            needed[node] = mask
        elif not (known.size == 1 and known.item()):
            lanes.fits(known, mask)
            together = known | mask
            needed[node] = everybody if together.all() else together

    everybody = np.ones((1,) * lanes.active.ndim, dtype=bool)
    for mark, node in outputs:
        # The figures of candidates that are not valid are thrown away, so theirs may be wrong.
        mask = lanes.masks[mark]
        need(node, everybody if not lanes.both(lanes.active, ~mask).any() else mask)
    for place in range(len(result.nodes) - 1, -1, -1):
        made, wanted = result.nodes[place], needed[place]
        if wanted is None or made is None:
            continue
        if isinstance(made, MergedValue):
            for own, source in made.sources:
                need(source, lanes.both(wanted, own))
        else:
            for source in made.inputs:
                need(source, wanted)
    return needed
