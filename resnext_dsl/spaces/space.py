"""The space of networks that a file declares: parameters with a domain are dimensions, a candidate has values."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.lanes import Array
from resnext_dsl.columns.price import CostColumns
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.networks.loading import source_of, spec_of
from resnext_dsl.networks.spec import Spec
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.grid import Grid
from resnext_dsl.spaces.members import candidate_of
from resnext_dsl.spaces.moves import coordinates, crossed, decoded, encoded, mutated, neighbours
from resnext_dsl.spaces.sample import CHUNK, Sample, populations
from resnext_dsl.spaces.sample import sample as drawn
from resnext_dsl.spaces.screen import Screen

Seed = int | np.random.Generator | None


class Space(Grid):
    """A file whose parameters are open.

    Those with a domain are its dimensions: what a search may pick. `sample`, `neighbours` and the like give candidates
    that are networks and keep the budgets.

    Attributes:
        spec: The file.
        network: The network of the parameters' own values.
        fixed: Values of parameters that do not vary.
    """

    def __init__(self, spec: Spec, fixed: Mapping[str, Any]) -> None:
        super().__init__(spec, fixed)
        self._screens: dict[tuple[str, ...], Screen] = {}

    def __repr__(self) -> str:
        return f"<Space of {self.network.name}: {', '.join(self.network.parameters)}>"

    # --- candidates ---

    def candidate(self, values: Mapping[str, Any] | None = None) -> Candidate:
        """The candidate of some values, as Python, JSON or a command line has them; others are those of the file.

        Raises:
            ArchError: For a value that is not of this space.
        """
        return candidate_of(self.layout, values or {})

    def sample(self, count: int, seed: int = 0, budget: str | Sequence[str] | None = None) -> Sample:
        """Candidates that are networks and keep the budgets, drawn evenly from all of these, none twice.

        Of a range with `log` the values are drawn evenly in the logarithm instead. The same seed gives the same
        candidates in the same order, and a smaller sample is the beginning of a larger one.

        Args:
            count: How many. Where the space has fewer, all of them are given.
            seed: Of the random numbers.
            budget: The budgets to keep, by name; all of the file where None. Latencies are not taken.

        Returns:
            A list; it says too how many were `looked_at`, `valid` and `kept`, which `fraction` that is, their `costs`,
            and whether the space is `complete`: gone through to the last.

        Raises:
            RequirementError: E604 where nothing will do, or far too little: how many were looked at, and which limit is
                in the way of how many.
        """
        return drawn(self, self.screen(budget), count, seed)

    def candidates(self, budget: str | Sequence[str] | None = None) -> Iterator[Candidate]:
        """Every candidate that is a network and keeps the budgets, in order, a part of them at a time.

        Raises:
            ArchError: E205 for a space without end.
        """
        if self.size is None:
            dense = next(dimension for dimension in self.dimensions if dimension.size is None)
            message = f"the domain {dense.domain} of `{dense.name}` has no end of values"
            raise error("E205", message, override_source(dense.name, str(dense.domain)), hint="give it a step, or draw")
        screen = self.screen(budget)
        for population in populations(self, CHUNK[screen.fast]):
            kept = np.flatnonzero(screen.judge(population).kept)
            yield from self.candidates_of([places[kept] for places in population], len(kept))

    def __iter__(self) -> Iterator[Candidate]:
        return self.candidates()

    def __contains__(self, candidate: object) -> bool:
        try:
            return isinstance(candidate, Candidate) and bool(self.population([candidate]) or True)
        except ArchError:
            return False

    def neighbours(self, candidate: Candidate, budget: str | Sequence[str] | None = None) -> list[Candidate]:
        """Those that differ in one value and keep the budgets: a step up or down in a range, any other value of a set.

        In a range of floats without a step the neighbours are a twentieth of it away. Where the value decides that
        other dimensions come to be there, these have the file's own values.
        """
        return neighbours(self, self.screen(budget), candidate)

    def mutate(self, candidate: Candidate, seed: Seed = None, budget: str | Sequence[str] | None = None) -> Candidate:
        """One of those that differ in one value, drawn anew from its domain, and keep the budgets.

        Args:
            candidate: Where to begin.
            seed: An int, or a generator of numpy that goes on.
            budget: As for `sample`.

        Raises:
            RequirementError: E604 where none is found.
        """
        return mutated(self, self.screen(budget), candidate, np.random.default_rng(seed))

    def crossover(
        self, one: Candidate, other: Candidate, seed: Seed = None, budget: str | Sequence[str] | None = None
    ) -> Candidate:
        """A mixture that keeps the budgets: each value from one of the two; one of these where no new one is found.

        Raises:
            RequirementError: E604 where none of them keeps the budgets either.
        """
        return crossed(self, self.screen(budget), one, other, np.random.default_rng(seed))

    # --- vectors ---

    @property
    def coordinates(self) -> list[str]:
        """What the numbers of an encoded candidate are: `width` for a range, `act=relu` for each value of a set."""
        return coordinates(self.dimensions)

    def encode(self, found: Candidate | Sequence[Candidate]) -> Array:
        """A candidate as numbers from 0 to 1, or several as rows; 0 for what is not there.

        A value of a range is its share of it, in the logarithm where it is drawn from so (a float may come back with
        another last digit); one of a set is a 1 among zeros.
        """
        alone = isinstance(found, Candidate)
        rows = encoded(self.dimensions, self.population([found] if isinstance(found, Candidate) else found))
        return rows[0] if alone else rows

    def decode(self, numbers: Array) -> Candidate | list[Candidate]:
        """The candidate nearest to some numbers, or those of rows; budgets are not looked at.

        Raises:
            ValueError: For numbers of another shape.
        """
        rows = np.atleast_2d(np.asarray(numbers, dtype=np.float64))
        wanted = len(self.coordinates)
        if rows.shape[1:] != (wanted,):
            raise ValueError(f"a candidate is {wanted} numbers; found an array of shape {np.shape(numbers)}")
        made = self.candidates_of(self.layout.settled(decoded(self.dimensions, rows)), len(rows))
        return made[0] if np.ndim(numbers) == 1 else made

    # --- many at once ---

    def screen(self, budget: str | Sequence[str] | None = None) -> Screen:
        """What holds candidates against the budgets of these names; against all of the file where None."""
        names = () if budget is None else (budget,) if isinstance(budget, str) else tuple(budget)
        if names not in self._screens:
            limits = self.network.limits_of(names)
            self._screens[names] = Screen(self, [(self.network.limits.index(limit), limit) for limit in limits])
        return self._screens[names]

    def to_json(self) -> dict[str, Any]:
        """The dimensions and budgets as JSON; `Dimension.from_json` reads a dimension."""
        return {
            "network": self.network.name,
            "dimensions": [dimension.to_json() for dimension in self.dimensions],
            "size": self.size,
            "budgets": list(dict.fromkeys(limit.budget for limit in self.network.limits)),
        }

    def cost(self, columns: Mapping[str, Sequence[Any] | Any]) -> CostColumns:
        """What each of many candidates costs, exact, in fvcore's convention; no network is built.

        Args:
            columns: For each parameter that varies, its value for every candidate: a numpy array, or a list. A single
                value stands for all candidates, as does a list for a parameter that is a list as deep. Text is read as
                an expression, as by `load`, but not for numbers. Other parameters keep their values.

        Returns:
            int64 arrays `params`, `flops`, `macs`, `activations` and the bool array `valid`, in the candidates' order.
            A candidate is valid where `load` would give its network: shapes fit, and every `require` holds; the
            figures of others are 0. Numbers beyond 64 bits are not wrapped: the candidate is `overflowed`, and not
            valid either.

        Raises:
            ArchError: For an unknown parameter, or a value of the wrong type.
            ValueError: For columns of different lengths.
        """
        for name, values in columns.items():
            self.known(name, values)
        return self.spec.price(self.network.parameters, self.fixed, columns)


def space(
    spec: str | os.PathLike[str],
    /,
    *,
    root: str | os.PathLike[str] | None = None,
    options: Options = DEFAULTS,
    **fixed: Any,
) -> Space:
    """The space of a file, or of a shipped network by its name.

    Args:
        spec: A path, or the name of a shipped network.
        root: The folder that imports stay under; that of the file by default.
        options: Bounds on the spec.
        **fixed: Values for parameters that do not vary.

    Raises:
        ArchError: With everything that is wrong with the spec.
    """
    return space_of(source_of(spec, options), root, options, fixed)


def space_of(source: Source, root: str | os.PathLike[str] | None, options: Options, fixed: Mapping[str, Any]) -> Space:
    """The space of a text."""
    return Space(spec_of(source, root, options), fixed)
