"""The pydantic models of operators' attributes, made on request from the declarations of the rows."""

from __future__ import annotations

from functools import cache, partial
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model, model_validator

from resnext_dsl.operators.arguments import MatrixMark, NumberBound, SidesMark, on_every_side, rows_of
from resnext_dsl.operators.base import REQUIRED, Attributes
from resnext_dsl.operators.ranks import IMAGE

_MARKS = {"at least": Ge, "at most": Le, "greater than": Gt, "less than": Lt}


def model_of(attributes: type[Attributes], rank: int = IMAGE) -> type[BaseModel]:
    """The pydantic model of a class of attributes: frozen, strict, no other fields, finite numbers.

    Args:
        attributes: The class.
        rank: The number of sides of the feature maps that the operator is applied to.
    """
    key: Any = attributes  # mypy confuses an instance's __hash__ with the class's
    return _model_of(key, rank)


@cache
def _model_of(attributes: Any, rank: int) -> type[BaseModel]:
    declared = attributes.__annotations__
    fields: dict[str, Any] = {
        name: (_translated(declared[name], rank), ... if default is REQUIRED else _of_rank(default, rank))
        for name, default in attributes.fields.items()
    }
    config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
    checks: dict[str, Any] = {"needs": model_validator(mode="after")(partial(_checked_needs, attributes))}
    return create_model(
        attributes.__name__, __config__=config, __doc__=attributes.__doc__, __validators__=checks, **fields
    )


def _checked_needs(attributes: type[Attributes], model: BaseModel) -> BaseModel:
    values = dict(model)
    for need in attributes.needs:
        if values[need.argument] != attributes.fields[need.argument] and values[need.other] not in need.values:
            raise ValueError(f"`{need.argument}` needs `{need.other}`")
    return model


def _of_rank(default: Any, rank: int) -> Any:
    return default[:1] * rank if isinstance(default, tuple) else default


def _translated(annotation: Any, rank: int) -> Any:
    """A declared type with pydantic's own marks."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated and any(isinstance(mark, SidesMark) for mark in parts):
        number = get_args(parts[0])[0]  # of tuple[number, ...]
        return Annotated[tuple[(_translated(number, rank),) * rank], _mark(parts[1], rank)]  # type: ignore[misc]
    if origin is Annotated:
        marks = tuple(_mark(mark, rank) for mark in parts[1:])
        return Annotated[(_translated(parts[0], rank), *marks)]
    if origin in (Union, UnionType):
        return Union[tuple(_translated(part, rank) for part in parts)]  # noqa: UP007  (parts are not known statically)
    return annotation


def _mark(mark: Any, rank: int) -> Any:
    if isinstance(mark, SidesMark):
        return BeforeValidator(partial(on_every_side, rank=rank))
    if isinstance(mark, MatrixMark):
        return BeforeValidator(rows_of)
    assert isinstance(mark, NumberBound)
    return _MARKS[mark.phrase](mark.limit)
