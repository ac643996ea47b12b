"""The pydantic models of operators' attributes, made on request from the declarations of the rows."""

from __future__ import annotations

from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model

from resnext_dsl.operators.arguments import MatrixMark, NumberBound, PairMark, rows_of, twice
from resnext_dsl.operators.base import REQUIRED, Attributes

_MARKS = {"at least": Ge, "at most": Le, "greater than": Gt, "less than": Lt}


def model_of(attributes: type[Attributes]) -> type[BaseModel]:
    """The pydantic model of a class of attributes: frozen, strict, no other fields, finite numbers."""
    key: Any = attributes  # mypy confuses an instance's __hash__ with the class's
    return _model_of(key)


@cache
def _model_of(attributes: Any) -> type[BaseModel]:
    declared = attributes.__annotations__
    fields: dict[str, Any] = {
        name: (_translated(declared[name]), ... if default is REQUIRED else default)
        for name, default in attributes.fields.items()
    }
    config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    return create_model(attributes.__name__, __config__=config, __doc__=attributes.__doc__, **fields)


def _translated(annotation: Any) -> Any:
    """A declared type with pydantic's own marks."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        marks = tuple(_mark(mark) for mark in parts[1:])
        return Annotated[(_translated(parts[0]), *marks)]
    if origin in (Union, UnionType):
        return Union[tuple(map(_translated, parts))]  # noqa: UP007  (the parts are not known statically)
    if origin is tuple:
        return tuple[tuple(map(_translated, parts))]  # type: ignore[misc]
    return annotation


def _mark(mark: Any) -> Any:
    if isinstance(mark, PairMark):
        return BeforeValidator(twice)
    if isinstance(mark, MatrixMark):
        return BeforeValidator(rows_of)
    assert isinstance(mark, NumberBound)
    return _MARKS[mark.phrase](mark.limit)
