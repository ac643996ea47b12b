"""The values that expressions of the language have, and the names they are known by.

An int, float, bool or str is Python's own; a shape is a plain tuple of ints; a list is a `List`, so that the two stay
apart.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape
from resnext_dsl.operators.row import Operator
from resnext_dsl.syntax.nodes import Fn, Template

if TYPE_CHECKING:
    from resnext_dsl.foundation.diagnostics import Span


SCALARS = frozenset({bool, int, float, str})
"""The types of values that hold no others."""


class List(tuple[Any, ...]):
    """A list value: a tuple, so that it can be hashed, of a type of its own."""

    __slots__ = ()


# Of values, only shapes and lists are tuples, so these are no named tuples; and a dataclass takes half a millisecond of
# every start to declare.


class OperatorValue:
    """An operator, with some arguments filled in already."""

    __slots__ = ("arguments", "operator")

    def __init__(self, operator: Operator, arguments: tuple[tuple[str, Any], ...] = ()) -> None:
        self.operator = operator
        self.arguments = arguments

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OperatorValue):
            return NotImplemented
        return self.operator is other.operator and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((self.operator.name, self.arguments))


class TemplateValue:
    """A template with the names around its definition, and some arguments filled in already."""

    __slots__ = ("arguments", "environment", "template")

    def __init__(
        self, template: Template, environment: Environment, arguments: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        self.template = template
        self.environment = environment
        self.arguments = arguments

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
    """A value that cannot be had here: an error in it has been reported already, or it is known only later."""


class Unknown:
    """Stands for a value whose computation failed; using it fails silently, so that one mistake gives one error."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = Unknown()

MISSING: Any = object()
"""Stands for the value of a name that has none."""


class Environment:
    """Names and their values, inside those of an outer environment.

    Attributes:
        names: This level's names.
        outer: The level around it, or None.
        turn: (pass, passes) of the innermost repeat around, for `first` and `last`.
    """

    __slots__ = ("names", "outer", "turn")

    def __init__(self, outer: Environment | None = None, names: dict[str, Any] | None = None) -> None:
        self.outer = outer
        self.names: dict[str, Any] = {} if names is None else names
        self.turn: tuple[int, int] | None = outer.turn if outer is not None else None

    def find(self, name: str) -> Any:
        """The value of a name; KeyError where it has none."""
        value = self.get(name)
        if value is MISSING:
            raise KeyError(name)
        return value

    def get(self, name: str) -> Any:
        """The value of a name; `MISSING` where it has none, as most names of operators have."""
        level: Environment | None = self
        while level is not None:
            if name in level.names:
                return level.names[name]
            level = level.outer
        return MISSING

    def all_names(self) -> set[str]:
        """Every name that can be seen from here."""
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
    """A value as one would write it."""
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
    """A shape as one would write it: `3x224x224`; a single number for features."""
    return "x".join(map(str, shape)) if shape else "()"


TYPES = ("int", "float", "bool", "string", "shape", "list", "operator", "template")


def fits_type(value: Any, kind: str) -> bool:
    """Whether a value may stand where a type is expected: an int is a float too, templates and operators are one."""
    found = type_name(value)
    if kind in ("operator", "template"):
        return found in ("operator", "template")
    return found == kind or (kind == "float" and found == "int")


class Placed(NamedTuple):
    """An evaluated argument and where it was written."""

    value: Any
    span: Span
