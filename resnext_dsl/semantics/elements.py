"""Elements and slices of lists and shapes."""

from __future__ import annotations

from operator import index
from typing import Any

from resnext_dsl.foundation.diagnostics import Span, error
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.values import List, holds_values, show, values_text
from resnext_dsl.syntax import nodes as s


def element_at(value: tuple[Any, ...], place: Any, span: Span) -> Any:
    """The element of a list or shape at a place, counted from 0, or from the end if it is negative.

    Raises:
        ArchError: E204 if the place is no int, E205 if it is out of range.
    """
    if not is_int(place):
        raise error("E204", f"an index must be an int; found {show(place)}", span)
    if not -len(value) <= place < len(value):
        hint = "`[-1]` is the last value" if holds_values(value) else ""
        message = f"index {place} is out of range: {_length(value)}, counted from 0"
        raise error("E205", message, span, hint=hint)
    return value[place]


def list_slice(value: tuple[Any, ...], place: s.ListSlice, start: Any, stop: Any) -> Any:
    """The elements of a list or shape from `start` up to, not including, `stop`.

    Args:
        value: The list or shape.
        place: The slice in the text.
        start: The first element, counted as an index is; from the beginning if None.
        stop: The element after the last one; to the end if None.

    Raises:
        ArchError: E204 if a bound is no int. E205 if a bound is out of range, or the slice ends before it begins, or
            nothing of a shape is left.
    """
    first, end = 0, len(value)
    if place.start is not None:
        first = _bound(value, start, place.start.span, before="leave it out to begin with the first element")
    if place.stop is not None:
        end = _bound(value, stop, place.stop.span, after="leave it out to go to the end")
    if end < first:
        message = f"a slice from {first} to {end} ends before it begins: {_length(value)}"
        raise error("E205", message, place.span)
    if isinstance(value, List):
        return List(value[first:end])
    if end == first:
        raise error("E205", f"a shape has at least one size; this slice of {show(value)} has none", place.span)
    return value[first:end]


def _bound(value: tuple[Any, ...], bound: Any, span: Span, before: str = "", after: str = "") -> int:
    """A bound of a slice, counted from the beginning; the hints are for one before the list and one after it."""
    if not is_int(bound):
        raise error("E204", f"a bound of a slice must be an int; found {show(bound)}", span)
    place = index(bound)
    if not -len(value) <= place <= len(value):
        message = f"a slice with the bound {place} is out of range: {_length(value)}"
        raise error("E205", message, span, hint=before if place < 0 else after)
    return place + len(value) * (place < 0)


def _length(value: tuple[Any, ...]) -> str:
    if holds_values(value):
        return f"the list has {values_text(len(value))}"
    return f"{show(value)} has {len(value)} element{'' if len(value) == 1 else 's'}"
