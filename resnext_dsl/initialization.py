"""The schemes that an `init` block may name: their arguments and what those may be. What they do is the compiler's."""

from __future__ import annotations

from typing import Any

from resnext_dsl import syntax as s
from resnext_dsl.diagnostics import Span, did_you_mean, error
from resnext_dsl.operators import OPERATORS
from resnext_dsl.values import show

FANS = ("fan_in", "fan_out")
SCHEMES: dict[str, tuple[tuple[str, type | tuple[str, ...], Any], ...]] = {
    "kaiming_normal": (("fan", FANS, "fan_in"), ("gain", ("relu", "linear"), "relu"), ("per_group", bool, False)),
    "kaiming_uniform": (("fan", FANS, "fan_in"), ("gain", ("relu", "linear"), "relu"), ("per_group", bool, False)),
    "xavier_normal": (),
    "xavier_uniform": (),
    "normal": (("std", float, None),),
    "trunc_normal": (("std", float, None),),
    "uniform": (("bound", float, None),),
    "linear_uniform": (),
    "zeros": (),
    "ones": (),
    "constant": (("value", float, None),),
}
"""Scheme -> its arguments in order: name, type or words, default (None: it must be given)."""

FIELDS = ("weight", "bias")


def check(rule: s.InitRule, given: list[tuple[str, Any, Span]]) -> tuple[tuple[str, Any], ...]:
    """The arguments of a rule by name, defaults filled in.

    Raises:
        ArchError: For an unknown operator, field, scheme or argument, or a value of the wrong type.
    """
    _known(rule.operator, OPERATORS, "operator")
    _known(rule.field, FIELDS, "field")
    _known(rule.scheme, SCHEMES, "scheme")
    formals = SCHEMES[rule.scheme.text]
    values: dict[str, Any] = {}
    for position, (name, value, span) in enumerate(given):
        if not name and position >= len(formals):
            raise error("E203", f"`{rule.scheme.text}` takes {len(formals)} arguments; this is one too many", span)
        key = name or formals[position][0]
        kind = next((formal[1] for formal in formals if formal[0] == key), None)
        if kind is None:
            hint = did_you_mean(key, [formal[0] for formal in formals])
            raise error("E201", f"`{rule.scheme.text}` has no argument `{key}`", span, hint=hint)
        values[key] = _typed(key, value, kind, span)
    for name, _, default in formals:
        if name not in values and default is None:
            raise error("E202", f"`{rule.scheme.text}` needs the argument `{name}`", rule.scheme.span)
        values.setdefault(name, default)
    return tuple((name, values[name]) for name, _, _ in formals)


def _typed(name: str, value: Any, kind: type | tuple[str, ...], span: Span) -> Any:
    if isinstance(kind, tuple):
        word = getattr(getattr(value, "operator", None), "name", value)
        if word not in kind:
            raise error("E205", f"`{name}` is one of {', '.join(kind)}; found {show(value)}", span)
        return word
    if kind is bool and isinstance(value, bool):
        return value
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        if name == "std" and value <= 0:
            raise error("E205", f"`std` must be above 0; found {value}", span)
        return float(value)
    raise error("E204", f"`{name}` must be a {kind.__name__}; found {show(value)}", span)


def _known(name: s.Name, known: Any, what: str) -> None:
    if name.text not in known:
        hint = did_you_mean(name.text, known) or f"{what}s: {', '.join(sorted(known))}"
        raise error("E101", f"unknown {what} `{name.text}`", name.span, hint=hint)


INIT_WORDS = frozenset({"fan_in", "fan_out", "linear"})
"""Option words of the schemes."""
