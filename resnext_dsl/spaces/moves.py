"""Moves from candidates to others that meet the budgets (neighbours, mutation, crossover), and their vectors."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from resnext_dsl.columns.lanes import Array
from resnext_dsl.foundation.diagnostics import Diagnostic, RequirementError
from resnext_dsl.spaces.candidate import Candidate, text_of
from resnext_dsl.spaces.dimensions import Dimension
from resnext_dsl.spaces.grid import Grid
from resnext_dsl.spaces.layout import Population
from resnext_dsl.spaces.screen import Screen

TRIES = 64
"""Changes that are tried in one batch."""

ROUNDS = 32
"""Most batches before the search for a change stops."""

STEP = 0.05
"""The distance to a neighbour in a range of floats without a step, as a share of the range."""

Rng = np.random.Generator


def neighbours(grid: Grid, screen: Screen, candidate: Candidate) -> list[Candidate]:
    """The neighbours of a candidate; `Space.neighbours` documents it."""
    places = grid.population([candidate])
    rows: list[Population] = []
    for number, dimension in enumerate(grid.layout.dimensions):
        for other in _beside(dimension, places[number]):
            rows.append([*places[:number], other, *places[number + 1 :]])
    if not rows:
        return []
    return _kept(grid, screen, [np.concatenate(columns) for columns in zip(*rows, strict=True)], {candidate})


def _beside(dimension: Dimension, place: Array) -> list[Array]:
    """The indices next to one: a step up and down in a range, every other value of a set."""
    if dimension.size is None:
        if np.isnan(place[0]):
            return []
        share = _shares(dimension, place)
        ends = [_numbers(dimension, np.clip(share + step, 0, 1)) for step in (-STEP, STEP)]
        return [end for end in ends if end[0] != place[0]]
    if place[0] < 0:
        return []
    near = [place[0] - 1, place[0] + 1] if dimension.ordered else range(dimension.size)
    return [np.array([other]) for other in near if 0 <= other < dimension.size and other != place[0]]


def _shares(dimension: Dimension, numbers: Array) -> Array:
    """The position of numbers in a range, from 0 to 1; in the logarithm for a range with `log`."""
    low, high = dimension.domain.low, dimension.domain.high
    if high == low:
        return np.zeros(len(numbers))
    shares = np.log(numbers / low) / np.log(high / low) if dimension.domain.log else (numbers - low) / (high - low)
    return np.asarray(shares)


def _numbers(dimension: Dimension, shares: Array) -> Array:
    """The numbers at positions from 0 to 1 in a range; the inverse of `_shares`."""
    low, high = dimension.domain.low, dimension.domain.high
    numbers = low * (high / low) ** shares if dimension.domain.log else low + shares * (high - low)
    return np.asarray(np.clip(numbers, low, high))


def mutated(grid: Grid, screen: Screen, candidate: Candidate, rng: Rng) -> Candidate:
    """A candidate with one other value; `Space.mutate` documents it."""
    places = grid.population([candidate])
    there = [
        number
        for number, dimension in enumerate(grid.layout.dimensions)
        if dimension.size != 1
        and not (np.isnan(places[number][0]) if dimension.size is None else places[number][0] < 0)
    ]

    def trials() -> Population:
        population = [np.repeat(column, TRIES) for column in places]
        chosen = rng.choice(there, TRIES)
        for number in there:
            drawn = grid.layout.dimensions[number].drawn(rng, TRIES)
            population[number] = np.where(chosen == number, drawn, population[number])
        return population

    return _first(
        grid, screen, trials if there else None, [candidate], f"no other value in {candidate} meets the budgets"
    )


def crossed(grid: Grid, screen: Screen, one: Candidate, other: Candidate, rng: Rng) -> Candidate:
    """A mixture of two candidates; `Space.crossover` documents it."""
    parents = grid.population([one, other])

    def trials() -> Population:
        mixtures = []
        for column in parents:
            missing = np.isnan(column) if column.dtype.kind == "f" else column < 0
            # A value that only one parent has comes from that parent.
            choice = np.full(TRIES, int(missing[0])) if missing.any() else rng.integers(0, 2, TRIES)
            mixtures.append(column[choice])
        return mixtures

    return _first(grid, screen, trials, [one, other], "no mixture of the two meets the budgets")


def _first(
    grid: Grid, screen: Screen, trials: Callable[[], Population] | None, known: list[Candidate], message: str
) -> Candidate:
    """The first new candidate that meets the budgets.

    If none is found and there are two known candidates, it is the first of them that meets the budgets.

    Raises:
        RequirementError: E604 with the message if none is found.
    """
    for _ in range(ROUNDS if trials is not None else 0):
        assert trials is not None
        candidates = _kept(grid, screen, trials(), set(known))
        if candidates:
            return candidates[0]
    kept = _kept(grid, screen, grid.population(known), set()) if len(known) > 1 else []
    if kept:
        return kept[0]
    hint = "widen the budget, or begin with another candidate"
    raise RequirementError([Diagnostic("E604", message[:300], None, hint, file=grid.network.source.name)])


def _kept(grid: Grid, screen: Screen, population: Population, known: set[Candidate]) -> list[Candidate]:
    """The distinct candidates of a population that meet the budgets and are not known."""
    settled = grid.layout.settled(population)
    kept = np.flatnonzero(screen.judge(settled).kept)
    candidates = grid.candidates_of([column[kept] for column in settled], len(kept))
    return [candidate for candidate in dict.fromkeys(candidates) if candidate not in known]


# --- vectors ---


def coordinates(dimensions: tuple[Dimension, ...]) -> list[str]:
    """The names of a vector's coordinates: one for a range, one for each value of a set."""
    names: list[str] = []
    for dimension in dimensions:
        names += (
            [dimension.name]
            if dimension.ordered
            else [f"{dimension.name}={text_of(value)}" for value in dimension.domain.values]
        )
    return names


def encoded(dimensions: tuple[Dimension, ...], population: Population) -> Array:
    """Candidates as rows of numbers from 0 to 1; an inactive dimension has zeros."""
    columns: list[Array] = []
    for dimension, places in zip(dimensions, population, strict=True):
        if not dimension.ordered:
            assert dimension.size is not None
            columns += [(places == place).astype(np.float64) for place in range(dimension.size)]
        elif dimension.size is not None and not dimension.domain.log:
            columns.append(np.where(places < 0, 0, places / max(dimension.size - 1, 1)))
        else:
            missing = np.isnan(places) if dimension.size is None else places < 0
            low = dimension.domain.low
            numbers = np.where(missing, low, places if dimension.size is None else places + low)
            columns.append(np.where(missing, 0, _shares(dimension, numbers)))
    return np.stack(columns, axis=1)


def decoded(dimensions: tuple[Dimension, ...], rows: Array) -> Population:
    """The indices nearest to rows of numbers, as if every dimension were active."""
    population: Population = []
    column = 0
    for dimension in dimensions:
        if not dimension.ordered:
            assert dimension.size is not None
            population.append(np.argmax(rows[:, column : column + dimension.size], axis=1).astype(np.int64))
            column += dimension.size
            continue
        shares = np.clip(rows[:, column], 0, 1)
        column += 1
        if dimension.size is None:
            population.append(_numbers(dimension, shares))
        elif dimension.domain.log:
            population.append(np.rint(_numbers(dimension, shares)).astype(np.int64) - dimension.domain.low)
        else:
            population.append(np.rint(shares * (dimension.size - 1)).astype(np.int64))
    return population
