"""Parameter values from outside the spec: from Python, or as text from a command line."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span, error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.spec_files import text_source
from resnext_dsl.semantics.values import (
    FUNCTIONS,
    Environment,
    List,
    OperatorValue,
    TemplateValue,
    fits_type,
    show,
    source_text,
    type_name,
    with_article,
)
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.parse import parse


def override_source(name: str, value: Any) -> Span:
    """The span of an override's own text, for diagnostics; a text is complete, because it is read from there."""
    source = Source(f"<override {name[:40]}>", (value if isinstance(value, str) else _repr(value)[:200]) or " ")
    return Span(source, 0, len(source.text))


def _repr(value: Any) -> str:
    """The text of a Python value in a message; a long or deep value is cut, as are lists that share parts."""
    return reprlib.repr(value)


def overriding_value(name: str, value: Any, kind: str, evaluator: Interpreter, env: Environment) -> tuple[Any, Span]:
    """The value of an override with its place: text is read as an expression, or kept where a string is needed.

    Raises:
        ArchError: If the value has the wrong type, or if its text cannot be read or computed.
    """
    if isinstance(value, (OperatorValue, TemplateValue, *FUNCTIONS)):
        value = source_text(value)  # of another binding of the network, whose names have other values there
    span = override_source(name, value)
    if not isinstance(value, str):
        converted = from_python(value, kind)
        evaluator.built(converted, span)
        if converted is None:
            raise error("E204", f"`{name}` must be {with_article(kind)}; found {_repr(value)}"[:200], span)
        return converted, span
    if kind == "string":
        return _string(span, evaluator, env), span
    computed = value_of(span, evaluator, env)
    if kind == "shape" and type(computed) is List and computed and all(map(is_int, computed)):
        return tuple(computed), span  # a shape in JSON is a list
    return computed, span


def _string(span: Span, evaluator: Interpreter, env: Environment) -> Any:
    """The value of a text for a string: of an expression in quotes or of a name of a string, else the text itself."""
    try:
        value = value_of(span, evaluator, env)
    except ArchError:
        if span.text.lstrip().startswith('"'):
            raise
        return span.text
    return value if isinstance(value, str) else span.text


_ELEMENT = re.compile(r"(\w+)\[(-?[0-9]{1,9})\]")


def element_of(name: str) -> tuple[str, int] | None:
    """The parameter and the index in the name of an element, `depths[2]`; None for the name of a parameter."""
    match = _ELEMENT.fullmatch(name)
    return (match[1], int(match[2])) if match else None


def with_elements(name: str, value: Any, overrides: Mapping[str, Any], evaluator: Interpreter, env: Environment) -> Any:
    """The value of a parameter with the elements that overrides such as `depths[2]` replace.

    Raises:
        ArchError: E204 if the parameter has no elements or if an element has another type, E205 for an index out of
            range.
    """
    for key, override in overrides.items():
        parameter, place = element_of(key) or ("", 0)
        if parameter != name:
            continue
        span = override_source(key, override)
        if not isinstance(value, tuple):
            raise error("E204", f"only a list or a shape has elements; `{name}` is {show(value)}", span)
        if not -len(value) <= place < len(value):
            message = f"index {place} is out of range: `{name}` has {len(value)} elements, counted from 0"
            raise error("E205", message, span)
        old = value[place]
        element, _ = overriding_value(key, override, type_name(old), evaluator, env)
        if not fits_type(element, type_name(old)):
            raise error("E204", f"`{key}` must be {with_article(type_name(old))}; found {show(element)}", span)
        items = list(value)
        items[place] = element + 0.0 if type(old) is float else element
        value = List(items) if isinstance(value, List) else tuple(items)
    return value


_BEFORE = "let value = ("
"""The text that turns an expression into a file."""


def value_of(span: Span, evaluator: Interpreter, env: Environment) -> Any:
    """The value of an override's text.

    Raises:
        ArchError: If it is not an expression or cannot be computed; its spans lie in the override's text.
    """
    try:
        return evaluator.evaluate(_expression(span), env)
    except ArchError as problem:
        raise ArchError([_placed(diagnostic, span) for diagnostic in problem.diagnostics]) from None


def _placed(diagnostic: Diagnostic, override: Span) -> Diagnostic:
    notes, trail = _moved(diagnostic.notes, override), _moved(diagnostic.trail, override)
    return diagnostic._replace(span=_inside(diagnostic.span, override), notes=notes, trail=trail)


def _moved(notes: tuple[Note, ...], override: Span) -> tuple[Note, ...]:
    return tuple(note._replace(span=_inside(note.span, override)) for note in notes)


def _inside(span: Span | None, override: Span) -> Span | None:
    """The span in the override's own text for a span in the file around it."""
    if span is None or span.source is override.source or span.source.name != override.source.name:
        return span
    start, end = (max(0, min(place - len(_BEFORE), override.end)) for place in (span.start, span.end))
    return Span(override.source, start, end)


def _expression(span: Span) -> s.Expression:
    source = text_source(f"{_BEFORE}{span.text})", span.source.name, DEFAULTS)
    try:
        item = parse(source).items[0]
    except ArchError as problem:
        message = f"cannot read the value: {problem.diagnostics[0].message}"
        raise error("E002", message, span, hint=problem.diagnostics[0].hint) from None
    assert isinstance(item, s.Let)
    return item.value


def domain_in(text: str, name: str) -> s.Domain:
    """A domain given as text: `1..64`, `4..128 step 4`, `{1, 2, 4}`.

    Raises:
        ArchError: E002 if the text is not a domain.
    """
    span = override_source(name, text)
    source = text_source(f"network n {{ param {_VALUE} = 0 in {text}\n}}", span.source.name, DEFAULTS)
    hint = "a domain is written 1..64, 4..128 step 4 or {1, 2, 4}"
    try:
        item, *more = parse(source).items
    except ArchError as problem:
        raise error("E002", f"cannot read the domain: {problem.diagnostics[0].message}", span, hint=hint) from None
    entry = item.entries[0] if isinstance(item, s.NetworkDeclaration) and len(item.entries) == 1 else None
    if more or not isinstance(entry, s.Param) or entry.domain is None or entry.condition is not None:
        raise error("E002", f"`{text[:40]}` is not a domain", span, hint=hint)
    return entry.domain


_VALUE = "value"


def from_python(value: Any, kind: str) -> Any:
    """A Python value as a value of the language; None if the language has no such value."""
    return _converted(value, kind, count(1))


MOST_ELEMENTS = 2 * DEFAULTS.max_nodes
"""The number of elements after which the conversion of a Python list stops; lists that share parts can have many."""


def _converted(value: Any, kind: str, elements: Iterator[int]) -> Any:
    if next(elements) > MOST_ELEMENTS:
        return None
    if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
        value = value.item()  # a scalar of numpy or torch
    for scalar in (bool, int, float, str):
        if isinstance(value, scalar):
            return scalar(value)  # the plain type instead of a subclass
    if isinstance(value, list | tuple):
        items = []
        for item in value:
            items.append(_converted(item, "", elements))
            if items[-1] is None:
                return None
        return tuple(items) if kind == "shape" else List(items)
    return None
