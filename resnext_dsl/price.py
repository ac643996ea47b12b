"""The cost of many candidates: in closed form where they have one, one by one where they have none.

Each parameter that varies is an axis of its own, so the work grows with the combinations that meet in one operator and
not with the candidates; what an operator costs is then looked up for every candidate. Where too many combinations meet,
the candidates themselves are the only axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from resnext_dsl.columns import (
    LARGEST,
    Array,
    Choice,
    Column,
    DeadError,
    Lanes,
    Mask,
    NoClosedFormError,
    TooWideError,
    column,
)
from resnext_dsl.diagnostics import ArchError, error
from resnext_dsl.files import Module
from resnext_dsl.network import Network
from resnext_dsl.operators.base import is_int
from resnext_dsl.options import Options
from resnext_dsl.overrides import override_source
from resnext_dsl.symbolic import Joined, Priced, Result, run
from resnext_dsl.values import show, type_name

MEASURES = ("params", "flops", "macs", "activations")
CHUNK = 1 << 16
"""Candidates that are priced together where they are the only axis."""


class CostColumns(NamedTuple):
    """What candidates cost: int64 arrays, 0 where `valid` is false.

    Attributes:
        valid: Whether the candidate is a network.
        overflowed: Whether it is left out because its figures, or what they are computed from, leave 64 bits.
        method: "closed form", "closed form, candidate by candidate" (too many parameters meet in one number), or "one
            by one" (the candidates have no closed form); `reason` says why.
    """

    params: Array
    flops: Array
    macs: Array
    activations: Array
    valid: Array
    overflowed: Array
    method: str
    reason: str = ""


class Axis(NamedTuple):
    """A parameter that varies: its distinct values, and for each candidate the place of its own among them.

    Attributes:
        element: Of a list or shape that always has the same length, the position whose number varies; None for the
            parameter as a whole.
    """

    name: str
    element: int | None
    values: Any
    place: Array


def price(
    module: Module,
    network: Network,
    columns: Mapping[str, Any],
    bind: Callable[[Mapping[str, Any]], Network],
    options: Options,
) -> CostColumns:
    """What candidates cost.

    Args:
        module: The file.
        network: Its network, for the types of the parameters.
        columns: As `Space.cost` takes them.
        bind: Makes the network of a single candidate.
        options: Bounds on the spec.
    """
    count, axes, plain = _axes(network, columns)
    if count == 0 or not axes:
        return _one_by_one(bind, count, axes, plain, "")
    try:
        try:
            return _factored(module, count, axes, plain, options)
        except TooWideError as problem:
            return _chunked(module, count, axes, plain, options, str(problem))
    except NoClosedFormError as problem:
        return _one_by_one(bind, count, axes, plain, str(problem))


# --- what varies ---


def _axes(network: Network, columns: Mapping[str, Any]) -> tuple[int, list[Axis], dict[str, Any]]:
    """The number of candidates, the parameters that vary, and the values of those that do not."""
    plain: dict[str, Any] = {}
    many: dict[str, Any] = {}
    for name, values in columns.items():
        kind = type_name(network.parameters[name].value)
        if not _is_many(values, kind):
            plain[name] = values
        else:
            many[name] = values
    lengths = {len(values) for values in many.values()}
    if len(lengths) > 1:
        raise ValueError(f"columns of different lengths: {', '.join(f'{k}: {len(v)}' for k, v in many.items())}")
    count = lengths.pop() if lengths else 1
    axes = []
    for name, values in many.items():
        for axis in _axes_of(name, values, type_name(network.parameters[name].value)):
            if axis.element is None and len(axis.values) == 1:
                plain[name] = _plain(axis.values[0])
            else:
                axes.append(axis)
    return count, axes, plain


def _is_many(values: Any, kind: str) -> bool:
    """Whether values are a column, and no single value: a list is one for a parameter that is a list."""
    if isinstance(values, np.ndarray):
        return values.ndim > 0
    if not isinstance(values, list | tuple):
        return False
    return kind not in ("list", "shape") or any(isinstance(value, list | tuple) for value in values)


def _axes_of(name: str, values: Any, kind: str) -> list[Axis]:
    table = _table(values) if kind in ("list", "shape") else None
    if table is None:
        return [_axis(name, values, kind)]
    return [_numbers(name, place, table[:, place]) for place in range(table.shape[1])]


def _table(values: Any) -> Array | None:
    """Lists as a table of ints; None where their lengths differ, or an element is no int."""
    if not isinstance(values, np.ndarray):
        lists = all(isinstance(value, list | tuple) for value in values)
        if not lists or len({len(value) for value in values}) != 1:
            return None
        if not all(is_int(_plain(item)) for value in values for item in value):
            return None
    table = np.asarray(values)
    return table if table.ndim == 2 and table.size and table.dtype.kind in "iu" else None


def _axis(name: str, values: Any, kind: str) -> Axis:
    if kind in _DTYPES:
        array = np.asarray(values)
        if not len(array) or (array.ndim == 1 and array.dtype.kind in _TAKEN[kind]):
            return _numbers(name, None, array.astype(_DTYPES[kind]))
        wrong = next((_plain(value) for value in values if not _fits(value, kind)), array)
        message = f"`{name}` must be {'an' if kind == 'int' else 'a'} {kind}; found {show(wrong)}"[:200]
        raise error("E204", message, override_source(name, wrong))
    distinct: dict[str, tuple[int, Any]] = {}
    # 1, 1.0 and true are equal, and spelled differently.
    place = [distinct.setdefault(repr(_plain(value)), (len(distinct), _plain(value)))[0] for value in values]
    return Axis(name, None, [value for _, value in distinct.values()], np.array(place, dtype=np.int64))


_DTYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_}
_TAKEN = {"int": "iu", "float": "iuf", "bool": "b"}
"""Types of a parameter, and the kinds of numpy's numbers that it takes."""


