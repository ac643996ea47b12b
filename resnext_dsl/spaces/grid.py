"""The grid of a space: its dimensions, the candidates that they span, and the network of each candidate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from resnext_dsl.foundation.diagnostics import did_you_mean, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.networks.network import Network
from resnext_dsl.networks.spec import Spec
from resnext_dsl.semantics.bind import Binder
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.semantics.scope import Scopes
from resnext_dsl.spaces.candidate import Candidate, override_of
from resnext_dsl.spaces.dimensions import Dimension, Reads, dimensions_of
from resnext_dsl.spaces.layout import Layout, Population, conditions_of
from resnext_dsl.spaces.members import candidates, population_of


class Grid:
    """The candidates of a spec, before requirements and budgets.

    Attributes:
        spec: The spec.
        network: The network of the fixed values and the values in the file.
        fixed: Values of parameters that do not vary.
    """

    def __init__(self, spec: Spec, fixed: Mapping[str, Any]) -> None:
        """Binds the network of the fixed values and the values in the file, which reports every error of the spec.

        Args:
            spec: The spec.
            fixed: Values of parameters that do not vary; they are no dimensions even if they have a domain.

        Raises:
            ArchError: If the spec has errors for these values; the exception lists all of them.
        """
        self.spec = spec
        self.fixed = dict(fixed)
        self.network = spec.network(self.fixed)

    @property
    def options(self) -> Options:
        """The bounds on the size of the spec."""
        return self.spec.options

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """One for each parameter with a domain, or for each element of a list with domains, in the order of the file.

        Raises:
            ArchError: E205 if the values of a dimension depend on another dimension, or are too large.
        """
        return dimensions_of(self.network, self._open, self.reads)

    @property
    def size(self) -> int | None:
        """The number of candidates before requirements and budgets; None if a range of floats has no step."""
        return self.layout.size

    @cached_property
    def reads(self) -> Reads:
        """The names that the declarations of the file read."""
        return Reads(self.network.declared)

    @cached_property
    def layout(self) -> Layout:
        """The dimensions with the conditions under which they are active.

        Raises:
            ArchError: E205 or E405 if a condition depends on a range without a step, or on too many combinations.
        """
        deciding = {
            name: self.reads.dimensions(self.reads.params[name].condition, self._open)
            for name in self._open
            if self.reads.params[name].condition is not None
        }
        return Layout(self.dimensions, conditions_of(self.dimensions, deciding, self._holds))

    @property
    def _open(self) -> list[str]:
        parameters = self.network.parameters.values()
        return [p.name for p in parameters if p.domain is not None and p.name not in self.fixed]

    def _holds(self, name: str, values: Mapping[str, Any]) -> bool:
        """Whether the `when` of a parameter holds for some values of other parameters."""
        evaluator = Interpreter(self.options)
        overrides = self.fixed | {key: override_of(value) for key, value in values.items()}
        parameter = Binder(evaluator, Scopes(evaluator)).bind(self.spec.spec_file, overrides).parameters.get(name)
        return parameter is None or bool(parameter.active)

    def population(self, members: Sequence[Candidate]) -> Population:
        """The indices of candidates in the domains of the dimensions.

        Args:
            members: Candidates of this space.

        Raises:
            ArchError: If a candidate belongs to another space.
        """
        return population_of(self.layout, members)

    def candidates_of(self, population: Population, count: int) -> list[Candidate]:
        """The candidates of a population.

        Args:
            population: For each dimension, the indices of the candidates.
            count: The number of candidates; a space without dimensions has an empty population.
        """
        return candidates(self.layout, population, count)

    def bind(self, values: Mapping[str, Any]) -> Network:
        """The network of a candidate, or of any values of parameters. The file is not read again.

        Args:
            values: A candidate, or values by name. Other parameters keep their values in the space.

        Raises:
            ArchError: If the spec has errors for these values, or a candidate belongs to another space.
            RequirementError: If a `require` of the spec does not hold for these values.
        """
        if isinstance(values, Candidate) and len(values):
            self.population([values])
            values = {name: override_of(value) for name, value in values.items()}
        return self.spec.network({**self.fixed, **values})

    def known(self, name: str, values: Any) -> None:
        """Checks that the network has a parameter of this name.

        Args:
            name: The name.
            values: The values that a user gives it, for the error.

        Raises:
            ArchError: E201 with the nearest name if there is no such parameter.
        """
        known = self.network.parameters
        if name not in known:
            hint = did_you_mean(name, known) or f"parameters: {', '.join(known)}"
            message = f"network `{self.network.name}` has no parameter `{name}`"
            raise error("E201", message, override_source(name, values), hint=hint)
