"""Named tuples that take little time to declare.

`typing.NamedTuple` compiles a constructor for every class and parses each of its annotations. `check` declares some
ninety classes, which took longer than parsing a spec. The classes here have the same fields, defaults and methods, and
type checkers treat them as `typing.NamedTuple`.
"""

from __future__ import annotations

from collections import namedtuple
from functools import cache
from types import FunctionType
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from typing import NamedTuple
else:

    @cache
    def _of_size(size: int) -> type:
        """The named tuple whose code all classes with this number of fields share."""
        return namedtuple("Sized", [f"place{place}" for place in range(size)])

    class _Declared(type):
        """Turns the annotations of a class into fields."""

        def __new__(mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> type:
            record = super().__new__(mcs, name, bases, namespace | {"__slots__": ()})
            record._fields = record.__match_args__ = fields = tuple(record.__annotations__)
            pattern = _of_size(len(fields))
            for field, place in zip(fields, pattern._fields, strict=True):
                setattr(record, field, vars(pattern)[place])
            # The names of a function's arguments are those of its first variables.
            constructor = pattern.__new__
            code = constructor.__code__.replace(co_varnames=("_cls", *fields), co_qualname=name)
            defaults = tuple([namespace[field] for field in fields if field in namespace])
            record.__new__ = FunctionType(code, constructor.__globals__, "__new__", defaults)
            return record

    class NamedTuple(tuple, metaclass=_Declared):
        """A base class like `typing.NamedTuple`; fields with defaults stand last."""

        def __repr__(self) -> str:
            pairs = zip(self._fields, self, strict=True)
            return f"{type(self).__name__}({', '.join(f'{field}={value!r}' for field, value in pairs)})"

        def __getnewargs__(self) -> tuple[Any, ...]:
            return tuple(self)

        def _asdict(self) -> dict[str, Any]:
            """The fields with their values, in order."""
            return dict(zip(self._fields, self, strict=True))

        def _replace(self, **changed: Any) -> Self:
            """The same tuple with other values for some fields."""
            return type(self)(**(self._asdict() | changed))


__all__ = ["NamedTuple"]