def _fits(value: Any, kind: str) -> bool:
    value = _plain(value)
    if kind == "bool" or isinstance(value, bool):
        return kind == "bool" and isinstance(value, bool)
    return isinstance(value, int if kind == "int" else int | float) and abs(value) <= LARGEST


def _numbers(name: str, element: int | None, array: Array) -> Axis:
    whole = array.size and array.dtype.kind in "iu"
    low, high = (int(array.min()), int(array.max())) if whole else (0, LARGEST)
    if high - low < max(1 << 16, array.size):
        # Sorting a million numbers takes longer than to price them.
        present = np.zeros(high - low + 1, dtype=bool)
        present[array - low] = True
        return Axis(name, element, np.flatnonzero(present) + low, (np.cumsum(present) - 1)[array - low])
    values, index = np.unique(array, return_inverse=True)
    return Axis(name, element, values, index)


def _plain(value: Any) -> Any:
    """A value without numpy's types."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    return value.item() if isinstance(value, np.generic) else value


# --- closed form ---


def _factored(module: Module, count: int, axes: list[Axis], plain: dict[str, Any], options: Options) -> CostColumns:
    """One axis for each parameter."""
    lanes = Lanes(len(axes), max(4 * count, 1 << 16))
    places = np.ix_(*(np.arange(len(axis.values)) for axis in axes))
    opened = plain | _opened(lanes, axes, places)
    columns = _looked_up(module, opened, lanes, options, [axis.place for axis in axes])
    return _columns(columns, "closed form")


def _chunked(
    module: Module, count: int, axes: list[Axis], plain: dict[str, Any], options: Options, reason: str
) -> CostColumns:
    """The candidates as the only axis, so many at a time."""
    parts = []
    for start in range(0, count, CHUNK):
        chunk = slice(start, min(start + CHUNK, count))
        size = chunk.stop - chunk.start
        lanes = Lanes(1, size)
        opened = plain | _opened(lanes, axes, [axis.place[chunk] for axis in axes])
        parts.append(_looked_up(module, opened, lanes, options, [np.arange(size)]))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return _columns(columns, "closed form, candidate by candidate", reason)


def _opened(lanes: Lanes, axes: list[Axis], places: Sequence[Array]) -> dict[str, Any]:
    """The parameters as columns, lists of columns, and choices."""
    opened: dict[str, Any] = {}
    for axis, place in zip(axes, places, strict=True):
        value = _open(lanes, axis.values, place)
        if axis.element is None:
            opened[axis.name] = value
        else:
            opened[axis.name] = [*opened.get(axis.name, ()), value]
    return opened


def _open(lanes: Lanes, values: Any, place: Array) -> Any:
    if isinstance(values, np.ndarray):
        return column(lanes, values[place])
    return Choice(lanes, [(place == number, value) for number, value in enumerate(values)])


def _looked_up(
    module: Module, opened: Mapping[str, Any], lanes: Lanes, options: Options, index: list[Array]
) -> list[Array]:
    """The four measures, `valid` and `overflowed` of each candidate, whose places on the axes are `index`."""
    find = _Lookup(index)
    size = len(index[0])
    try:
        tables = Totals(run(module, opened, lanes, options))
        valid = find(lanes.active)
    except DeadError:
        nothing = [np.zeros(size, dtype=np.int64) for _ in MEASURES]
        return [*nothing, np.zeros(size, dtype=bool), find(lanes.overflowed)]
    overflowed = find(lanes.overflowed)
    found = []
    for measure in MEASURES:
        total, large = tables.of(measure, find)
        valid &= ~large
        overflowed |= large
        found.append(total)
    return [*(np.where(valid, total, 0) for total in found), valid, overflowed]


def _columns(columns: list[Any], method: str, reason: str = "") -> CostColumns:
    params, flops, macs, activations, valid, overflowed = columns
    return CostColumns(params, flops, macs, activations, valid, overflowed, method, reason)


class _Lookup:
    """Looks up each candidate's element of a table with axes."""

    def __init__(self, index: list[Array]) -> None:
        self._index = index
        self._flat: dict[tuple[int, ...], Array] = {}

    def __call__(self, table: Array) -> Array:
        """The elements, an array of its own."""
        if table.size == 1:
            return np.full(len(self._index[0]), table.item(), dtype=table.dtype)
        shape = table.shape
        if shape not in self._flat:
            flat: Any = 0
            for size, index in zip(shape, self._index, strict=True):
                flat = flat * size + index if size > 1 else flat
            self._flat[shape] = flat
        return table.ravel()[self._flat[shape]]


