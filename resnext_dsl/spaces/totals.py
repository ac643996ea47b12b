"""Sums what the operators of many candidates cost, over those that each candidate's outputs depend on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from resnext_dsl.spaces.columns import LARGEST, Column
from resnext_dsl.spaces.lanes import Array, Mask
from resnext_dsl.spaces.priced import Joined, Priced, Result

MEASURES = ("params", "flops", "macs", "activations")


class Totals:
    """Sums over the operators of a result, in as few tables as there are sets of axes."""

    def __init__(self, result: Result) -> None:
        self._lanes = result.lanes
        there = _reached(result, [output[:2] for output in result.outputs])
        runs = _reached(result, [output[:2] for output in result.outputs if not output[2]])
        self._both: dict[tuple[int, int], Mask] = {}
        self._kept = there, runs
        self._parts: dict[str, list[tuple[Mask, Any]]] = {measure: [] for measure in MEASURES}
        for place, node in enumerate(result.nodes):
            if isinstance(node, Priced):
                self._add("params", node.params, self._where(there[place], node.mark))
                for measure in MEASURES[1:]:
                    self._add(measure, getattr(node, measure), self._where(runs[place], node.mark))

    def _where(self, needed: Mask | None, mark: int) -> Mask | None:
        if needed is None:
            return None
        mask = self._lanes.masks[mark]
        key = id(needed), id(mask)  # both stay: the result holds them
        if key not in self._both:
            self._both[key] = self._lanes.both(needed, mask)
        return self._both[key]

    def _add(self, measure: str, cost: Any, where: Mask | None) -> None:
        if where is not None and not (type(cost) is int and cost == 0):
            self._parts[measure].append((where, cost))

    def of(self, measure: str, find: Callable[[Array], Array]) -> tuple[Array, Array]:
        """A measure of every candidate, and where it leaves 64 bits."""
        parts = self._parts[measure]
        total = sum(map(find, self._tables(parts, np.int64)), np.int64(0))
        exact = np.broadcast_to(total, find(self._lanes.active).shape)
        if sum(cost.bound if type(cost) is Column else cost for _, cost in parts) < LARGEST:
            return exact, np.zeros(exact.shape, dtype=bool)
        close = sum(map(find, self._tables(parts, np.float64)), np.float64(0))
        return exact, np.broadcast_to(close >= 2.0**63 * (1 - 2.0**-40), exact.shape)

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


def _reached(result: Result, outputs: list[tuple[int, int]]) -> list[Mask | None]:
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
        if isinstance(made, Joined):
            for own, source in made.sources:
                need(source, lanes.both(wanted, own))
        else:
            for source in made.inputs:
                need(source, wanted)
    return needed
