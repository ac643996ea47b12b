"""The grid of a space: its dimensions, the candidates that they allow, and the network of each candidate."""

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
        spec: The file.
        network: The network of the parameters' own values.
        fixed: Values of parameters that do not vary.
    """

    def __init__(self, spec: Spec, fixed: Mapping[str, Any]) -> None:
        """Binds the network of the parameters' own values, so that every error of the spec is reported.

        Raises:
            ArchError: With every error of the spec for these values.
        """
        self.spec = spec
        self.fixed = dict(fixed)
        self.network = spec.network(self.fixed)

    @property
    def options(self) -> Options:
        """Bounds on the spec."""
        return self.spec.options

    @cached_property
    def dimensions(self) -> tuple[Dimension, ...]:
        """One for each parameter with a domain, or for each element of a list with domains, in the order of the file.

        Raises:
            ArchError: E205 for one that has no values of its own, whatever the others are.
        """
        return dimensions_of(self.network, self._open, self.reads)

    @property
    def size(self) -> int | None:
        """How many candidates there are, before requirements and budgets; None where a range of floats has no step."""
        return self.layout.size

    @cached_property
    def reads(self) -> Reads:
        """Which names the declarations of the file read."""
        return Reads(self.network.declared)

    @cached_property
    def layout(self) -> Layout:
        """How the dimensions hang together."""
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
        """Whether the `when` of a parameter holds for some values of others."""
        evaluator = Interpreter(self.options)
        overrides = self.fixed | {key: override_of(value) for key, value in values.items()}
        parameter = Binder(evaluator, Scopes(evaluator)).bind(self.spec.module, overrides).parameters.get(name)
        return parameter is None or bool(parameter.active)

    def population(self, found: Sequence[Candidate]) -> Population:
        """The places of candidates in the dimensions.

        Raises:
            ArchError: For a candidate of another space.
        """
        return population_of(self.layout, found)

    def candidates_of(self, population: Population, count: int) -> list[Candidate]:
        """The candidates at some places; `count`: how many, for a space without dimensions."""
        return candidates(self.layout, population, count)

    def bind(self, values: Mapping[str, Any]) -> Network:
        """The network of a candidate, or of any values; other parameters keep theirs. The file is not read again.

        Raises:
            ArchError: Where the values give no network, or a candidate is of another space.
        """
        if isinstance(values, Candidate) and len(values):
            self.population([values])
            values = {name: override_of(value) for name, value in values.items()}
        return self.spec.network({**self.fixed, **values})

    def known(self, name: str, values: Any) -> None:
        """Raises ArchError E201, with the nearest name, where there is no parameter of this name."""
        known = self.network.parameters
        if name not in known:
            hint = did_you_mean(name, known) or f"parameters: {', '.join(known)}"
            message = f"network `{self.network.name}` has no parameter `{name}`"
            raise error("E201", message, override_source(name, values), hint=hint)
