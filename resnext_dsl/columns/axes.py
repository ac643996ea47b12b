"""Converts the columns of a user to axes: for each parameter that varies, its distinct values.

A value that its parameter can never have is an error here, once for the whole column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from resnext_dsl.columns.arithmetic import LARGEST
from resnext_dsl.columns.lanes import Array
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.bound_network import Parameter
from resnext_dsl.semantics.overrides import from_python, override_source
from resnext_dsl.semantics.values import FUNCTIONS, OperatorValue, TemplateValue, fits_type, show, type_name


class Axis(NamedTuple):
    """A parameter that varies.

    Attributes:
        name: The name of the parameter.
        element: The index of the element that varies, if the parameter is a list or shape of constant length; None for
            the parameter as a whole.
        values: The distinct values.
        place: For each candidate, the index of its value among the distinct values.
    """

    name: str
    element: int | None
    values: Any
    place: Array


class Varied(NamedTuple):
    """The columns of a user, split.

    Attributes:
        candidates: The number of candidates.
        axes: The parameters that vary.
        plain: The values of parameters that are the same for all candidates.
    """

    candidates: int
    axes: list[Axis]
    plain: dict[str, Any]


def varied(parameters: Mapping[str, Parameter], columns: Mapping[str, Any]) -> Varied:
    """Splits columns into axes and constant values.

    Args:
        parameters: The parameters of the network, by name.
        columns: For each parameter, its value for every candidate, or one value for all.

    Raises:
        ArchError: If a parameter cannot have one of its values.
        ValueError: If the columns have different lengths.
    """
    sequences = {name: _sequence(values) for name, values in columns.items()}
    many = {name: values for name, values in sequences.items() if _is_many(values, parameters[name].value)}
    plain = {name: values for name, values in sequences.items() if name not in many}
    for name, value in plain.items():
        _check(name, value, type_name(parameters[name].value))
    if len({len(values) for values in many.values()}) > 1:
        raise ValueError(f"columns of different lengths: {', '.join(f'{k}: {len(v)}' for k, v in many.items())}")
    axes = []
    for name, values in many.items():
        for axis in _axes_of(name, values, type_name(parameters[name].value)):
            if axis.element is None and len(axis.values) == 1:
                plain[name] = python_value(axis.values[0])
            else:
                axes.append(axis)
    return Varied(len(next(iter(many.values()))) if many else 1, axes, plain)


def texts(parameters: Mapping[str, Parameter], columns: Mapping[str, Any]) -> dict[str, list[str]]:
    """The distinct texts of each column that are read as expressions; columns of numbers have none."""
    expressions: dict[str, list[str]] = {}
    for name, values in columns.items():
        sequence = _sequence(values)
        if not isinstance(sequence, str) and type_name(parameters[name].value) in _DTYPES:
            continue
        options = (
            [sequence] if isinstance(sequence, str) else sequence if isinstance(sequence, list | np.ndarray) else ()
        )
        if isinstance(sequence, np.ndarray) and sequence.dtype.kind not in "UO":
            continue
        distinct = list(dict.fromkeys(str(option) for option in options if isinstance(option, str)))
        if distinct:
            expressions[name] = distinct
    return expressions


def _sequence(values: Any) -> Any:
    """Converts a column to a list or an array, and a single value to a Python value."""
    if hasattr(values, "__array__"):
        array = np.asarray(values)
        return array if array.ndim else array.item()
    if isinstance(values, Sequence) and not isinstance(values, str):
        return list(values)
    return python_value(values)


def _is_many(values: Any, default: Any) -> bool:
    """Whether values are a column; for a list or a shape, a column is a deeper list, or a list of texts of values."""
    if isinstance(values, np.ndarray):
        return True
    if isinstance(values, list) and values and isinstance(default, tuple) and all(isinstance(v, str) for v in values):
        return not any(isinstance(item, str) for item in default)
    return isinstance(values, list) and _depth(values) > _depth(default)


def _depth(value: Any) -> int:
    if not isinstance(value, list | tuple | np.ndarray):
        return 0
    return 1 + max(map(_depth, value), default=0)


def _axes_of(name: str, values: Any, kind: str) -> list[Axis]:
    if kind in _DTYPES:
        return [_numbers(name, None, _array(name, values, kind))]
    table = _table(name, values) if kind in ("list", "shape") else None
    if table is not None:
        return [_numbers(name, place, table[:, place]) for place in range(table.shape[1])]
    # 1, 1.0 and true are equal, but have different types.
    distinct: dict[str, tuple[int, Any]] = {}
    place = [distinct.setdefault(repr(value), (len(distinct), value))[0] for value in map(python_value, values)]
    options = [value for _, value in distinct.values()]
    for option in options:
        _check(name, option, kind)
    return [Axis(name, None, options, np.array(place, dtype=np.int64))]


def _table(name: str, values: Any) -> Array | None:
    """Converts lists to a table of ints; None if their lengths differ or an element is not an int."""
    if not isinstance(values, np.ndarray):
        rows = [python_value(value) for value in values]
        if not all(isinstance(row, list | tuple) for row in rows) or len({len(row) for row in rows}) != 1:
            return None
        if not all(is_int(python_value(item)) for row in rows for item in row):
            return None
        values = np.array([_array(name, row, "int") for row in rows])
    fits = values.ndim == 2 and values.size and values.dtype.kind in "iu"
    return _array(name, values.ravel(), "int").reshape(values.shape) if fits else None


# --- values ---

_DTYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "bool": np.bool_}
_TAKEN = {"int": "iu", "float": "iuf", "bool": "b"}
"""Type of a parameter -> the kinds of numpy dtypes that it takes."""

_TYPES: dict[str, set[type]] = {"int": {int}, "float": {int, float}, "bool": {bool}}


def _array(name: str, values: Any, kind: str) -> Array:
    """The numbers of a column.

    Raises:
        ArchError: If a value has another type, or more than 64 bits.
    """
    array = values if isinstance(values, np.ndarray) and values.dtype.kind != "O" else None
    if array is None:
        items = list(map(python_value, values))
        if not set(map(type, items)) <= _TYPES[kind]:
            raise _wrong(name, next(item for item in items if type(item) not in _TYPES[kind]), kind)
        if any(type(item) is int and abs(item) > LARGEST for item in items):
            raise _too_large(name, next(item for item in items if abs(item) > LARGEST))
        return np.array(items, dtype=_DTYPES[kind])
    if array.ndim != 1 or (array.size and array.dtype.kind not in _TAKEN[kind]):
        raise _wrong(name, python_value(array[0]) if array.size else array.tolist(), kind)
    if array.size and array.dtype.kind in "iu":
        for extreme in (int(array.max()), int(array.min())):
            if abs(extreme) > LARGEST:
                raise _too_large(name, extreme)
    return array.astype(_DTYPES[kind])


def _check(name: str, value: Any, kind: str) -> None:
    """Refuses a value of the wrong type; text is an expression, whose type is checked later."""
    if isinstance(value, str):
        return
    converted = from_python(value, kind)
    if converted is None or not fits_type(converted, kind):
        raise _wrong(name, value, kind)


def _wrong(name: str, value: Any, kind: str) -> ArchError:
    message = f"`{name}` must be {'an' if kind[0] in 'aeio' else 'a'} {kind}; found {_shown(value)}"
    return error("E204", message, override_source(name, value))


def _shown(value: Any) -> str:
    return (show(value) if isinstance(value, bool | int | float | str) else repr(value))[:100]


def _too_large(name: str, value: int) -> ArchError:
    message = f"`{name}` must be at most {LARGEST} in magnitude here; found {value}"
    return error("E205", message[:200], override_source(name, value), hint="`load` takes larger ints")


def _numbers(name: str, element: int | None, array: Array) -> Axis:
    whole = array.size and array.dtype.kind == "i"
    low, high = (int(array.min()), int(array.max())) if whole else (0, LARGEST)
    if high - low < max(1 << 16, array.size):
        # Sorting a million numbers takes longer than computing their costs.
        present = np.zeros(high - low + 1, dtype=bool)
        present[array - low] = True
        return Axis(name, element, np.flatnonzero(present) + low, (np.cumsum(present) - 1)[array - low])
    values, index = np.unique(array, return_inverse=True)
    return Axis(name, element, values, index)


def python_value(value: Any) -> Any:
    """Converts a value of numpy to Python; an operator, a template or a function, which a domain may list, to text."""
    if isinstance(value, (OperatorValue, TemplateValue, *FUNCTIONS)):
        return show(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value
