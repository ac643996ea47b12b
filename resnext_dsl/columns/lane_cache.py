"""A cache of results that hold for some candidates, and the keys of values that may be columns."""

from __future__ import annotations

from typing import Any

from resnext_dsl.columns.arithmetic import Column
from resnext_dsl.columns.lanes import Choice, Lanes, Mask
from resnext_dsl.semantics.values import OperatorValue, TemplateValue


class LaneCache:
    """A cache of results that hold for some candidates and for every subset of them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._entries: dict[Any, tuple[Mask, Any, Any]] = {}

    def find(self, key: Any) -> Any:
        """The cached result of a key if it holds for all candidates of the current path; else None."""
        lanes, entry = self._lanes, self._entries.get(key)
        if entry is None or (entry[0] is not lanes.active and lanes.both(lanes.active, ~entry[0]).any()):
            return None
        return entry[1]

    def keep(self, key: Any, active: Mask, result: Any, kept: Any) -> None:
        """Caches a result, unless candidates were excluded since.

        Args:
            key: The key; it may contain the `id` of objects.
            active: The candidates before the computation.
            result: The result.
            kept: The objects whose `id` the key contains; the cache keeps them alive.
        """
        if self._lanes.active is active:
            self._entries[key] = active, result, kept


def identity(value: Any) -> Any:
    """A hashable identity: of a column its `id`, of a plain value its type too, since 1, 1.0 and true are equal."""
    if type(value) is Column or type(value) is Choice:
        return id(value)
    if isinstance(value, tuple):
        return (type(value), *map(identity, value))
    if isinstance(value, OperatorValue):
        return value.operator.name, tuple((name, identity(argument)) for name, argument in value.arguments)
    if isinstance(value, TemplateValue):
        arguments = tuple((name, identity(argument)) for name, argument in value.arguments)
        return id(value.template), id(value.environment), arguments
    if isinstance(value, bool | int | float | str):
        return type(value), value
    return id(value)
