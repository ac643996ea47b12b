"""Columns: numbers of many candidates at once. The evaluator and the rules of operators take a column like an int.

A column has one axis for each parameter and one number for each combination of the parameters that it depends on. Numpy
broadcasts the other axes. So a rule that reads two of six parameters is computed for combinations of these two only.
Candidates whose numbers leave 64 bits are detected and excluded; no number wraps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.lanes import PATHS, Array, Choice, Lanes, Mask, NoClosedFormError
from resnext_dsl.semantics.values import List

LARGEST = 2**63 - 1
EXACT = 2**53
"""Largest int up to which every int is exact as a float."""

SMALL = 4096
"""Most numbers of a column that is cached by its content."""

_KINDS: dict[str, type] = {"i": int, "f": float, "b": bool}
_NUMBERS = frozenset({int, float, bool})


class Column:
    """Numbers of many candidates.

    Attributes:
        values: int64, float64 or bool, along the axes of the candidates' parameters.
        bound: An upper bound on the magnitude of every number; if it is small, overflow is impossible without a scan.
    """

    __slots__ = ("bound", "lanes", "values")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, lanes: Lanes, values: Array, bound: float) -> None:
        self.lanes = lanes
        self.values = values
        self.bound = bound

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        # `isinstance` reports a column of ints as an int, and likewise for floats and bools.
        return _KINDS[self.values.dtype.kind]

    def __repr__(self) -> str:
        return f"<{self.values.size} numbers>"

    # --- arithmetic ---

    def _apply(self, other: Any, compute: Callable[[Any, Any], Array], bound: Callable[[float, float], float]) -> Any:
        """An operation on ints and floats; it excludes the candidates whose result leaves 64 bits."""
        if other.__class__ not in _NUMBERS:
            return NotImplemented
        left, right = _operand(self), _operand(other)
        self.lanes.fits(left, right)
        if left.dtype.kind != right.dtype.kind:
            self._inexact(left, right)
        with np.errstate(over="ignore", invalid="ignore"):
            result = compute(left, right)
        most = bound(max(self.bound, 1), max(_bound(other), 1))
        if result.dtype.kind == "i" and most >= LARGEST:
            most = self._within(left, right, compute)
        return column(self.lanes, result, most)

    def _within(self, left: Array, right: Array, compute: Callable[[Any, Any], Array]) -> float:
        close = np.abs(compute(left.astype(float), right.astype(float)))
        self.lanes.overflow(close >= 2.0**63 * (1 - 2.0**-50))
        return min(float(close.max()), float(LARGEST))

    def _inexact(self, *arrays: Array) -> None:
        """Excludes the candidates whose ints are not exact as floats."""
        for array in arrays:
            if array.dtype.kind == "i" and array.size and max(int(array.max()), -int(array.min())) > EXACT:
                self.lanes.overflow(np.abs(array) > EXACT)

    def __add__(self, other: Any) -> Any:
        return self._apply(other, np.add, lambda a, b: a + b)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Any:
        return self._apply(other, np.subtract, lambda a, b: a + b)

    def __rsub__(self, other: Any) -> Any:
        return self._apply(other, lambda a, b: np.subtract(b, a), lambda a, b: a + b)

    def __mul__(self, other: Any) -> Any:
        return self._apply(other, np.multiply, lambda a, b: a * b)

    __rmul__ = __mul__

    def __neg__(self) -> Any:
        return column(self.lanes, -_operand(self), self.bound)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return column(self.lanes, np.abs(_operand(self)), self.bound)

    def __floordiv__(self, other: Any) -> Any:
        return self._divided(self, other, np.floor_divide)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._divided(other, self, np.floor_divide)

    def __mod__(self, other: Any) -> Any:
        return self._divided(self, other, np.remainder)

    def __rmod__(self, other: Any) -> Any:
        return self._divided(other, self, np.remainder)

    def __truediv__(self, other: Any) -> Any:
        return self._divided(self, other, np.true_divide)

    def __rtruediv__(self, other: Any) -> Any:
        return self._divided(other, self, np.true_divide)

    def _divided(self, left: Any, right: Any, compute: Callable[[Any, Any], Array]) -> Any:
        if left.__class__ not in _NUMBERS or right.__class__ not in _NUMBERS:
            return NotImplemented
        if right == 0:
            raise ZeroDivisionError
        above, below = _operand(left), _operand(right)
        self.lanes.fits(above, below)
        if compute is np.true_divide or above.dtype.kind != below.dtype.kind:
            self._inexact(above, below)
        with np.errstate(all="ignore"):
            result = compute(above, np.where(below == 0, 1, below))
        kept = result.dtype.kind == "i"
        return column(self.lanes, result, max(_bound(left), _bound(right)) + 1 if kept else None)

    def __pow__(self, other: Any) -> Any:
        return self.mapped(lambda a, b: a**b, other)

    def __rpow__(self, other: Any) -> Any:
        return self.mapped(lambda a, b: b**a, other)

    def mapped(self, function: Callable[..., Any], *others: Any) -> Any:
        """Applies a function of plain numbers to each combination; it excludes the candidates for which it fails.

        It serves functions whose last digit differs between numpy and Python.
        """
        arrays = [_operand(value) for value in (self, *others)]
        self.lanes.fits(self.lanes.active, *arrays)
        live, *spread = np.broadcast_arrays(self.lanes.active, *arrays)
        results: dict[Any, Any] = {}
        mapped: list[Any] = []
        failed = np.zeros(live.shape, dtype=bool)
        flat = failed.ravel()
        for place, key in enumerate(zip(*(array.ravel().tolist() for array in spread), strict=True)):
            if not live.flat[place]:
                mapped.append(0)
                continue
            if key not in results:
                results[key] = _tried(function, key)
            flat[place] = results[key] is None
            mapped.append(0 if results[key] is None else results[key])
        self.lanes.kill(failed)
        large = [value.__class__ is int and abs(value) > LARGEST for value in mapped]
        self.lanes.overflow(np.array(large).reshape(live.shape))
        mapped = [0 if beyond else value for value, beyond in zip(mapped, large, strict=True)]
        return column(self.lanes, np.array(mapped).reshape(live.shape))

    def bit_length(self) -> Any:
        """The bit length of each int."""
        return self.mapped(int.bit_length)

    # --- rounding ---

    def _rounded(self, compute: Callable[[Any], Array]) -> Any:
        if self.values.dtype.kind != "f":
            return column(self.lanes, _operand(self), self.bound)
        self.lanes.kill(~np.isfinite(self.values))
        fits = np.abs(self.values) < 2.0**63
        self.lanes.overflow(~fits)
        return column(self.lanes, compute(np.where(fits, self.values, 0)).astype(np.int64))

    def __round__(self, digits: None = None) -> Any:
        return self._rounded(np.rint)

    def __floor__(self) -> Any:
        return self._rounded(np.floor)

    def __ceil__(self) -> Any:
        return self._rounded(np.ceil)

    def __trunc__(self) -> Any:
        return self._rounded(np.trunc)

    # --- comparison ---

    def _compared(self, other: Any, compute: Callable[[Any, Any], Mask]) -> Any:
        if other.__class__ not in _NUMBERS:
            return NotImplemented
        if type(other) is not Column and _bound(other) > LARGEST:
            if self.values.dtype.kind != "f":
                return bool(compute(0, other))  # it is beyond every number of a column
            other = _as_float(other)
        left, right = _operand(self), _operand(other)
        self.lanes.fits(left, right)
        if left.dtype.kind != right.dtype.kind:
            self._inexact(left, right)
        return column(self.lanes, compute(left, right), 1)

    def __eq__(self, other: object) -> Any:
        return self._compared(other, np.equal)

    def __ne__(self, other: object) -> Any:
        return self._compared(other, np.not_equal)

    def __lt__(self, other: Any) -> Any:
        return self._compared(other, np.less)

    def __le__(self, other: Any) -> Any:
        return self._compared(other, np.less_equal)

    def __gt__(self, other: Any) -> Any:
        return self._compared(other, np.greater)

    def __ge__(self, other: Any) -> Any:
        return self._compared(other, np.greater_equal)

    # --- conversion to a plain value: candidates with other values take another path ---

    def __bool__(self) -> bool:
        return self.lanes.decide(self.values if self.values.dtype.kind == "b" else self.values != 0)

    def _settle(self) -> Any:
        live, spread = np.broadcast_arrays(self.lanes.active, self.values)
        distinct = np.unique(spread[live])
        if distinct.size > PATHS:
            raise NoClosedFormError(f"a step needs each of {distinct.size} numbers by itself")
        for value in distinct[:-1]:
            if self.lanes.decide(self.values == value):
                return value.item()
        return distinct[-1].item()

    def __index__(self) -> int:
        return int(self._settle())

    def __int__(self) -> int:
        return int(self._settle())

    def __float__(self) -> float:
        return float(self._settle())


def _operand(value: Any) -> Array:
    array = _array(value)
    return array.astype(np.int64) if array.dtype.kind == "b" else array


def _as_float(value: Any) -> float:
    if float(value) != value:
        raise NoClosedFormError(f"{value} is compared with floats, and no float is equal to it")
    return float(value)


def _tried(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    try:
        value = function(*arguments)
    except (ArithmeticError, ValueError):
        return None
    return None if isinstance(value, complex) else value


# --- one value of several ---


def column(lanes: Lanes, values: Array, bound: float | None = None) -> Any:
    """A column of the values, or a plain number if there is only one value."""
    if values.size == 1:
        return values.item()
    if values.size > SMALL:
        return Column(lanes, values, float(np.abs(values).max()) if bound is None else bound)
    key = values.dtype.kind, values.shape, values.tobytes()
    known = lanes.known.get(key)
    if known is None:
        known = lanes.known[key] = Column(lanes, values, float(np.abs(values).max()))
    return known


def merged(lanes: Lanes, outcomes: Sequence[tuple[Mask, Any]], join: Callable[[Any], Any] | None = None) -> Any:
    """Merges outcomes to one value: a column of numbers, a tuple of merged elements, or a `Choice`.

    Args:
        lanes: The candidates.
        outcomes: Values and their candidates.
        join: Merges values of another kind, such as nodes; returns None if the values are not of that kind.
    """
    outcomes = _flat(lanes, outcomes)
    first = outcomes[0][1]
    values = [value for _, value in outcomes]
    if all(value is first for value in values):
        return first
    kind = first.__class__
    if all(value.__class__ is kind for value in values):
        if kind in (int, float, bool):
            return _numbers(lanes, outcomes)
        if issubclass(kind, tuple) and kind in (tuple, List) and len({len(value) for value in values}) == 1:
            parts = (merged(lanes, [(mask, v[i]) for mask, v in outcomes], join) for i in range(len(first)))
            result = kind(parts)
            return Choice(lanes, outcomes) if any(type(part) is Choice for part in result) else result
        if kind is str and all(value == first for value in values):
            return first
    one = join(outcomes) if join is not None else None
    return Choice(lanes, outcomes) if one is None else one


def _flat(lanes: Lanes, outcomes: Sequence[tuple[Mask, Any]]) -> Sequence[tuple[Mask, Any]]:
    """Replaces each choice among outcomes by its own outcomes."""
    if not any(type(value) is Choice for _, value in outcomes):
        return outcomes
    flat: list[tuple[Mask, Any]] = []
    for mask, value in outcomes:
        inner = value.outcomes if type(value) is Choice else ((mask, value),)
        flat += [(lanes.both(mask, part), option) for part, option in inner]
    return [outcome for outcome in flat if outcome[0].any()]


def _numbers(lanes: Lanes, outcomes: Sequence[tuple[Mask, Any]]) -> Any:
    first = outcomes[0][1]
    if all(type(value) is not Column and value == first for _, value in outcomes):
        return first
    numbers = _array(first)
    bound = _bound(first)
    for mask, value in outcomes[1:]:
        array = _array(value)
        lanes.fits(mask, array, numbers)
        numbers = np.where(mask, array, numbers)
        bound = max(bound, _bound(value))
    return column(lanes, numbers, bound)


def _array(value: Any) -> Array:
    if type(value) is Column:
        return value.values
    if value.__class__ is int and abs(value) > LARGEST:
        raise NoClosedFormError(f"{value} has more than 64 bits")
    return np.asarray(value)


def _bound(value: Any) -> float:
    return value.bound if type(value) is Column else abs(value)


def settled(lanes: Lanes, run: Callable[[], Any]) -> Any:
    """The merged result of a step over all its paths; if it cannot be merged, the enclosing step takes a path each."""
    value = merged(lanes, lanes.explore(run))
    return value.settle() if type(value) is Choice else value
