"""Sums the costs of the operators of many candidates, and computes the depth: the longest path through them.

Only operators count that an output of the candidate depends on.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import Any

import numpy as np

from resnext_dsl.columns.arithmetic import LARGEST, Column
from resnext_dsl.columns.column_expansion import ColumnResult
from resnext_dsl.columns.lanes import Array, Mask
from resnext_dsl.columns.priced_nodes import MergedValue, Priced
from resnext_dsl.costs.closed_form import COST_MEASURES


class Lookup:
    """Looks up the element of each candidate in a table with one axis for each parameter."""

    def __init__(self, index: list[Array]) -> None:
        self._index = index
        self.shape = index[0].shape
        self._flat: dict[tuple[int, ...], Array] = {}

    def __getitem__(self, places: Array) -> Lookup:
        """The lookup of some of the candidates."""
        return Lookup([index[places] for index in self._index])

    def __call__(self, table: Array) -> Array:
        """The elements of a table, one for each candidate, as a new array."""
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
    """Sums over the operators of a result, with one table for each set of axes."""

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
        owned: dict[str, Mask] = {}
        for place, node in enumerate(result.nodes):
            if isinstance(node, Priced):
                where = self._where(there[place], node.mark)
                self._add("params", node.params, self._owning(where, node.module, owned), node.part)
                for measure in COST_MEASURES[1:]:
                    self._add(measure, getattr(node, measure), self._where(runs[place], node.mark), node.part)

        for measure, costs in self._costs.items():
            self._bounds[measure] = sum(cost.bound if type(cost) is Column else cost for _, cost, _ in costs)

    def _where(self, needed: Mask | None, mark: int) -> Mask | None:
        if needed is None:
            return None
        mask = self._lanes.masks[mark]
        key = id(needed), id(mask)  # safe as a key: the result keeps both masks alive
        if key not in self._both:
            self._both[key] = self._lanes.both(needed, mask)
        return self._both[key]

    def _owning(self, where: Mask | None, module: str, owned: dict[str, Mask]) -> Mask | None:
        """The candidates for which a node owns its parameters: those for which no earlier node has its module.

        Args:
            where: The candidates of the node.
            module: The module of a shared instance; "" for a module of its own.
            owned: The candidates of the earlier nodes of each module, to which those of the node are added.
        """
        if where is None or not module:
            return where
        earlier = owned.get(module)
        if earlier is None:
            owned[module] = where
            return where
        self._lanes.fits(earlier, where)
        owned[module] = earlier | where
        rest = self._lanes.both(where, ~earlier)
        return rest if rest.any() else None

    def _add(self, measure: str, cost: Any, where: Mask | None, part: str) -> None:
        if where is not None and not (type(cost) is int and cost == 0):
            self._costs[measure].append((where, cost, part))

    def of(self, measure: str, find: Lookup, part: str = "") -> tuple[Array, Array]:
        """A measure of every candidate or of one of its parts, and whether the measure leaves 64 bits."""
        total = sum(map(find, self._sums(measure, part, np.int64)), np.int64(0))
        exact = np.broadcast_to(total, find.shape)
        return exact, self.large(measure, find, part)

    def large(self, measure: str, find: Lookup, part: str = "") -> Array:
        """Whether a measure leaves 64 bits, for every candidate."""
        if self._bounds[measure] < LARGEST:
            return np.zeros(find.shape, dtype=bool)
        close = sum(map(find, self._sums(measure, part, np.float64)), np.float64(0))
        return np.broadcast_to(close >= 2.0**63 * (1 - 2.0**-40), find.shape)

    def _sums(self, measure: str, part: str, dtype: Any) -> list[Array]:
        """The tables whose sum is a measure of each candidate, cached for later lookups."""
        key = measure, part, dtype
        if key not in self._summed:
            parts = [(where, cost) for where, cost, inside in self._costs[measure] if part in ("", inside)]
            self._summed[key] = list(self._tables(parts, dtype))
        return self._summed[key]

    def depth(self, find: Lookup, part: str = "") -> Array:
        """The most convolutions and linear layers on a path from the input to an output; for a part, those in it."""
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
                longest = depths[node.sources[0][1]]
                for mask, source in node.sources[1:]:
                    lanes.fits(mask, longest, depths[source])
                    longest = np.where(mask, depths[source], longest)
            else:
                lanes.fits(*(depths[source] for source in node.inputs))
                longest = reduce(np.maximum, [depths[source] for source in node.inputs])
                longest = longest + int(node.counts and part in ("", node.part))
            depths.append(longest)
            where = self._where(runs[place], node.mark)
            assert where is not None
            lanes.fits(where, longest, deepest)
            deepest = np.maximum(deepest, np.where(where, longest, 0))
        return np.asarray(deepest)

    def _tables(self, parts: list[tuple[Mask, Any]], dtype: Any) -> Iterator[Array]:
        """Sums costs that have the same axes, and adds each sum to one that has these axes and more, if it exists."""
        sums: dict[tuple[int, ...], Any] = {}
        for where, cost in parts:
            # The caller detects a cost beyond 64 bits in the sum of floats.
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
    """For each node, the candidates in which an output depends on it; None if there are none."""
    lanes = result.lanes
    needed: list[Mask | None] = [None] * len(result.nodes)

    def need(node: int, mask: Mask) -> None:
        known = needed[node]
        if known is None or known is mask:
            needed[node] = mask
        elif not (known.size == 1 and known.item()):
            lanes.fits(known, mask)
            together = known | mask
            needed[node] = everywhere if together.all() else together

    everywhere = np.ones((1,) * lanes.active.ndim, dtype=bool)
    for mark, output in outputs:
        # The figures of invalid candidates are not used, so they may be wrong.
        mask = lanes.masks[mark]
        need(output, everywhere if not lanes.both(lanes.active, ~mask).any() else mask)
    for place in range(len(result.nodes) - 1, -1, -1):
        node, wanted = result.nodes[place], needed[place]
        if wanted is None or node is None:
            continue
        if isinstance(node, MergedValue):
            for mask, source in node.sources:
                need(source, lanes.both(wanted, mask))
        else:
            for source in node.inputs:
                need(source, wanted)
    return needed
