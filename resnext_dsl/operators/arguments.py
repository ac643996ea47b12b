"""The types that attributes are declared with, and the check of arguments against them.

The rows declare the arguments of their operators. `validate` reads the declarations and checks values. Its messages
use the spelling of the spec. `models` makes pydantic models of the same declarations, and a test compares the two.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from resnext_dsl.foundation.diagnostics import did_you_mean
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import REQUIRED, Attributes, RuleError, Shape, is_int, value_text
from resnext_dsl.operators.conditions import check_images, check_needs
from resnext_dsl.operators.ranks import IMAGE, LAYOUTS, RANKS, SIGNAL, Sides, rank_of
from resnext_dsl.operators.row import Operator


class NumberBound(NamedTuple):
    """A mark on a number: it is "at least", "at most", "greater than" or "less than" a limit."""

    phrase: str
    limit: float


class SidesMark(NamedTuple):
    """A mark on a size: one number for each side of a feature map, or one int for all sides."""


class MatrixMark(NamedTuple):
    """A mark on rows of numbers of equal length, which a list of lists gives."""


LARGEST = 2**31 - 1
"""The largest int that an operator takes. The product of two such sizes fits in torch's 64 bits."""


Int = Annotated[int, NumberBound("at least", -LARGEST), NumberBound("at most", LARGEST)]
Positive = Annotated[int, NumberBound("at least", 1), NumberBound("at most", LARGEST)]
Natural = Annotated[int, NumberBound("at least", 0), NumberBound("at most", LARGEST)]
PositiveSides = Annotated[tuple[Positive, ...], SidesMark()]
"""One number for each side, (vertical, horizontal) for an image, each at least 1; one int stands for all."""
NaturalSides = Annotated[tuple[Natural, ...], SidesMark()]
"""One number for each side, (vertical, horizontal) for an image, each at least 0; one int stands for all."""
PositiveFloat = Annotated[float, NumberBound("greater than", 0)]
NaturalFloat = Annotated[float, NumberBound("at least", 0)]
Matrix = Annotated[tuple[tuple[float, ...], ...], MatrixMark()]
"""Rows of numbers of equal length, at least one number."""
Fraction = Annotated[float, NumberBound("at least", 0), NumberBound("at most", 1)]


class AttributeField(NamedTuple):
    """One attribute of an operator, as its class declares it.

    Attributes:
        name: Its name.
        type: int, float, bool, tuple (of ints, one for each side), list (of rows of numbers), or None if only words are
            valid.
        words: Its valid option words.
        bounds: Pairs of "at least", "greater than", "at most" or "less than" and the number.
        required: Whether it has no default.
        default: Its default value. None also stands for a default that the operator computes.
    """

    name: str
    type: type | None
    words: tuple[str, ...]
    bounds: tuple[tuple[str, float], ...]
    required: bool
    default: Any

    @property
    def expected(self) -> str:
        """The valid values in words: "an int, a shape such as 3x3, `same` or `valid`"."""
        names: dict[type | None, tuple[str, ...]] = {
            int: ("an int",),
            float: ("a number",),
            bool: ("`true`", "`false`"),
            tuple: ("an int", "a shape such as 3x3"),
            list: ("rows of numbers such as [[1, 2], [3, 4]]",),
            None: (),
        }
        *most, last = (*names[self.type], *(f"`{word}`" for word in self.words))
        return f"{', '.join(most)} or {last}" if most else last


def arguments_of(model: type[Attributes]) -> tuple[AttributeField, ...]:
    """The arguments of a row's attributes, in positional order."""
    key: Any = model  # mypy confuses an instance's __hash__ with the class's
    return _arguments_of(key)


@cache
def _arguments_of(model: Any) -> tuple[AttributeField, ...]:
    # The modules of the rows do not postpone annotations: to evaluate strings takes longer than to parse a spec.
    declared = model.__annotations__
    return tuple(_argument(name, declared[name], default) for name, default in model.fields.items())


