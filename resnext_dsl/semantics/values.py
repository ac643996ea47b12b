"""The values of expressions, and environments that give names to them.

Ints, floats, bools and strings are Python's. A shape is a plain tuple of ints. A list is a `List`, which tells it from
a shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, final

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
    """A list value: a tuple, which can be hashed, with a type of its own.

    Attributes:
        size: The number of elements that a walk meets: an element that occurs twice counts twice.
        depth: The number of lists inside each other.
    """

    @cached_property
    def size(self) -> int:  # noqa: D102 (described above)
        return 1 + sum(map(size_of, self))

    @cached_property
    def depth(self) -> int:  # noqa: D102 (described above)
        return 1 + max(map(depth_of, self), default=0)


# Only shapes and lists are tuples, so the classes below are not named tuples. They are not dataclasses either, because
# each would take half a millisecond of every start to declare.


class OperatorValue:
    """An operator, with some arguments filled in; `places` has the place of each, which equality does not compare."""

    __slots__ = ("arguments", "depth", "operator", "places", "size")

    def __init__(
        self, operator: Operator, arguments: tuple[tuple[str, Any], ...] = (), places: Mapping[str, Span] = NO_PLACES
    ) -> None:
        self.operator = operator
        self.arguments = arguments
        self.places = places
        self.size, self.depth = _extent(arguments)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OperatorValue):
            return NotImplemented
        return self.operator is other.operator and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((self.operator.name, self.arguments))


class TemplateValue:
    """A template with the names around its definition, and some arguments filled in at `places`."""

    __slots__ = ("arguments", "depth", "environment", "places", "size", "template")

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
        self.size, self.depth = _extent(arguments)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TemplateValue):
            return NotImplemented
        return self.template is other.template and self.arguments == other.arguments

    def __hash__(self) -> int:
        return hash((id(self.template), self.arguments))


class InstanceUse(NamedTuple):
    """A use of a shared instance: its first node, the node after its last one, the nodes of its results, its place."""

    start: int
    end: int
    results: tuple[int, ...]
    span: Span


class SharedValue:
    """A shared instance of an operator or template: every use of its name applies the same weights.

    Two declarations give two instances, also if they are equal. So instances are compared by identity.

    Attributes:
        name: Its name in the text.
        callee: The operator or template with all its arguments.
        span: The name in its declaration.
        module: The name of its module.
        first: Its first use; None before.
    """

    __slots__ = ("callee", "first", "module", "name", "span")

    def __init__(self, name: str, callee: OperatorValue | TemplateValue, span: Span, module: str) -> None:
        self.name = name
        self.callee = callee
        self.span = span
        self.module = module
        self.first: InstanceUse | None = None


def _extent(arguments: tuple[tuple[str, Any], ...]) -> tuple[int, int]:
    """The size and the depth of a callee with arguments."""
    if not arguments:
        return 1, 0
    values = [value for _, value in arguments]
    return 1 + sum(map(size_of, values)), 1 + max(map(depth_of, values))


def size_of(value: Any) -> int:
    """The number of elements that a walk of a value meets; 1 for a value without elements."""
    if isinstance(value, List | OperatorValue | TemplateValue):
        return value.size
    return len(value) if isinstance(value, tuple) else 1


def depth_of(value: Any) -> int:
    """The number of values inside each other; 0 for a value without elements."""
    return value.depth if isinstance(value, List | OperatorValue | TemplateValue) else 0


class FunctionValue:
    """A one-line function with the names around its definition."""

    __slots__ = ("environment", "function")

    def __init__(self, function: Fn, environment: Environment) -> None:
        self.function = function
        self.environment = environment

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FunctionValue):
            return NotImplemented
        return self.function is other.function

    def __hash__(self) -> int:
        return hash(id(self.function))

    @property
    def name(self) -> str:
        """The name of its definition."""
        return self.function.name.text


class BuiltinValue:
    """A built-in function. Each has one value, so equality is identity."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


FUNCTIONS = (FunctionValue, BuiltinValue)
"""The classes of functions, for `isinstance`."""


@final
class GraphValue:
    """A value of the network: the node that computes it."""

    __slots__ = ("node", "shape")

    def __init__(self, node: int, shape: Shape) -> None:
        self.node = node
        self.shape = shape


Flow = GraphValue | List
"""A value of the network, or a list of values of the network."""


def values_of(flow: Flow) -> tuple[GraphValue, ...]:
    """The values of a list, or the one value."""
    return (flow,) if type(flow) is GraphValue else flow


def holds_values(value: Any) -> bool:
    """Whether a value is a list with values of the network."""
    return isinstance(value, List) and any(type(element) is GraphValue for element in value)


def values_text(count: int) -> str:
    """A number of values in words: `1 value`, `3 values`."""
    return "1 value" if count == 1 else f"{count} values"


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
    if isinstance(value, SharedValue):
        return type_name(value.callee)
    if isinstance(value, OperatorValue):
        return "operator"
    if isinstance(value, TemplateValue):
        return "template"
    if isinstance(value, FUNCTIONS):
        return "function"
    return "value"


def with_article(noun: str) -> str:
    """A type's name with its article: `an int`, `a list`."""
    return f"an {noun}" if noun[0] in "aeio" else f"a {noun}"


SHOWN_ELEMENTS, SHOWN_DEPTH = 12, 3
"""The numbers of elements and of lists inside each other that a message shows."""


def show(value: Any, depth: int = 0) -> str:
    """A value in the notation of the language; a long or deep value is cut. `source_text` has all of it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, List):
        shown = [show(item, depth + 1) for item in value[:SHOWN_ELEMENTS] if depth < SHOWN_DEPTH]
        return "[" + _some(shown, len(value), depth) + "]"
    if isinstance(value, tuple):
        return show_shape(value)
    if isinstance(value, OperatorValue | TemplateValue):
        arguments = [f"{key}={show(argument, depth + 1)}" for key, argument in value.arguments if depth < SHOWN_DEPTH]
        inner = _some(arguments, len(value.arguments), depth)
        return f"{callee_name(value)}({inner})" if inner else callee_name(value)
    if isinstance(value, SharedValue):
        return f"the shared instance `{value.name}`"
    if isinstance(value, FUNCTIONS):
        return value.name
    if isinstance(value, GraphValue):
        return f"a value of shape {show_shape(value.shape)}"
    return str(value)


def _some(shown: list[str], count: int, depth: int) -> str:
    """The elements of a list or call in a message; `...` stands for those that it leaves out."""
    if depth >= SHOWN_DEPTH:
        return "..." if count else ""
    return ", ".join([*shown, "..."] if count > len(shown) else shown)


def callee_name(value: OperatorValue | TemplateValue) -> str:
    """The name of an operator or template."""
    return value.operator.name if isinstance(value, OperatorValue) else value.template.name.text


def source_text(value: Any) -> str:
    """The complete text of a value in the notation of the language, which evaluates to the value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    if isinstance(value, List):
        return f"[{', '.join(map(source_text, value))}]"
    if isinstance(value, tuple):
        return show_shape(value)
    if isinstance(value, OperatorValue | TemplateValue):
        inner = ", ".join(f"{key}={source_text(argument)}" for key, argument in value.arguments)
        return f"{callee_name(value)}({inner})" if inner else callee_name(value)
    if isinstance(value, FUNCTIONS):
        return value.name
    return repr(value)


def show_shape(shape: Shape) -> str:
    """A shape in the notation of the language: `3x224x224`; a single number for features."""
    return "x".join(map(str, shape)) if shape else "()"


TYPES = ("int", "float", "bool", "string", "shape", "list", "operator", "template", "function")


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
