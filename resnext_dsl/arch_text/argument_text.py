"""The text of arguments, of operators and of calls."""

from __future__ import annotations

from functools import cache
from typing import Any

from resnext_dsl.arch_text.step_tree import ArgumentFormula, FirstAndLater, Spelled
from resnext_dsl.operators import OPERATORS, arguments_of
from resnext_dsl.operators.base import REQUIRED

SIZED = frozenset({"kernel", "size"})
"""Arguments that are written side by side, `3x3`; others are one number if their sides are equal."""

ALONE = frozenset({"p", "scale", "slope", "init", "alpha", "beta"})
"""First arguments that need no name though they have a default: `dropout(0.2)`, `upsample(4)`."""

Defaults = dict[str, dict[str, Any]]
"""The network's own defaults: operator -> argument -> value."""


def value_words(kind: str, value: Any) -> str:
    """The text of an argument."""
    if type(value) is int:
        return str(value)
    if isinstance(value, ArgumentFormula | Spelled):
        return value.text if isinstance(value, ArgumentFormula) else str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value).replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    if isinstance(value, FirstAndLater):
        return f"first({value_words(kind, value.first)}, {value_words(kind, value.later)})"
    if isinstance(value, tuple):
        return _sides(kind, value)
    if isinstance(value, list):
        return f"[{', '.join(value_words(kind, one) for one in value)}]"
    return str(value)


def _sides(kind: str, value: tuple[Any, ...]) -> str:
    if kind == "widths":
        return _numbers(value)
    if value and isinstance(value[0], tuple):
        return f"[{', '.join(_numbers(row) for row in value)}]"
    if len(value) == 1 or (len({*value}) == 1 and kind not in SIZED):
        return str(value[0])
    return "x".join(map(str, value))


def _numbers(row: tuple[Any, ...]) -> str:
    return f"[{', '.join(value_words('', number) for number in row)}]"


@cache
def _plan(operator: str) -> tuple[tuple[str, Any, bool], ...]:
    """Name and default of each argument, and whether it is written without its name."""
    row = OPERATORS[operator]
    plan, positional = [], not row.takes_values
    for argument in arguments_of(row.attributes):
        default = row.attributes.fields[argument.name]
        positional = positional and (default is REQUIRED or argument.name in ALONE)
        plan.append((argument.name, default, positional))
    return tuple(plan)


def is_default(default: Any, value: Any) -> bool:
    """Whether an argument has its default, whose sides are those of an image."""
    if default is REQUIRED:
        return False
    if isinstance(default, tuple) and isinstance(value, tuple):
        return default[:1] * len(value) == value
    return type(default) is type(value) and bool(default == value)


def explicit_arguments(operator: str, values: tuple[Any, ...], defaults: Defaults) -> dict[str, Any]:
    """The arguments of an operator that a text must state."""
    settled = defaults.get(operator, {})
    return {
        name: value
        for (name, default, _), value in zip(_plan(operator), values, strict=True)
        if not is_default(settled.get(name, default), value)
    }


def operator_text(operator: str, values: tuple[Any, ...], others: list[str], defaults: Defaults) -> str:
    """An operator with its arguments; `others` are the values that it reads beside the running value."""
    stated = explicit_arguments(operator, values, defaults)
    row = OPERATORS[operator]
    parts = [f"{row.value_name}={other}" if row.value_name else other for other in others]
    for place, (name, _, positional) in enumerate(_plan(operator)):
        if name in stated:
            text = value_words(name, stated[name])
            parts.append(text if positional and len(parts) == place else f"{name}={text}")
    return f"{operator}({', '.join(parts)})" if parts else operator


def shape_words(shape: tuple[Any, ...]) -> str:
    """A shape of numbers and names: `3x224x224`, `3 x resolution x resolution`."""
    if all(isinstance(side, int) for side in shape):
        return "x".join(map(str, shape))
    return " x ".join(map(str, shape))
