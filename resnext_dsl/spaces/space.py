"""The search space of a spec: each parameter with a domain is a dimension, a candidate has a value for each."""

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
    """The search space of a spec.

    Parameters with a domain are its dimensions. A candidate is valid if its network builds: all shapes fit and every
    `require` holds. `sample`, `candidates`, `neighbours`, `mutate` and `crossover` give only valid candidates that meet
    the budgets.

    Attributes:
        spec: The spec.
        network: The network of the fixed values and the values in the file.
        fixed: Values of parameters that do not vary.
    """

    def __init__(self, spec: Spec, fixed: Mapping[str, Any]) -> None:
        """Binds the network of the fixed values and the values in the file.

        Args:
            spec: The spec.
            fixed: Values of parameters that do not vary; they are no dimensions even if they have a domain.

        Raises:
            ArchError: If the spec has errors for these values; the exception lists all of them.
        """
        super().__init__(spec, fixed)
        self._screens: dict[tuple[str, ...], Screen] = {}

    def __repr__(self) -> str:
        return f"<Space of {self.network.name}: {', '.join(self.network.parameters)}>"

    # --- candidates ---

    def candidate(self, values: Mapping[str, Any] | None = None) -> Candidate:
        """The candidate of some values.

        Args:
            values: Values by name, from Python, JSON or a command line. Other parameters keep their value in the file.

        Raises:
            ArchError: E201, E202 or E205 if a value does not belong to this space.
        """
        return candidate_of(self.layout, values or {})

    def sample(self, count: int, seed: int = 0, budget: str | Sequence[str] | None = None) -> Sample:
        """Draws distinct candidates uniformly from all valid candidates that meet the budgets.

        Values of a range with `log` are drawn uniformly in the logarithm instead. The same seed gives the same
        candidates in the same order, and a smaller sample is the beginning of a larger one.

        Args:
            count: The number of candidates. If the space has fewer, the sample has all of them.
            seed: The seed of the random numbers.
            budget: Names of the budgets to meet; all budgets of the file if None. Latencies are not measured.

        Returns:
            A list of candidates with the counts `looked_at`, `valid` and `kept`, the `fraction` of candidates that were
            kept, and the `costs`. It is `complete` if every candidate of the space was checked.

        Raises:
            RequirementError: E604 if no candidate, or far too few candidates, meet the budgets. The error states the
                number of checked candidates, and how many of them miss each limit.
        """
        return drawn(self, self.screen(budget), count, seed)

    def candidates(self, budget: str | Sequence[str] | None = None) -> Iterator[Candidate]:
        """Iterates over all valid candidates that meet the budgets, in the order of the grid, in chunks.

        Args:
            budget: Names of the budgets to meet; all budgets of the file if None.

        Raises:
            ArchError: E205 if a range of floats has no step, so that the space is infinite.
        """
        if self.size is None:
            dense = next(dimension for dimension in self.dimensions if dimension.size is None)
            message = f"the domain {dense.domain} of `{dense.name}` is infinite"
            raise error(
                "E205", message, override_source(dense.name, str(dense.domain)), hint="give it a step, or draw a sample"
            )
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
        """The valid candidates that differ in one value and meet the budgets.

        The other value is one step up or down in a range, or any other value of a set. In a range of floats without a
        step, the neighbours are a twentieth of the range away. If the new value activates other dimensions, they get
        the values in the file.

        Args:
            candidate: A candidate of this space.
            budget: Names of the budgets to meet; all budgets of the file if None.

        Raises:
            ArchError: If the candidate belongs to another space.
        """
        return neighbours(self, self.screen(budget), candidate)

    def mutate(self, candidate: Candidate, seed: Seed = None, budget: str | Sequence[str] | None = None) -> Candidate:
        """A valid candidate that differs in one value, drawn from its domain, and meets the budgets.

        Args:
            candidate: A candidate of this space.
            seed: An int, or a numpy generator, whose state advances.
            budget: Names of the budgets to meet; all budgets of the file if None.

        Raises:
            RequirementError: E604 if none is found.
            ArchError: If the candidate belongs to another space.
        """
        return mutated(self, self.screen(budget), candidate, np.random.default_rng(seed))

    def crossover(
        self, one: Candidate, other: Candidate, seed: Seed = None, budget: str | Sequence[str] | None = None
    ) -> Candidate:
        """A mixture of two candidates that meets the budgets: each value comes from one of the two.

        If no new mixture is found, the result is one of the two that meets the budgets.

        Args:
            one: A candidate of this space.
            other: A candidate of this space.
            seed: An int, or a numpy generator, whose state advances.
            budget: Names of the budgets to meet; all budgets of the file if None.

        Raises:
            RequirementError: E604 if no mixture and neither of the two meets the budgets.
            ArchError: If a candidate belongs to another space.
        """
        return crossed(self, self.screen(budget), one, other, np.random.default_rng(seed))

    # --- vectors ---

    @property
    def coordinates(self) -> list[str]:
        """The names of the numbers of an encoded candidate: `width` for a range, `act=relu` for each value of a set."""
        return coordinates(self.dimensions)

    def encode(self, candidates: Candidate | Sequence[Candidate]) -> Array:
        """Encodes a candidate as numbers from 0 to 1, or several candidates as rows.

        A value of a range becomes its position in the range, in the logarithm for a range with `log`. A float may come
        back from `decode` with another last digit. A value of a set becomes a 1 among zeros. An inactive dimension
        becomes zeros.

        Args:
            candidates: A candidate of this space, or several.

        Raises:
            ArchError: If a candidate belongs to another space.
        """
        alone = isinstance(candidates, Candidate)
        members = [candidates] if isinstance(candidates, Candidate) else candidates
        rows = encoded(self.dimensions, self.population(members))
        return rows[0] if alone else rows

    def decode(self, numbers: Array) -> Candidate | list[Candidate]:
        """Decodes numbers to the nearest candidate, or rows of numbers to candidates. Budgets are not checked.

        Args:
            numbers: The numbers of one candidate, or a row for each candidate.

        Raises:
            ValueError: If the numbers have another shape.
        """
        rows = np.atleast_2d(np.asarray(numbers, dtype=np.float64))
        wanted = len(self.coordinates)
        if rows.shape[1:] != (wanted,):
            raise ValueError(f"a candidate is {wanted} numbers; found an array of shape {np.shape(numbers)}")
        candidates = self.candidates_of(self.layout.settled(decoded(self.dimensions, rows)), len(rows))
        return candidates[0] if np.ndim(numbers) == 1 else candidates

    # --- many at once ---

    def screen(self, budget: str | Sequence[str] | None = None) -> Screen:
        """The screen that checks candidates against budgets.

        Args:
            budget: Names of the budgets; all budgets of the file if None.

        Raises:
            ArchError: E101 for an unknown budget.
        """
        names = () if budget is None else (budget,) if isinstance(budget, str) else tuple(budget)
        if names not in self._screens:
            limits = self.network.limits_of(names)
            self._screens[names] = Screen(self, [(self.network.limits.index(limit), limit) for limit in limits])
        return self._screens[names]

    def to_json(self) -> dict[str, Any]:
        """The dimensions and the names of the budgets as JSON; `Dimension.from_json` reads a dimension."""
        return {
            "network": self.network.name,
            "dimensions": [dimension.to_json() for dimension in self.dimensions],
            "size": self.size,
            "budgets": list(dict.fromkeys(limit.budget for limit in self.network.limits)),
        }

    def cost(self, columns: Mapping[str, Sequence[Any] | Any]) -> CostColumns:
        """The exact cost of many candidates in fvcore's convention, without building their networks.

        Args:
            columns: For each parameter that varies, a numpy array or a list with its value for every candidate. A
                single value holds for all candidates; so does a list, if the parameter is a list of the same depth.
                Text is an expression, as for `load`, but not for numbers. Other parameters keep their values.

        Returns:
            int64 arrays `params`, `flops`, `macs`, `activations` and the bool array `valid`, in the candidates' order.
            A candidate is valid if `load` gives its network: shapes fit and every `require` holds. The figures of
            other candidates are 0. Numbers beyond 64 bits are not wrapped: the candidate is `overflowed` and invalid.

        Raises:
            ArchError: If a parameter is unknown, or a value has the wrong type.
            ValueError: If the columns have different lengths.
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
    """The search space of a spec file, or of a shipped network by its name.

    Args:
        spec: A path, or the name of a shipped network.
        root: The folder that imports must stay under; the folder of the file if None.
        options: Bounds on the size of the spec.
        **fixed: Values of parameters that do not vary.

    Raises:
        ArchError: If the spec has errors; the exception lists all of them.
    """
    return space_of(source_of(spec, options), root, options, fixed)


def space_of(source: Source, root: str | os.PathLike[str] | None, options: Options, fixed: Mapping[str, Any]) -> Space:
    """The search space of a source; arguments as for `space`."""
    return Space(spec_of(source, root, options), fixed)