class Totals:
    """Sums over the operators of a result, in as few tables as there are sets of axes."""

    def __init__(self, result: Result) -> None:
        self._lanes = result.lanes
        there = _reached(result, [output[:2] for output in result.outputs])
        runs = _reached(result, [output[:2] for output in result.outputs if not output[2]])
        self._parts: dict[str, list[tuple[Mask, Any]]] = {measure: [] for measure in MEASURES}
        for place, node in enumerate(result.nodes):
            if isinstance(node, Priced):
                self._add("params", node.params, self._where(there[place], node.mark))
                for measure in MEASURES[1:]:
                    self._add(measure, getattr(node, measure), self._where(runs[place], node.mark))

    def _where(self, needed: Mask | None, mark: int) -> Mask | None:
        return None if needed is None else self._lanes.both(needed, self._lanes.masks[mark])

    def _add(self, measure: str, cost: Any, where: Mask | None) -> None:
        if where is not None and not (type(cost) is int and cost == 0):
            self._parts[measure].append((where, cost))

    def of(self, measure: str, find: Callable[[Array], Array]) -> tuple[Array, Array]:
        """A measure of every candidate, and where it leaves 64 bits."""
        parts = self._parts[measure]
        total = sum(map(find, self._tables(parts, np.int64)), np.int64(0))
        exact = np.broadcast_to(total, find(self._lanes.active).shape)
        if sum(cost.bound if type(cost) is Column else cost for _, cost in parts) < LARGEST:
            return exact, np.zeros(exact.shape, dtype=bool)
        close = sum(map(find, self._tables(parts, np.float64)), np.float64(0))
        return exact, np.broadcast_to(close >= 2.0**63 * (1 - 2.0**-40), exact.shape)

    def _tables(self, parts: list[tuple[Mask, Any]], dtype: Any) -> Iterator[Array]:
        """The sums of what has the same axes; each added to one that has its axes and more, if there is one."""
        sums: dict[tuple[int, ...], Any] = {}
        for where, cost in parts:
            values = np.asarray(cost.values if type(cost) is Column else cost).astype(dtype)
            self._lanes.fits(where, values)
            term = np.where(where, values, dtype(0))
            sums[term.shape] = sums.get(term.shape, dtype(0)) + term
        shapes = sorted(sums, key=lambda shape: sum(size > 1 for size in shape))
        for place, shape in enumerate(shapes):
            wider = next((s for s in shapes[place + 1 :] if _covers(s, shape)), None)
            if wider is None:
                yield sums[shape]
            else:
                sums[wider] = sums[wider] + sums[shape]


