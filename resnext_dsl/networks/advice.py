"""Finds the smallest change of one parameter, within its domain, that meets an exceeded limit of a budget."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from resnext_dsl.budgets.limits import Limit
from resnext_dsl.budgets.measures import Subject
from resnext_dsl.budgets.usage import COMPARISONS, Usage
from resnext_dsl.columns.price import CostColumns
from resnext_dsl.costs.closed_form import COST_MEASURES
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.semantics.bound_network import Parameter
from resnext_dsl.semantics.values import source_text

if TYPE_CHECKING:
    from resnext_dsl.networks.network import Network

MOST = 100_000
"""Most values of one parameter that are priced in closed form."""

MOST_NODES = 12_000
"""Most nodes in all networks that are bound one by one for a parameter: about a second of work."""

LARGEST_PRICED = 5_000
"""Most nodes of a network whose parameters are priced in closed form."""

MOST_NETWORKS = 250
"""Most values of one parameter that are bound one by one, for limits without a closed form over parameters."""


Setting = tuple[str, Any]
"""A parameter and another value of it."""


class ParameterChange(NamedTuple):
    """Another value of a parameter, and the measure of the network with it."""

    name: str
    value: Any
    measured: int | float


class Advisor:
    """Finds changes for the exceeded limits of one network. It prices each parameter once for all limits."""

    def __init__(
        self,
        parameters: Mapping[str, Parameter],
        price: Callable[[Mapping[str, Any]], CostColumns],
        bind: Callable[[Mapping[str, Any]], Network],
        nodes: int,
    ) -> None:
        """Stores the parameters of the network and the two functions that evaluate other values of them.

        Args:
            parameters: The parameters of the network, by name.
            price: Returns the cost of columns of values. Parameters without a column keep the network's values.
            bind: Returns the network of other values. Parameters without a value keep the network's values.
            nodes: The number of nodes of the network. A large network gets fewer suggestions, since each takes time.
        """
        self._open = [p for p in parameters.values() if p.domain is not None and p.domain.size and p.active]
        self._price = price
        self._bind = bind
        self._nodes = max(nodes, 1)
        self._priced: dict[str, tuple[list[Any], CostColumns]] = {}
        self._bound: dict[str, list[tuple[Any, Network]]] = {}
        self._figures: dict[Limit, dict[Setting, int | float]] = {}

    def suggestion(self, line: Usage, report: Sequence[Usage] = ()) -> str:
        """The change that meets an exceeded limit, as a sentence.

        Of several changes, the sentence names the one that changes the exceeded measures least. A change that keeps or
        meets every limit of the report goes before one that meets this limit alone, so several exceeded limits get one
        suggestion. The result is "" if no parameter has a domain. It is also "" if the measure is neither a sum of
        costs over nodes nor the depth.

        Args:
            line: The exceeded limit.
            report: All limits of the network, with this one.
        """
        if not _can_advise(line):
            return ""
        exceeded = [each for each in report if _can_advise(each) and not each.met]
        if line in exceeded and (best := self._best([each for each in report if _can_advise(each)], exceeded)):
            count = (
                "it" if len(exceeded) == 1 else "both limits" if len(exceeded) == 2 else f"all {len(exceeded)} limits"
            )
            return _sentence(best, count, self._measured(line)[best])
        best = self._best([line], [line])
        if best is None:
            searched = self._open and self._measured(line)
            return "no value of a single parameter, within its domain, would meet it" if searched else ""
        return _sentence(best, "it", self._measured(line)[best])

    def _best(self, limits: Sequence[Usage], exceeded: Sequence[Usage]) -> Setting | None:
        """The setting that meets all limits and changes the exceeded measures least, as shares; None if none does."""
        measured = [self._measured(line) for line in limits]
        settings = [
            setting
            for setting in measured[0]
            if all(
                setting in figures and COMPARISONS[line.limit.comparison](figures[setting], line.limit.bound)
                for line, figures in zip(limits, measured, strict=True)
            )
        ]

        def change(setting: Setting) -> float:
            figures = [(line.used or 0, self._measured(line)[setting]) for line in exceeded]
            return sum(abs(after - before) / max(before, 1) for before, after in figures)

        return min(settings, key=change, default=None)

    def _measured(self, line: Usage) -> dict[Setting, int | float]:
        """The measure of a limit for each other value of each parameter, without those that give no network."""
        key = line.limit
        if key not in self._figures:
            changes = [change for parameter in self._open for change in self._changes(parameter, line)]
            self._figures[key] = {(change.name, change.value): change.measured for change in changes}
        return self._figures[key]

    def _changes(self, parameter: Parameter, line: Usage) -> Iterator[ParameterChange]:
        assert parameter.domain is not None
        size = parameter.domain.size or 0
        limit = line.limit
        in_columns = limit.measure in COST_MEASURES and not limit.part and limit.conditions.input is None
        if size > (MOST if in_columns else min(MOST_NETWORKS, MOST_NODES // self._nodes)):
            return
        if in_columns and self._nodes > LARGEST_PRICED:
            return
        if in_columns:
            values, cost = self._columns(parameter)
            for value, valid, measured in zip(values, cost.valid, getattr(cost, limit.measure).tolist(), strict=True):
                if valid:
                    yield ParameterChange(parameter.name, value, measured)
            return
        assert limit.row.read is not None
        for value, network in self._networks(parameter):
            try:
                at = network.at(limit.conditions.input) if limit.conditions.input is not None else network
            except ArchError:
                continue
            subject = Subject(at, limit.part, limit.conditions.dtype, dict(limit.arguments))
            yield ParameterChange(parameter.name, value, limit.row.read(subject))

    def _columns(self, parameter: Parameter) -> tuple[list[Any], CostColumns]:
        if parameter.name not in self._priced:
            values = _other_values(parameter)
            self._priced[parameter.name] = values, self._price({parameter.name: values})
        return self._priced[parameter.name]

    def _networks(self, parameter: Parameter) -> list[tuple[Any, Network]]:
        if parameter.name not in self._bound:
            networks = []
            for value in _other_values(parameter):
                with suppress(ArchError):
                    networks.append((value, self._bind({parameter.name: value})))
            self._bound[parameter.name] = networks
        return self._bound[parameter.name]


def _can_advise(line: Usage) -> bool:
    """Whether the measure of a limit is known without measuring, and changes with the network."""
    return line.used is not None and (line.limit.row.share is not None or line.limit.measure == "depth")


def _sentence(setting: Setting, limits: str, measured: int | float) -> str:
    name, value = setting
    return f"`--set {shlex.quote(f'{name}={source_text(value)}')}` would meet {limits}, with {measured:,}"


def _other_values(parameter: Parameter) -> list[Any]:
    """The values of the parameter's domain other than its current value."""
    assert parameter.domain is not None
    return [value for value in parameter.domain.elements() if value != parameter.value]
