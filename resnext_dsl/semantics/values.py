"""The values of expressions, and environments that give names to them.

Ints, floats, bools and strings are Python's. A shape is a plain tuple of ints. A list is a `List`, which tells it from
a shape.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape
from resnext_dsl.operators.row import Operator
from resnext_dsl.syntax.nodes import Fn, Template

if TYPE_CHECKING:
    from resnext_dsl.foundation.diagnostics import Span


SCALARS = frozenset({bool, int, float, str})
"""The types of values without elements."""


NO_PLACES: Mapping[str, Span] = {}
"""The places of no filled-in arguments."""


class List(tuple[Any, ...]):
    """A list value: a tuple, which can be hashed, with a type of its own."""

    __slots__ = ()


# Only shapes and lists are tuples, so the classes below are not named tuples. They are not dataclasses either, because
# each would take half a millisecond of every start to declare.


class OperatorValue:
    """An operator, with some arguments filled in; `places` has the place of each, which equality does not compare."""

    __slots__ = ("arguments", "operator", "places")

    def __init__(
        self, operator: Operator, arguments: tuple[tuple[str, Any], ...] = (), places: Mapping[str, Span] = NO_PLACES
    ) -> None:
        self.operator = operator
        self.arguments = arguments
        self.places = places

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OperatorValue):
            return NotImplemented
        return self.operator is other.operator and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((self.operator.name, self.arguments))


class TemplateValue:
    """A template with the names around its definition, and some arguments filled in at `places`."""

    __slots__ = ("arguments", "environment", "places", "template")

    def __init__(
        self,
        template: Template,
        environment: Environment,
        arguments: tuple[tuple[str, Any], ...] = (),
        places: Mapping[str, Span] = NO_PLACES,
    ) -> None:
        self.template = template
        self.environment = environment
        self.arguments = arguments
        self.places = places

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TemplateValue):
            return NotImplemented
        return self.template is other.template and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((id(self.template), self.arguments))


class FunctionValue:
    """A one-line function with the names around its definition."""

    __slots__ = ("environment", "function")

    def __init__(self, function: Fn, environment: Environment) -> None:
        self.function = function
        self.environment = environment


class GraphValue:
    """A value of the network: the node that computes it."""

    __slots__ = ("node", "shape")

    def __init__(self, node: int, shape: Shape) -> None:
        self.node = node
        self.shape = shape


class UnsettledError(Exception):
    """A value is not available: its error is already reported, or a later stage computes it."""


class Unknown:
    """Stands for a value whose computation failed; using it fails silently, so that one mistake gives one error."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()

PENDING = Unknown()
"""Stands for the value of a name while that value is computed; using it is an error."""

MISSING: Any = object()
"""The result for a name without a value."""


class Environment:
    """Names and their values, inside an outer environment.

    Attributes:
        names: This level's names.
        outer: The level around it, or None.
        turn: (pass, passes) of the innermost repeat, for `first` and `last`.
    """

    __slots__ = ("names", "outer", "turn")

    def __init__(self, outer: Environment | None = None, names: dict[str, Any] | None = None) -> None:
        self.outer = outer
        self.names: dict[str, Any] = {} if names is None else names
        self.turn: tuple[int, int] | None = outer.turn if outer is not None else None

    def find(self, name: str) -> Any:
        """The value of a name; KeyError if it has none."""
        value = self.get(name)
        if value is MISSING:
            raise KeyError(name)
        return value

    def get(self, name: str) -> Any:
        """The value of a name; `MISSING` if it has none, as most operators' names."""
        level: Environment | None = self
        while level is not None:
            if name in level.names:
                return level.names[name]
            level = level.outer
        return MISSING

    def all_names(self) -> set[str]:
        """All names that are visible in this environment."""
        level: Environment | None = self
        seen: set[str] = set()
        while level is not None:
            seen.update(level.names)
            level = level.outer
        return seen


def type_name(value: Any) -> str:
    """The language's word for the type of a value."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "float"
    if isinstance(value, str):
        return "string"
    if isinstance(value, List):
        return "list"
    if isinstance(value, tuple):
        return "shape"
    if isinstance(value, OperatorValue):
        return "operator"
    if isinstance(value, TemplateValue):
        return "template"
    if isinstance(value, FunctionValue):
        return "function"
    return "value"


def with_article(noun: str) -> str:
    """A type's name with its article: `an int`, `a list`."""
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


def show(value: Any) -> str:
    """A value in the notation of the language."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, List):
        return "[" + _some(value) + "]"
    if isinstance(value, tuple):
        return show_shape(value)
    if isinstance(value, OperatorValue):
        return _show_call(value.operator.name, value.arguments)
    if isinstance(value, TemplateValue):
        return _show_call(value.template.name.text, value.arguments)
    if isinstance(value, FunctionValue):
        return value.function.name.text
    if isinstance(value, GraphValue):
        return f"a value of shape {show_shape(value.shape)}"
    return str(value)


def _some(items: tuple[Any, ...]) -> str:
    shown = [show(item) for item in items[:12]]
    return ", ".join([*shown, "..."] if len(items) > 12 else shown)


def _show_call(name: str, arguments: Iterable[tuple[str, Any]]) -> str:
    inner = ", ".join(f"{key}={show(value)}" for key, value in arguments)
    return f"{name}({inner})" if inner else name


def show_shape(shape: Shape) -> str:
    """A shape in the notation of the language: `3x224x224`; a single number for features."""
    return "x".join(map(str, shape)) if shape else "()"


TYPES = ("int", "float", "bool", "string", "shape", "list", "operator", "template")


def fits_type(value: Any, kind: str) -> bool:
    """Whether a value fits a type: an int fits float, and templates and operators are interchangeable."""
    actual = type_name(value)
    if kind in ("operator", "template"):
        return actual in ("operator", "template")
    return actual == kind or (kind == "float" and actual == "int")


class Placed(NamedTuple):
    """An evaluated argument with the span of its text."""

    value: Any
    span: Span