def _covers(wide: tuple[int, ...], narrow: tuple[int, ...]) -> bool:
    return all(size in (1, more) for size, more in zip(narrow, wide, strict=True))


def _reached(result: Result, outputs: list[tuple[int, int]]) -> list[Mask | None]:
    """For each node the candidates in which one of these outputs depends on it; None where there are none."""
    lanes = result.lanes
    needed: list[Mask | None] = [None] * len(result.nodes)

    def need(node: int, mask: Mask) -> None:
        known = needed[node]
        if known is None or known is mask:
            needed[node] = mask
        elif not (known.size == 1 and known.item()):
            lanes.fits(known, mask)
            needed[node] = known | mask

    everybody = np.ones((1,) * lanes.active.ndim, dtype=bool)
    for mark, node in outputs:
        # The figures of candidates that are not valid are thrown away, so theirs may be wrong.
        mask = lanes.masks[mark]
        need(node, everybody if not lanes.both(lanes.active, ~mask).any() else mask)
    for place in range(len(result.nodes) - 1, -1, -1):
        made, wanted = result.nodes[place], needed[place]
        if wanted is None or made is None:
            continue
        if isinstance(made, Joined):
            for own, source in made.sources:
                need(source, lanes.both(wanted, own))
        else:
            for source in made.inputs:
                need(source, wanted)
    return needed


# --- one by one ---


def _one_by_one(
    bind: Callable[[Mapping[str, Any]], Network], count: int, axes: list[Axis], plain: dict[str, Any], reason: str
) -> CostColumns:
    """Each distinct candidate's network expanded."""
    known: dict[tuple[int, ...], tuple[int, ...]] = {}
    rows = []
    for candidate in range(count):
        key = tuple(int(axis.place[candidate]) for axis in axes)
        if key not in known:
            known[key] = _single(bind, plain | _values(axes, key))
        rows.append(known[key])
    table = np.array(rows, dtype=object).reshape(count, len(MEASURES) + 1)
    large = np.array([any(abs(value) > LARGEST for value in row) for row in rows], dtype=bool)
    figures = [np.where(large, 0, table[:, place]).astype(np.int64) for place in range(len(MEASURES))]
    valid = table[:, -1].astype(bool) & ~large
    return _columns([*figures, valid, large], "one by one" if reason else "closed form", reason)


def _values(axes: list[Axis], key: tuple[int, ...]) -> dict[str, Any]:
    """The values of a candidate."""
    values: dict[str, Any] = {}
    for axis, place in zip(axes, key, strict=True):
        value = _plain(axis.values[place])
        values[axis.name] = value if axis.element is None else [*values.get(axis.name, ()), value]
    return values


def _single(bind: Callable[[Mapping[str, Any]], Network], values: dict[str, Any]) -> tuple[int, ...]:
    try:
        cost = bind(values).cost()
    except ArchError:
        return (0,) * (len(MEASURES) + 1)
    return cost.params, cost.flops, cost.macs, cost.activations, 1
