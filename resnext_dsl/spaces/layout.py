"""The layout of a space: which dimensions are active for which values of others, and the number of candidates.

A `Population` stores many candidates: for each dimension, one array with the index of each candidate's value.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.lanes import Array, Mask
from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.spaces.dimensions import Dimension

MOST_DECIDING = 10_000
"""Most combinations of values that one `when` may depend on."""

MOST_ROWS = 1 << 20
"""Most combinations of values of the dimensions that the conditions of one group depend on."""

WIDE = 2**62
"""Counts below this are computed in 64 bits."""

Population = list[Array]
"""For each dimension, the index of each candidate's value in the domain; -1 if the dimension is inactive.

A range of floats without a step has the numbers themselves; NaN if it is inactive."""

Truth = Callable[[str, Mapping[str, Any]], bool]
"""A function: whether the `when` of a parameter holds for some values of other parameters."""


class Presence(NamedTuple):
    """The condition of a dimension as a table.

    Attributes:
        deciding: The dimensions that the condition depends on.
        table: Whether the dimension is active, for each index of these dimensions; the last index means inactive.
    """

    deciding: tuple[int, ...]
    table: Mask

    def holds(self, places: Sequence[Array]) -> Mask:
        """Whether the dimension is active, for each candidate.

        Args:
            places: For each dimension of the layout, the indices of the candidates.
        """
        if not self.deciding:
            return np.full(len(places[0]), self.table.item())
        answers: Mask = self.table[tuple(places[dimension] for dimension in self.deciding)]
        return answers


class Group(NamedTuple):
    """Dimensions that conditions connect, and every combination of values of those that conditions depend on.

    Attributes:
        deciding: The dimensions that a condition depends on.
        following: The other dimensions of the group.
        rows: For each deciding dimension, its index in each combination.
        there: For each following dimension, whether it is active in each combination.
        counts: The number of candidates of each combination; a range of floats without a step counts as one value.
    """

    deciding: tuple[int, ...]
    following: tuple[int, ...]
    rows: tuple[Array, ...]
    there: tuple[Mask, ...]
    counts: Array

    @property
    def size(self) -> int:
        """The number of candidates of these dimensions."""
        return int(self.counts.sum())


class Layout:
    """The dimensions of a space with the conditions under which they are active.

    Attributes:
        dimensions: The dimensions in the order of the file.
        conditions: The conditions, by the index of the dimension.
        groups: A partition of the dimensions; conditions connect the dimensions of a group.
        size: The number of candidates before requirements and budgets; None if a range of floats has no step.
    """

    def __init__(self, dimensions: tuple[Dimension, ...], conditions: Mapping[int, Presence]) -> None:
        self.dimensions = dimensions
        self.conditions = dict(conditions)
        self.groups = tuple(self._group(members) for members in self._connected())
        dense = any(dimension.size is None for dimension in dimensions)
        self.size = None if dense else math.prod(group.size for group in self.groups)

    def _connected(self) -> list[list[int]]:
        """The connected components of the dimensions under their conditions."""
        group = list(range(len(self.dimensions)))
        for dimension, condition in self.conditions.items():
            for other in condition.deciding:
                old, new = group[dimension], group[other]
                group = [new if one == old else one for one in group]
        return [[d for d, one in enumerate(group) if one == number] for number in dict.fromkeys(group)]

    def _group(self, members: list[int]) -> Group:
        decides = {d for member in members if member in self.conditions for d in self.conditions[member].deciding}
        deciding = tuple(member for member in members if member in decides)
        following = tuple(member for member in members if member not in decides)
        rows = self._rows(deciding)
        count = len(rows[deciding[0]]) if deciding else 1
        there = tuple(
            self.conditions[d].holds(rows) if d in self.conditions and deciding else np.full(count, self._always(d))
            for d in following
        )
        counts: Any = np.ones(count, dtype=object)
        for dimension, mask in zip(following, there, strict=True):
            counts = counts * np.where(mask, self.dimensions[dimension].size or 1, 1).astype(object)
        return Group(deciding, following, tuple(rows[d] for d in deciding), there, counts)

    def _always(self, dimension: int) -> bool:
        """Whether a dimension is active if its condition depends on no other dimension."""
        return dimension not in self.conditions or bool(self.conditions[dimension].table.item())

    def _rows(self, deciding: tuple[int, ...]) -> list[Array]:
        """Every combination of the deciding dimensions; a condition depends on earlier dimensions only."""
        rows: list[Array] = [np.zeros(1, dtype=np.int64)] * len(self.dimensions)
        for dimension in deciding:
            size = self.dimensions[dimension].size
            assert size is not None
            condition = self.conditions.get(dimension)
            there = condition.holds(rows) if condition is not None else np.full(len(rows[0]), True)
            repeats = np.where(there, size, 1)
            if int(repeats.sum()) > MOST_ROWS:
                raise error("E405", f"the conditions (`when`) depend on more than {MOST_ROWS:,} combinations of values")
            places = np.concatenate([np.arange(size) if here else np.array([-1]) for here in there])
            rows = [np.repeat(row, repeats) for row in rows]
            rows[dimension] = places
        return rows

    # --- populations ---

    def draw(self, rng: np.random.Generator, count: int) -> Population:
        """Draws candidates uniformly, with replacement; values of a range with `log` uniformly in the logarithm."""
        population: list[Any] = [None] * len(self.dimensions)
        for group in self.groups:
            row = self._drawn_rows(group, rng, count)
            for dimension, places in zip(group.deciding, group.rows, strict=True):
                population[dimension] = places[row]
            for dimension, there in zip(group.following, group.there, strict=True):
                drawn = self.dimensions[dimension].drawn(rng, count)
                population[dimension] = drawn if there.all() else np.where(there[row], drawn, self._absent(dimension))
        return population

    def _drawn_rows(self, group: Group, rng: np.random.Generator, count: int) -> Array:
        if len(group.counts) == 1:
            return np.zeros(count, dtype=np.int64)
        logs = [d for d in group.deciding if self.dimensions[d].domain.log]
        if group.size < WIDE and not logs:
            tickets = rng.integers(0, group.size, count)
            return np.searchsorted(np.cumsum(group.counts.astype(np.int64)), tickets, side="right")
        largest = max(group.counts)
        chances = np.array([number / largest for number in group.counts], dtype=np.float64)
        for dimension in logs:
            places, each = group.rows[group.deciding.index(dimension)], self.dimensions[dimension].chances()
            chances *= np.where(places < 0, 1, each[places] * len(each))
        return rng.choice(len(chances), count, p=chances / chances.sum())

    def _absent(self, dimension: int) -> float:
        return np.nan if self.dimensions[dimension].size is None else -1

    def at(self, start: int, stop: int) -> Population:
        """The candidates with the numbers `start` to `stop - 1`; the last dimension changes fastest."""
        assert self.size is not None
        rest = np.arange(start, stop, dtype=np.int64)
        population: list[Any] = [None] * len(self.dimensions)
        for group in reversed(self.groups):
            # Numbers of candidates have 64 bits: a larger group is never passed.
            size = min(group.size, 2**63 - 1)
            rest, number = rest // size, rest % size
            self._place(group, number, population)
        return population

    def _place(self, group: Group, number: Array, population: list[Any]) -> None:
        ends = np.cumsum(np.minimum(group.counts, WIDE).astype(np.float64))
        if ends[-1] < 2**53:
            ends = np.cumsum(group.counts.astype(np.int64))
            row = np.searchsorted(ends, number, side="right")
            number = number - (ends[row] - group.counts.astype(np.int64)[row])
        else:
            row = np.zeros(len(number), dtype=np.int64)
        for dimension, places in zip(group.deciding, group.rows, strict=True):
            population[dimension] = places[row]
        for dimension, there in reversed(list(zip(group.following, group.there, strict=True))):
            size = self.dimensions[dimension].size
            here = there[row]
            population[dimension] = np.where(here, number % size, -1)
            number = np.where(here, number // size, number)

    def settled(self, population: Population) -> Population:
        """A population that meets the conditions: inactive dimensions are removed, missing ones get the file's value.

        Args:
            population: The indices of all dimensions; those of inactive dimensions are ignored.
        """
        settled: Population = []
        for number, places in enumerate(population):
            dimension = self.dimensions[number]
            condition = self.conditions.get(number)
            if condition is None:
                settled.append(places)
                continue
            default = dimension.place_of(dimension.default)
            missing = np.isnan(places) if dimension.size is None else places < 0
            filled = np.where(missing, (0 if default is None else default), places)
            there = condition.holds([*settled, *population[number:]])
            settled.append(np.where(there, filled, self._absent(number)).astype(places.dtype))
        return settled

    def keys(self, population: Population) -> list[Any]:
        """For each candidate, a hashable key; two keys are equal only if the candidates are."""
        sizes = [dimension.size for dimension in self.dimensions]
        if None not in sizes and math.prod(size + 1 for size in sizes if size is not None) < WIDE:
            keys: Any = np.zeros(len(population[0]) if population else 1, dtype=np.int64)
            for size, places in zip(sizes, population, strict=True):
                keys = keys * (size + 1) + places + 1  # type: ignore[operator]
            return list(keys.tolist())
        table = np.ascontiguousarray(np.stack([places.view(np.int64) for places in population], axis=1))
        text, width = table.tobytes(), 8 * len(population)
        return [text[start : start + width] for start in range(0, len(text), width)]


def conditions_of(
    dimensions: Sequence[Dimension], deciding: Mapping[str, Sequence[str]], truth: Truth
) -> dict[int, Presence]:
    """The conditions of dimensions, by the index of the dimension.

    Args:
        dimensions: The dimensions of a space.
        deciding: For each parameter with `when`, the parameters that its condition depends on.
        truth: Evaluates the condition for values of these parameters.

    Raises:
        ArchError: E405 if a condition depends on too many combinations of values, E205 if it depends on a range of
            floats without a step.
    """
    conditional = {d.parameter for d in dimensions if d.condition}
    conditions: dict[int, Presence] = {}
    known: dict[str, Presence] = {}
    for number, dimension in enumerate(dimensions):
        name = dimension.parameter
        if name in conditional:
            if name not in known:
                known[name] = _condition(name, dimensions, deciding[name], conditional, truth)
            conditions[number] = known[name]
    return conditions


def _condition(
    name: str, dimensions: Sequence[Dimension], deciding: Sequence[str], conditional: set[str], truth: Truth
) -> Presence:
    members = [number for number, dimension in enumerate(dimensions) if dimension.parameter in deciding]
    options: list[list[Any]] = []
    for number in members:
        dimension = dimensions[number]
        if dimension.size is None:
            message = f"the `when` of `{name}` depends on `{dimension.name}`, a range of floats without a step"
            raise error("E205", message, hint=f"give `{dimension.name}` a step")
        if math.prod(map(len, options)) * dimension.size > MOST_DECIDING:
            raise error("E405", f"the `when` of `{name}` depends on more than {MOST_DECIDING:,} combinations of values")
        options.append(dimension.values() + ([dimension.default] if dimension.parameter in conditional else []))
    answers = [truth(name, _values(dimensions, members, row)) for row in itertools.product(*options)]
    return Presence(tuple(members), np.array(answers, dtype=bool).reshape([len(option) for option in options]))


def _values(dimensions: Sequence[Dimension], members: Sequence[int], row: Sequence[Any]) -> dict[str, Any]:
    """The values of dimensions by parameter, with the elements of a list as a tuple."""
    values: dict[str, Any] = {}
    for number, value in zip(members, row, strict=True):
        dimension = dimensions[number]
        if dimension.element is None:
            values[dimension.parameter] = value
        else:
            values[dimension.parameter] = (*values.get(dimension.parameter, ()), value)
    return values