def _argument(name: str, declared: Any, default: Any) -> AttributeField:
    words: list[str] = []
    taken: tuple[type | None, tuple[Any, ...]] = (None, ())
    for annotation, marks in _alternatives(declared, ()):
        if get_origin(annotation) is Literal:
            words += get_args(annotation)
        else:
            assert taken[0] is None, f"`{name}` is declared with two types"
            assert annotation in (int, float, bool, tuple, list), f"`{name}` is declared as {annotation}"
            taken = annotation, marks
    required = default is REQUIRED
    return AttributeField(name, taken[0], tuple(words), _bounds(taken[1]), required, None if required else default)


def _alternatives(annotation: Any, metadata: tuple[Any, ...]) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated and any(isinstance(mark, MatrixMark) for mark in parts[1:]):
        yield list, ()
    elif origin is Annotated:
        yield from _alternatives(parts[0], parts[1:])
    elif origin in (Union, UnionType):
        for part in parts:
            yield from _alternatives(part, ())
    elif origin is tuple:
        for _, inner in _alternatives(parts[0], ()):
            yield tuple, inner
    elif annotation is not NoneType:
        yield annotation, metadata


def _bounds(marks: tuple[Any, ...]) -> tuple[tuple[str, float], ...]:
    return tuple((mark.phrase, mark.limit) for mark in marks if isinstance(mark, NumberBound))


def validate(operator: Operator, arguments: Mapping[str, object], shape: Shape | None = None) -> Attributes:
    """The attributes for some arguments. Equal arguments of the same types give the same instance.

    Args:
        operator: A row of the table.
        arguments: Values by name; a list of ints counts as a shape.
        shape: The shape of the value that the operator is applied to, whose rank the sizes take; an image if None.
            If it is that of features, sizes of any rank are valid.

    Raises:
        RuleError: E204 for a value of the wrong type, E205 for one out of range, E201 for an unknown name, E202 for a
            missing one. E304 for a size of another rank, E301 for a value that is no image if the operator takes images
            only. `attribute` names the argument.
    """
    rank = IMAGE if shape is None else rank_of(shape)
    if shape is not None and operator.images_only and rank in RANKS and rank != IMAGE:
        check_images(operator.name, operator.images_only, arguments, shape)
    try:
        return _of_arguments(operator, arguments, rank)
    except SidesError as problem:
        raise problem if shape is None else _other_rank(operator.name, problem, shape) from None


def _of_arguments(operator: Operator, arguments: Mapping[str, object], rank: int) -> Attributes:
    try:
        # 1, 1.0 and true are equal and have one hash, so their types are part of the key.
        types = tuple(map(_types, arguments.values()))
        model: Any = operator.attributes
        return _validated(model, tuple(arguments.items()), types, rank)
    except TypeError:  # a value that cannot be hashed
        return _checked(operator.attributes, arguments, rank)


class SidesError(RuleError):
    """A size has another number of sides than the value that the operator is applied to.

    Attributes:
        sides: The size.
    """

    def __init__(self, problem: RuleError, sides: Sides) -> None:
        super().__init__(problem.code, problem.message, problem.hint, problem.attribute)
        self.sides = sides


def _other_rank(operator: str, problem: SidesError, shape: Shape) -> RuleError:
    """The error for a size of another rank, with both shapes."""
    rank = rank_of(shape)
    size = value_text(problem.sides)
    message = f"`{problem.attribute}` of `{operator}` (={size}) must have the sides of its input (={value_text(shape)})"
    one = f"`{problem.attribute}={problem.sides[-1]}` holds for every side"
    numbers = f"one number for each side of {LAYOUTS[rank]}, as in {value_text(problem.sides[-1:] * rank)}"
    return RuleError(
        "E304", message, one if len({*problem.sides}) == 1 or rank == SIGNAL else numbers, problem.attribute
    )


def _types(value: object) -> object:
    return tuple(map(type, value)) if isinstance(value, tuple) else type(value)


