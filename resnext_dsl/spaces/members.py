"""Converts candidates to the indices of a population and back; refuses candidates of another space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.lanes import Array
from resnext_dsl.foundation.diagnostics import ArchError, did_you_mean, error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.overrides import override_source, value_of
from resnext_dsl.semantics.values import Environment
from resnext_dsl.spaces.candidate import Candidate, candidates_of, plain, text_of
from resnext_dsl.spaces.dimensions import WRITTEN, Dimension, revived
from resnext_dsl.spaces.layout import Layout, Population


def candidates(layout: Layout, population: Population, count: int) -> list[Candidate]:
    """The candidates of a population; `count` is their number, also for a layout without dimensions."""
    dimensions = layout.dimensions
    columns: dict[str, Any] = {}
    for dimension, places in zip(dimensions, population, strict=True):
        values = _values(dimension, places)
        if dimension.element is None:
            columns[dimension.parameter] = values
        else:
            columns.setdefault(dimension.parameter, []).append(values)
    elements = {dimension.parameter for dimension in dimensions if dimension.element is not None}
    rows = {name: list(zip(*column, strict=True)) if name in elements else column for name, column in columns.items()}
    names = tuple(rows)
    if not names:
        return [Candidate({})] * count
    if not layout.conditions:
        return candidates_of(names, zip(*rows.values(), strict=True))
    firsts = [next(n for n, dimension in enumerate(dimensions) if dimension.parameter == name) for name in names]
    there = zip(*(_there(dimensions[n], population[n]).tolist() for n in firsts), strict=True)
    return [
        Candidate({name: value for name, value, here in zip(names, row, present, strict=True) if here})
        for row, present in zip(zip(*rows.values(), strict=True), there, strict=True)
    ]


def _there(dimension: Dimension, places: Array) -> Array:
    return ~np.isnan(places) if dimension.size is None else places >= 0


def _values(dimension: Dimension, places: Array) -> list[Any]:
    """The values at some indices; the value of an inactive dimension has no meaning."""
    if dimension.size is None:
        return list(places.tolist())
    domain = dimension.domain
    if dimension.ordered and dimension.kind == "int":
        step = 1 if domain.step is None else domain.step
        return list((domain.low + places * step).tolist())
    if dimension.size > len(places):
        return [domain.value_at(place) for place in places.tolist()]
    values = dimension.values()
    return [values[place] for place in places.tolist()]


def population_of(layout: Layout, members: Sequence[Candidate]) -> Population:
    """The indices of candidates in the domains of the dimensions.

    Raises:
        ArchError: E201, E202 or E205 if a candidate belongs to another space.
    """
    for candidate in members:
        _known(layout, candidate)
    rows = [[_place(dimension, candidate) for dimension in layout.dimensions] for candidate in members]
    columns = list(zip(*rows, strict=True)) or [()] * len(layout.dimensions)
    population: Population = [
        np.array(column, dtype=np.float64 if dimension.size is None else np.int64)
        for column, dimension in zip(columns, layout.dimensions, strict=True)
    ]
    settled = layout.settled(population)
    for dimension, places, right in zip(layout.dimensions, population, settled, strict=True):
        wrong = np.flatnonzero(_there(dimension, places) != _there(dimension, right))
        if wrong.size:
            raise _misplaced(dimension, members[wrong[0]], bool(_there(dimension, right)[wrong[0]]))
    return population


def _place(dimension: Dimension, candidate: Candidate) -> float:
    missing = float("nan") if dimension.size is None else -1
    if dimension.parameter not in candidate:
        return missing
    value = candidate[dimension.parameter]
    if dimension.element is not None:
        value = value[dimension.element] if isinstance(value, tuple) and dimension.element < len(value) else value
    place = dimension.place_of(value)
    if place is None:
        message = f"`{dimension.name}` (={text_of(value)[:60]}) is not in its domain {dimension.domain}"
        raise _foreign("E205", message[:240], candidate)
    return place


def _known(layout: Layout, candidate: Mapping[str, Any]) -> None:
    known = {dimension.parameter: dimension for dimension in layout.dimensions}
    lengths = {d.parameter: d.element + 1 for d in layout.dimensions if d.element is not None}
    for name, value in candidate.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"dimensions: {', '.join(known)}"
            raise _foreign("E201", f"the space has no dimension `{name}`", candidate, hint)
        if name in lengths and (not isinstance(value, tuple) or len(value) != lengths[name]):
            raise _foreign("E205", f"`{name}` is a list of {lengths[name]}; found {text_of(value)[:60]}", candidate)


def _misplaced(dimension: Dimension, candidate: Candidate, needed: bool) -> ArchError:
    why = f", since `{dimension.condition}` holds" if dimension.condition else ""
    if needed:
        return _foreign("E202", f"the candidate needs a value for `{dimension.parameter}`{why}", candidate)
    why = f", since `{dimension.condition}` does not hold"
    return _foreign("E205", f"the candidate has a value for `{dimension.parameter}`, which is inactive{why}", candidate)


def _foreign(code: str, message: str, candidate: Mapping[str, Any], hint: str = "") -> ArchError:
    hint = hint or "the candidate belongs to another space; `bind` takes a dict of any values"
    return error(code, message, override_source("candidate", str(candidate)), hint=hint)


def candidate_of(layout: Layout, values: Mapping[str, Any]) -> Candidate:
    """The candidate of some values.

    Args:
        layout: The layout of the space.
        values: Values by name, from a command line, JSON or Python. Other parameters keep their value in the file.

    Raises:
        ArchError: E201, E202 or E205 if a value does not belong to the space.
    """
    kinds = {dimension.parameter: dimension for dimension in layout.dimensions}
    defaults = layout.settled([np.array([_default_place(dimension)]) for dimension in layout.dimensions])
    filled = dict(candidates(layout, defaults, 1)[0]) | {
        name: _revived(layout, name, value) if name in kinds else value for name, value in values.items()
    }
    # The given values may activate and deactivate parameters; `settled` below corrects `filled` for that.
    ordered = Candidate({name: filled[name] for name in (*kinds, *filled) if name in filled})
    _known(layout, ordered)
    places = [np.array([_place(dimension, ordered)]) for dimension in layout.dimensions]
    places = [column.astype(first.dtype) for column, first in zip(places, defaults, strict=True)]
    settled = layout.settled(places)
    candidate = candidates(layout, settled, 1)[0]
    for name in values:
        if name not in candidate:
            raise _misplaced(kinds[name], ordered, needed=False)
    return candidate


def _default_place(dimension: Dimension) -> float:
    """The index of the value in the file; the first index if that value is outside the domain."""
    place = dimension.place_of(dimension.default)
    return place if place is not None else dimension.domain.low if dimension.size is None else 0


def _revived(layout: Layout, name: str, value: Any) -> Any:
    members = [dimension for dimension in layout.dimensions if dimension.parameter == name]
    if isinstance(value, str):
        value = _read(members[0], value)
    if members[0].element is None:
        return revived(value, members[0].kind)
    if not isinstance(value, list | tuple) or len(value) != len(members):
        return revived(value, "")
    return tuple(revived(item, dimension.kind) for item, dimension in zip(value, members, strict=True))


def _read(dimension: Dimension, text: str) -> Any:
    """The value that a text from a command line stands for; the text itself where a candidate has text."""
    if dimension.element is None and (dimension.kind in WRITTEN or dimension.place_of(text) is not None):
        return text
    try:
        value = value_of(override_source(dimension.parameter, text), Interpreter(DEFAULTS), Environment())
    except ArchError:
        return text  # it is in no domain, which the caller reports
    return plain(value)
