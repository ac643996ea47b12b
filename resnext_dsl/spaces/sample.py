"""Draws distinct candidates uniformly from all valid candidates that meet the budgets.

It draws uniformly from all candidates and rejects the others, so the draws from the rest are uniform too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from resnext_dsl.budgets.limits import Limit
from resnext_dsl.columns.lanes import Array
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, RequirementError
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.grid import Grid
from resnext_dsl.spaces.layout import Population
from resnext_dsl.spaces.screen import Screen, Verdict

FIRST = {True: 1 << 12, False: 1 << 5}
"""Candidates in the first batch, in closed form (True) and one by one; later batches double the total."""

CHUNK = {True: 1 << 18, False: 1 << 10}
"""Most candidates in one batch, in closed form (True) and one by one."""

LOOKS = {True: 20_000_000, False: 10_000}
"""Most candidates before sampling stops, in closed form (True) and one by one; at least 200 for each wanted one."""

LISTED = 1 << 22
"""Largest space that is enumerated, after as many draws as it has candidates."""

REASONS = 50
"""Candidates that are drawn to find the reasons for invalid ones, if no candidate is left."""


class Sample(list[Candidate]):
    """Candidates in the order of the draws, with statistics.

    Attributes:
        looked_at: The number of checked candidates: those drawn, or the whole space if it was enumerated.
        valid: The number of valid candidates among them.
        kept: The number of valid candidates among them that meet the budgets.
        complete: Whether the space was enumerated. If True, the counts are exact and no other candidate is left.
        costs: For params, flops, macs and activations an int64 array, in the order of the candidates.
    """

    def __init__(
        self,
        candidates: Iterable[Candidate],
        costs: dict[str, Array],
        looked_at: int,
        valid: int,
        kept: int,
        complete: bool,
    ) -> None:
        super().__init__(candidates)
        self.costs = costs
        self.looked_at = looked_at
        self.valid = valid
        self.kept = kept
        self.complete = complete

    @property
    def fraction(self) -> float:
        """The share of checked candidates that are valid and meet the budgets."""
        return self.kept / self.looked_at if self.looked_at else 0.0


class SampleTally:
    """Counts of checked, valid and kept candidates, and of the candidates that miss each limit."""

    def __init__(self, screen: Screen) -> None:
        self.limits = screen.limits
        self.looked_at = self.valid = self.kept = 0
        self.missed = [0] * len(screen.limits)
        self.nearest: list[Any] = [None] * len(screen.limits)

    def add(self, verdict: Verdict) -> None:
        """Adds the candidates of a verdict to the counts."""
        self.looked_at += len(verdict.valid)
        self.valid += int(verdict.valid.sum())
        self.kept += int(verdict.kept.sum())
        for number, (limit, missed, near) in enumerate(zip(self.limits, verdict.missed, verdict.nearest, strict=True)):
            self.missed[number] += missed
            known = self.nearest[number]
            if near is not None and (known is None or abs(near - limit.bound) < abs(known - limit.bound)):
                self.nearest[number] = near


class Kept:
    """Distinct valid candidates that meet the budgets."""

    def __init__(self, grid: Grid) -> None:
        self._layout = grid.layout
        self._seen: set[Any] = set()
        self.parts: list[tuple[Population, dict[str, Array]]] = []

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, population: Population, verdict: Verdict, most: int, order: Array | None = None) -> None:
        """Adds the new candidates of a population that meet the budgets.

        Args:
            population: Checked candidates.
            verdict: Their verdict.
            most: The total number of candidates after which no more are added.
            order: The order in which the kept candidates are added; their own order if None.
        """
        places = np.flatnonzero(verdict.kept)
        if order is not None:
            places = places[order]
        if not places.size:
            return
        seen, fresh = self._seen, []
        keys = self._layout.keys([column[places] for column in population])
        for place, key in zip(places.tolist(), keys, strict=True):
            if len(seen) == most:
                break
            if key not in seen:
                seen.add(key)
                fresh.append(place)
        costs = {measure: verdict.costs[measure][fresh] for measure in COST_MEASURES}
        self.parts.append(([column[fresh] for column in population], costs))


def sample(grid: Grid, screen: Screen, count: int, seed: int) -> Sample:
    """Draws a sample; `Space.sample` documents it."""
    layout = grid.layout
    rng = np.random.default_rng(seed)
    tally, kept = SampleTally(screen), Kept(grid)
    complete, fast = False, screen.fast
    while len(kept) < count and not complete:
        if layout.size is not None and layout.size <= min(LISTED, tally.looked_at):
            tally, complete = _rest(grid, screen, rng, kept, count), True
            continue
        if tally.looked_at >= max(LOOKS[fast], 200 * count):
            raise emptied(grid, screen, tally, rng) if not len(kept) else _too_few(grid, tally, len(kept), count)
        population = layout.draw(rng, min(CHUNK[fast], max(FIRST[fast], tally.looked_at)))
        verdict = screen.judge(population)
        tally.add(verdict)
        kept.add(population, verdict, count)
    if not len(kept) and count:
        raise emptied(grid, screen, tally, rng)
    return _sample(grid, kept, tally, complete)


def _rest(grid: Grid, screen: Screen, rng: np.random.Generator, kept: Kept, count: int) -> SampleTally:
    """Enumerates the grid and adds the remaining candidates in a random order."""
    tally = SampleTally(screen)
    whole, verdicts = [], []
    for population in populations(grid, CHUNK[screen.fast]):
        verdict = screen.judge(population)
        tally.add(verdict)
        # Only kept candidates stay in memory.
        place = np.flatnonzero(verdict.kept)
        whole.append([column[place] for column in population])
        verdicts.append(
            Verdict(verdict.valid[place], verdict.kept[place], {m: c[place] for m, c in verdict.costs.items()}, [], [])
        )
    population = [np.concatenate(columns) for columns in zip(*whole, strict=True)]
    costs = {measure: np.concatenate([verdict.costs[measure] for verdict in verdicts]) for measure in COST_MEASURES}
    everything = np.ones(tally.kept, dtype=bool)
    kept.add(population, Verdict(everything, everything, costs, [], []), count, rng.permutation(tally.kept))
    return tally


def populations(grid: Grid, chunk: int) -> Iterator[Population]:
    """All candidates of a grid in order, in chunks."""
    size = grid.layout.size
    assert size is not None
    for start in range(0, size, chunk):
        yield grid.layout.at(start, min(start + chunk, size))


def _sample(grid: Grid, kept: Kept, tally: SampleTally, complete: bool) -> Sample:
    candidates: list[Candidate] = []
    for population, costs in kept.parts:
        candidates += grid.candidates_of(population, len(costs["params"]))
    empty = np.zeros(0, dtype=np.int64)
    joined = {m: np.concatenate([empty, *(costs[m] for _, costs in kept.parts)]) for m in COST_MEASURES}
    return Sample(candidates, joined, tally.looked_at, tally.valid, tally.kept, complete)


# --- nothing left ---


def emptied(grid: Grid, screen: Screen, tally: SampleTally, rng: np.random.Generator) -> RequirementError:
    """The error that no candidate meets the budgets, with the number of candidates that miss each limit."""
    size = grid.layout.size
    whole = size is not None and tally.looked_at >= size
    of = "of all" if whole else "drawn of" if size is not None else "drawn"
    total = f" {size:,} candidates" if size is not None else " candidates"
    looked = f"{total}" if whole else f" {tally.looked_at:,} {of}{total}"
    head = f"none of the{looked} meets the budgets" if tally.valid else f"none of the{looked} is valid"
    notes = [
        Note(
            f"{missed:,} candidates miss {_limited(limit)}; the nearest has {limit.row.unit.show(nearest)}", limit.span
        )
        for limit, missed, nearest in zip(tally.limits, tally.missed, tally.nearest, strict=True)
        if missed
    ]
    lost = tally.looked_at - tally.valid
    if lost:
        notes += [Note(f"{lost:,} candidates are not valid"), *_reasons(grid, screen, rng)]
    hint = "widen a domain or the budget" if tally.valid else "widen a domain, or relax a `require`"
    return RequirementError([Diagnostic("E604", head, None, hint, tuple(notes), file=grid.network.source.name)])


def _limited(limit: Limit) -> str:
    name = f" of budget `{limit.budget}`" if limit.budget else ""
    return f"`{limit.subject} {limit.comparison} {limit.row.unit.show(limit.bound)}`{name}"


def _reasons(grid: Grid, screen: Screen, rng: np.random.Generator) -> list[Note]:
    """The reasons why candidates are invalid, the most frequent reason first."""
    population = grid.layout.draw(rng, REASONS)
    counts: dict[tuple[str, Any], int] = {}
    valid = screen.judge(population).valid
    for place, candidate in enumerate(grid.candidates_of(population, REASONS)):
        if not valid[place]:
            try:
                grid.bind(candidate)
            except ArchError as problem:
                first = problem.diagnostics[0]
                key = f"{first.code}, {first.message}"[:200], first.span
                counts[key] = counts.get(key, 0) + 1
    ordered = sorted(counts.items(), key=lambda item: -item[1])[:3]
    return [Note(f"{count} of {REASONS} redrawn candidates: {message}", span) for (message, span), count in ordered]


def _too_few(grid: Grid, tally: SampleTally, distinct: int, count: int) -> RequirementError:
    message = (
        f"found only {distinct:,} of {count:,} candidates among {tally.looked_at:,} drawn: "
        f"{tally.kept:,} of these are valid and meet the budgets"
    )
    hint = "ask for fewer, widen the budget, or narrow the domains to values that meet the budget"
    return RequirementError([Diagnostic("E604", message, None, hint, file=grid.network.source.name)])