@lru_cache(maxsize=65536)
def _validated(model: Any, items: tuple[tuple[str, object], ...], types: object, rank: int) -> Attributes:
    return _checked(model, dict(items), rank)


def _checked(model: type[Attributes], values: Mapping[str, object], rank: int) -> Attributes:
    known = arguments_of(model)
    names = [argument.name for argument in known]
    for name in values:
        if name not in names:
            raise RuleError("E201", f"there is no argument `{name}`", did_you_mean(name, names), name)
    for argument in known:
        if argument.required and argument.name not in values:
            raise RuleError("E202", f"`{argument.name}` is missing", "", argument.name)
    checked: dict[str, Any] = {a.name: _value(a, values[a.name], rank) for a in known if a.name in values}
    if model.needs:
        check_needs(model, checked, rank)
    if rank in RANKS and rank != IMAGE:
        sized = [argument for argument in known if isinstance(argument.default, tuple)]
        checked = {argument.name: argument.default[:1] * rank for argument in sized} | checked
    return model.construct(checked)


def _value(argument: AttributeField, value: object, rank: int) -> object:
    if isinstance(value, str) and value in argument.words:
        return value
    typed = _typed(argument.type, value, rank)
    if typed is None:
        raise _mismatch(argument, value)
    for phrase, limit in argument.bounds:
        for number in typed if isinstance(typed, tuple) else (typed,):
            if not _within(number, phrase, limit):
                message = f"`{argument.name}` must be {phrase} {limit}; found {value_text(value)}"
                raise RuleError("E205", message, "", argument.name)
    if argument.type is tuple and rank in RANKS and len(typed) != rank:
        raise SidesError(_mismatch(argument, value), typed)
    return typed


def on_every_side(value: object, rank: int = IMAGE) -> object:
    """A number for each side from one int, a tuple from a list; other values unchanged."""
    if is_int(value):
        return (value,) * rank
    return tuple(value) if isinstance(value, list) else value


def rows_of(value: object) -> tuple[tuple[float, ...], ...] | None:
    """Rows of numbers of equal length from a list of lists; None if the value is anything else."""
    if not isinstance(value, list | tuple) or not all(isinstance(row, list | tuple) for row in value):
        return None
    rows = [[_typed(float, number, IMAGE) for number in row] for row in value]
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or 0 in lengths or any(number is None for row in rows for number in row):
        return None
    return tuple(map(tuple, rows))


def _typed(kind: type | None, value: object, rank: int) -> Any:
    """The value as the attribute holds it, or None if it has another type."""
    if kind is tuple:
        sides = on_every_side(value, rank if rank in RANKS else IMAGE)
        fits = isinstance(sides, tuple) and len(sides) in RANKS and all(map(is_int, sides))
        return tuple(sides) if fits else None  # type: ignore[arg-type]
    if kind is list:
        return rows_of(value)
    if kind is float and (is_int(value) or isinstance(value, float)):
        number: Any = value
        # Adding 0.0 turns -0.0 into 0.0. The two are equal and would share one place in the cache.
        return number + 0.0 if abs(number) <= sys.float_info.max else None
    fits = is_int(value) if kind is int else kind is not None and isinstance(value, kind)
    return value if fits else None


def _within(number: float, phrase: str, limit: float) -> bool:
    if phrase == "at least":
        return number >= limit
    if phrase == "at most":
        return number <= limit
    return number > limit if phrase == "greater than" else number < limit


def _mismatch(argument: AttributeField, value: object) -> RuleError:
    message = f"`{argument.name}` must be {argument.expected}; found {value_text(value)}"
    if isinstance(value, str) and argument.words:
        return RuleError("E205", message, did_you_mean(value, argument.words), argument.name)
    if argument.type is list and isinstance(value, list | tuple):
        return RuleError("E204", message, "every row has the same number of numbers, at least one", argument.name)
    needs_int = argument.type in (int, tuple) and type(value) is float
    hint = "`//`, `round`, `floor` and `ceil` give an int" if needs_int else ""
    return RuleError("E204", message, hint, argument.name)
