"""The cheapest change of one parameter, within its domain, that would meet a limit of a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from resnext_dsl.budgets.measures import Subject
from resnext_dsl.budgets.usage import COMPARISONS, Usage
from resnext_dsl.columns.totals import MEASURES
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.semantics.values import show

if TYPE_CHECKING:
    from resnext_dsl.networks.network import Network
    from resnext_dsl.semantics.bind import Parameter
    from resnext_dsl.spaces.space import Space

MOST = 100_000
"""Values of one parameter that are priced together."""

MOST_NETWORKS = 250
"""Values that are tried one by one, for limits that have no closed form over parameters."""


class Change(NamedTuple):
    """A parameter's other value, and what the measure is with it."""

    name: str
    value: Any
    measured: int | float


def suggestion(space: Space, line: Usage) -> str:
    """What to change, in words; "" where no parameter has a domain, or the limit is of another kind.

    Cheapest is what changes the measure least.
    """
    if line.used is None or (line.limit.row.share is None and line.limit.measure != "depth"):
        return ""
    limit = line.limit
    met = COMPARISONS[limit.comparison]
    opened = [p for p in space.network.parameters.values() if p.domain is not None and p.domain.size and p.active]
    changes = [change for p in opened for change in _changes(space, p, line) if met(change.measured, limit.bound)]
    if not changes:
        return "no value of a single parameter, within its domain, would meet it" if opened else ""
    used = line.used
    best = min(changes, key=lambda change: abs(change.measured - used))
    return f"`--set {best.name}={show(best.value)}` would meet it, with {best.measured:,}"


def _changes(space: Space, parameter: Parameter, line: Usage) -> Iterator[Change]:
    assert parameter.domain is not None
    size = parameter.domain.size or 0
    limit = line.limit
    in_columns = limit.measure in MEASURES and not limit.part and limit.conditions.input is None
    if size > (MOST if in_columns else MOST_NETWORKS):
        return
    values = [value for value in parameter.domain.elements() if value != parameter.value]
    if in_columns and values:
        cost = space.cost({parameter.name: values})
        for value, valid, measured in zip(values, cost.valid, getattr(cost, limit.measure).tolist(), strict=True):
            if valid:
                yield Change(parameter.name, value, measured)
    elif values:
        yield from _one_by_one(lambda value: space.bind({parameter.name: value}), parameter.name, values, line)


def _one_by_one(bind: Callable[[Any], Network], name: str, values: list[Any], line: Usage) -> Iterator[Change]:
    limit = line.limit
    assert limit.row.read is not None
    for value in values:
        try:
            network = bind(value)
            at = network.at(limit.conditions.input) if limit.conditions.input is not None else network
        except ArchError:
            continue
        subject = Subject(at, limit.part, limit.conditions.dtype, dict(limit.arguments))
        yield Change(name, value, limit.row.read(subject))
