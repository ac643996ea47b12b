"""Computes the cost of many candidates: in closed form if they have one, else one by one.

Each parameter that varies has an axis of its own. So the work grows with the combinations of values that one operator
depends on, not with the number of candidates. The cost of an operator is then looked up for every candidate. If an
operator depends on too many combinations, the candidates are the only axis.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.arithmetic import LARGEST, column
from resnext_dsl.columns.axes import Axis, python_value, texts, varied
from resnext_dsl.columns.column_expansion import run
from resnext_dsl.columns.lanes import Array, Choice, DeadError, Lanes, NoClosedFormError, TooWideError
from resnext_dsl.columns.totals import Lookup, Totals
from resnext_dsl.costs.closed_form import COST_MEASURES, Cost
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.semantics.bound_network import Parameter
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.semantics.spec_files import SpecFile

CHUNK = 1 << 16
"""Candidates in one batch if they are the only axis."""


class CostColumns(NamedTuple):
    """The cost of candidates: int64 arrays, 0 for invalid candidates.

    Attributes:
        valid: For each candidate, whether it is valid: `load` gives its network.
        overflowed: For each candidate, whether it is invalid because a number in the computation leaves 64 bits.
        method: "closed form"; "closed form, candidate by candidate" if a number depends on too many parameters; or "one
            by one" if the candidates have no closed form.
        reason: The reason why the method is not "closed form".
    """

    params: Array
    flops: Array
    macs: Array
    activations: Array
    valid: Array
    overflowed: Array
    method: str
    reason: str = ""


def price(
    spec_file: SpecFile,
    parameters: Mapping[str, Parameter],
    fixed: Mapping[str, Any],
    columns: Mapping[str, Any],
    cost: Callable[[Mapping[str, Any]], Cost],
    options: Options,
) -> CostColumns:
    """The cost of many candidates.

    Args:
        spec_file: The spec file and its imports, as syntax trees.
        parameters: The parameters of the network, for their types.
        fixed: Values of parameters that are the same for all candidates.
        columns: For each parameter that varies, its values, as for `Space.cost`.
        cost: Returns the cost of a single candidate's network; raises ArchError if the candidate is invalid.
        options: Bounds on the size of the spec.

    Raises:
        ArchError: If a parameter cannot have one of its values.
        ValueError: If the columns have different lengths.
    """
    _check_texts(cost, texts(parameters, columns))
    count, axes, constants = varied(parameters, columns)
    plain = {**fixed, **constants}
    if count == 0 or not axes:
        return _one_by_one(cost, count, axes, plain, "")
    try:
        try:
            return _factored(spec_file, count, axes, plain, options)
        except TooWideError as problem:
            return _chunked(spec_file, count, axes, plain, options, str(problem))
    except NoClosedFormError as problem:
        return _one_by_one(cost, count, axes, plain, str(problem))
    except RecursionError:
        return _one_by_one(cost, count, axes, plain, "the spec is nested too deeply")


UNREADABLE = ("E001", "E002", "E003", "E101", "E204")
"""Codes of errors in a text that do not depend on other parameters."""


def _check_texts(cost: Callable[[Mapping[str, Any]], Cost], expressions: Mapping[str, list[str]]) -> None:
    """Refuses a text that does not parse or has the wrong type, since it is likely a typing error."""
    for name, options in expressions.items():
        for text in options:
            place = override_source(name, text).source.name
            try:
                cost({name: text})
            except ArchError as problem:
                for diagnostic in problem.diagnostics:
                    if (
                        diagnostic.code in UNREADABLE
                        and diagnostic.span is not None
                        and diagnostic.span.source.name == place
                    ):
                        raise ArchError([diagnostic]) from None


# --- closed form ---


def _factored(
    spec_file: SpecFile, count: int, axes: list[Axis], plain: dict[str, Any], options: Options
) -> CostColumns:
    """Prices candidates with one axis for each parameter."""
    lanes = Lanes(len(axes), max(4 * count, 1024))
    places = np.ix_(*(np.arange(len(axis.values)) for axis in axes))
    values = plain | opened(lanes, axes, places)
    columns = _looked_up(spec_file, values, lanes, options, [axis.place for axis in axes])
    return _columns(columns, "closed form")


def _chunked(
    spec_file: SpecFile, count: int, axes: list[Axis], plain: dict[str, Any], options: Options, reason: str
) -> CostColumns:
    """Prices candidates in batches, with the candidates as the only axis."""
    parts = []
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        size = chunk.stop - chunk.start
        lanes = Lanes(1, size)
        values = plain | opened(lanes, axes, [axis.place[chunk] for axis in axes])
        parts.append(_looked_up(spec_file, values, lanes, options, [np.arange(size)]))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _columns(columns, "closed form, candidate by candidate", reason)


def opened(lanes: Lanes, axes: Sequence[Axis], places: Sequence[Array]) -> dict[str, Any]:
    """Converts axes to columns, lists of columns, and choices, by parameter."""
    values: dict[str, Any] = {}
    for axis, place in zip(axes, places, strict=True):
        value = _open(lanes, axis.values, place)
        if axis.element is None:
            values[axis.name] = value
        else:
            values[axis.name] = [*values.get(axis.name, ()), value]
    return values


def _open(lanes: Lanes, values: Any, place: Array) -> Any:
    if isinstance(values, np.ndarray):
        return column(lanes, values[place])
    return Choice(lanes, [(place == number, value) for number, value in enumerate(values)])


def _looked_up(
    spec_file: SpecFile, values: Mapping[str, Any], lanes: Lanes, options: Options, index: list[Array]
) -> list[Array]:
    """The four measures, `valid` and `overflowed` of each candidate; `index` has its place on each axis."""
    find = Lookup(index)
    size = len(index[0])
    try:
        tables = Totals(run(spec_file, values, lanes, options))
        valid = find(lanes.active)
    except DeadError:
        zeros = [np.zeros(size, dtype=np.int64) for _ in COST_MEASURES]
        return [*zeros, np.zeros(size, dtype=bool), find(lanes.overflowed)]
    overflowed = find(lanes.overflowed)
    totals = []
    for measure in COST_MEASURES:
        total, large = tables.of(measure, find)
        valid &= ~large
        overflowed |= large
        totals.append(total)
    return [*(np.where(valid, total, 0) for total in totals), valid, overflowed]


def _columns(columns: list[Any], method: str, reason: str = "") -> CostColumns:
    params, flops, macs, activations, valid, overflowed = columns
    return CostColumns(params, flops, macs, activations, valid, overflowed, method, reason)


# --- one by one ---


def _one_by_one(
    cost: Callable[[Mapping[str, Any]], Cost], count: int, axes: list[Axis], plain: dict[str, Any], reason: str
) -> CostColumns:
    """Prices candidates by building the network of each distinct one."""
    known: dict[tuple[int, ...], tuple[int, ...]] = {}
    rows = []
    for candidate in range(count):
        key = tuple(int(axis.place[candidate]) for axis in axes)
        if key not in known:
            known[key] = _single(cost, plain | _values(axes, key))
        rows.append(known[key])
    table = np.array(rows, dtype=object).reshape(count, len(COST_MEASURES) + 1)
    large = np.array([any(abs(value) > LARGEST for value in row) for row in rows], dtype=bool)
    figures = [np.where(large, 0, table[:, place]).astype(np.int64) for place in range(len(COST_MEASURES))]
    valid = table[:, -1].astype(bool) & ~large
    return _columns([*figures, valid, large], "one by one" if reason else "closed form", reason)


def _values(axes: list[Axis], key: tuple[int, ...]) -> dict[str, Any]:
    """The values of one candidate, by parameter."""
    values: dict[str, Any] = {}
    for axis, place in zip(axes, key, strict=True):
        value = python_value(axis.values[place])
        values[axis.name] = value if axis.element is None else [*values.get(axis.name, ()), value]
    return values


def _single(cost: Callable[[Mapping[str, Any]], Cost], values: dict[str, Any]) -> tuple[int, ...]:
    try:
        figures = cost(values).figures
    except ArchError:
        return (0,) * (len(COST_MEASURES) + 1)
    return *figures, 1
