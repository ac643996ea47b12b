"""What a row of the operator table is made of.

Rules (shape, parameters, FLOPs) are pure integer functions of validated attributes and input shapes: no torch, no
rounding. A shape has no batch dimension: (channels, height, width) for a map, (features,) after `flatten`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self, TypeGuard

from resnext_dsl.foundation.records import NamedTuple

REQUIRED: Any = object()
"""Stands for the default of a field that has none."""

Shape = tuple[int, ...]
Literal_ = bool | int | float | str | tuple["Literal_", ...]


def is_int(value: object) -> TypeGuard[int]:
    """Whether a value is an int and no bool; a column of ints, one for each of many candidates, is one too."""
    return isinstance(value, int) and not isinstance(value, bool)


class Attributes:
    """Base of every operator's attributes: frozen, compared by value; made by `arguments.validate` only.

    A subclass declares its fields as annotated class variables; their order is that of positional arguments, and a
    field without a value is required. `models` makes pydantic models of the declarations when they are asked for, since
    importing pydantic takes longer than all of `check`.
    """

    fields: ClassVar[dict[str, Any]] = {}
    """Each field with its default, `REQUIRED` where it has none."""

    def __init_subclass__(cls) -> None:
        declared = vars(cls)
        cls.fields = {name: declared.get(name, REQUIRED) for name in declared.get("__annotations__", {})}

    @classmethod
    def construct(cls, values: Mapping[str, Any]) -> Self:
        """The attributes with these values, which have been checked, and defaults for the others."""
        made = object.__new__(cls)
        made.__dict__.update({name: values.get(name, default) for name, default in cls.fields.items()})
        return made

    def replaced(self, **changes: Any) -> Self:
        """The same attributes but for some, whose values are known to be right."""
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
    """An argument or a shape rule does not hold; whoever applies the rule adds place and trail.

    Attributes:
        code: A key of `diagnostics.CODES` (E201, E202, E204 and E205 of arguments; E301 to E304 and E205 of shapes).
        message: One line; names in backticks, values shown.
        hint: A suggestion, or "".
        attribute: The attribute to blame, where it is one of them.
    """

    def __init__(self, code: str, message: str, hint: str = "", attribute: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.hint, self.attribute = code, message, hint, attribute


class ModuleCall(NamedTuple):
    """A module to construct: `nn.Conv2d(64, 128, 3, padding=1)`.

    Attributes:
        target: `nn.X`, or the name of a class of `emit.support`.
        positional: Literals of the positional arguments.
        keywords: Names and literals of the others, those at torch's default left out.
    """

    target: str
    positional: tuple[Any, ...] = ()
    keywords: tuple[tuple[str, Any], ...] = ()


class Expression(NamedTuple):
    """A value to compute without a module: text with `{0}`, `{1}` for the inputs and `{name}` for literals."""

    text: str
    literals: tuple[tuple[str, Any], ...] = ()
