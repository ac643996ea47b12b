"""The building blocks of a row of the operator table.

Rules (shape, parameters, FLOPs) are pure integer functions of validated attributes and input shapes. They use no torch
and do not round. A shape has no batch dimension: (channels, height, width) for the feature map of an image, (features,)
after `flatten`. `ranks` has the shapes of signals and clips.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, TypeGuard

from resnext_dsl.foundation.records import NamedTuple

REQUIRED: Any = object()
"""The default of a field that must be given."""

Shape = tuple[int, ...]
Literal_ = bool | int | float | str | tuple["Literal_", ...]


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is an int and not a bool. A column of ints, one for each of many candidates, counts as one."""
    return isinstance(value, int) and not isinstance(value, bool)


class Need(NamedTuple):
    """An argument has an effect only beside some values of another argument.

    Attributes:
        argument: The argument.
        other: The other argument.
        values: The values of `other` beside which it has an effect; a hint suggests the first.
    """

    argument: str
    other: str
    values: tuple[object, ...]


class Attributes:
    """Base of every operator's attributes: frozen, compared by value. `arguments.validate` makes the instances.

    A subclass declares its fields as annotated class variables. Their order is that of positional arguments, and a
    field without a value is required. A subclass of such a class has its own fields first, and may give the others
    other values. The docstring states the meaning of each field that the class declares; the reference shows it.
    `models` makes pydantic models of the declarations on request, because importing pydantic takes longer than all of
    `check`.
    """

    fields: ClassVar[dict[str, Any]] = {}
    """Each field with its default; `REQUIRED` if it must be given."""

    later: ClassVar[frozenset[str]] = frozenset()
    """Fields that fingerprints omit at their default, because the operator had fingerprints before it had them."""

    needs: ClassVar[tuple[Need, ...]] = ()
    """The arguments that must have their default unless another argument has certain values."""

    def __init_subclass__(cls) -> None:
        declared, base = vars(cls), cls.__base__
        inherited = base.__annotations__ if base is not Attributes and base is not None else {}
        cls.__annotations__ = declared.get("__annotations__", {}) | inherited
        cls.fields = {name: declared.get(name, cls.fields.get(name, REQUIRED)) for name in cls.__annotations__}

    @classmethod
    def construct(cls, values: Mapping[str, Any]) -> Self:
        """The attributes with these checked values, and with defaults for the other fields."""
        attributes = object.__new__(cls)
        attributes.__dict__.update({name: values.get(name, default) for name, default in cls.fields.items()})
        return attributes

    def replaced(self, **changes: Any) -> Self:
        """The same attributes with some values replaced by others, which are not checked."""
        return self.construct({**self.__dict__, **changes})

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"attributes are frozen: cannot set `{name}`")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """Names and values in the order of the fields."""
        return iter(self.__dict__.items())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash((type(self), tuple(self.__dict__.items())))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"


class RuleError(Exception):
    """An argument or a shape breaks a rule. The caller of the rule adds the place in the spec.

    Attributes:
        code: A key of `diagnostics.CODES` (E201, E202, E204 and E205 of arguments; E301 to E304 and E205 of shapes).
        message: One line; names in backticks, values shown.
        hint: A suggestion, or "".
        attribute: Name of the attribute that breaks the rule, if it is one attribute.
    """

    def __init__(self, code: str, message: str, hint: str = "", attribute: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.attribute = code, message, hint, attribute


class ModuleCall(NamedTuple):
    """A module to construct: `nn.Conv2d(64, 128, 3, padding=1)`.

    Attributes:
        target: `nn.X`, or the name of a class of `emit.support`.
        positional: Literals of the positional arguments.
        keywords: Names and literals of the other arguments, without those that have torch's default.
    """

    target: str
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


class Expression(NamedTuple):
    """A value to compute without a module: text with `{0}`, `{1}` for the inputs and `{name}` for literals."""

    text: str
    literals: tuple[tuple[str, Any], ...] = ()


def value_text(value: object) -> str:
    """A value as a spec spells it: `true`, `3x3`, `1e-5`, `` `word` ``. Other values are shown by their type."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return str(value).replace("e-0", "e-")
    if isinstance(value, str):
        return f"`{value}`" if len(value) <= 60 else f"`{value[:60]}...`"
    if isinstance(value, (tuple, list)) and value and all(type(number) is int for number in value):
        return "x".join(map(str, value))
    return f"a value of type {type(value).__name__.removesuffix('Value').lower()}"
