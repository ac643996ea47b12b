"""The schemes of `init` blocks with their arguments and the valid values; the compiler applies the schemes."""

from __future__ import annotations

from typing import Any, Protocol

from resnext_dsl.foundation.diagnostics import Note, Span, did_you_mean, error
from resnext_dsl.graph.ir import Graph, Node, tensors_of
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.values import show
from resnext_dsl.syntax import nodes as s

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
"""Scheme -> its arguments in order: name, type or words, default (None: required)."""


class SchemeRule(Protocol):
    """The content of an init rule, as `InitRule` has it."""

    @property
    def operator(self) -> str:
        """The name of the operator's row in the operator table."""

    @property
    def field(self) -> str:
        """`weight` or `bias`."""

    @property
    def scheme(self) -> str:
        """A key of `SCHEMES`."""

    @property
    def arguments(self) -> tuple[tuple[str, Any], ...]:
        """The arguments of the scheme by name."""

    @property
    def path(self) -> str:
        """The name of the module that the rule applies to, with those inside it; "" for the whole network."""


MATRICES = frozenset({"kaiming_normal", "kaiming_uniform", "xavier_normal", "xavier_uniform", "linear_uniform"})
"""Schemes that need a weight of at least two dimensions."""


def applies(operator: str, field: str, scheme: str) -> bool:
    """Whether a scheme can initialise a field of an operator's modules."""
    matrix = OPERATORS[operator].multiplies and field == "weight"
    known = field in OPERATORS[operator].init_fields and scheme in SCHEMES
    return known and (matrix or scheme not in MATRICES)


def fields_of(graph: Graph, node: Node) -> tuple[str, ...]:
    """The parameters of a node's module that an `init` rule may start."""
    if node.operator == "input" or not OPERATORS[node.operator].init_fields:
        return ()
    held = [tensor.field for tensor in tensors_of(graph, node)]
    return tuple([field for field in OPERATORS[node.operator].init_fields if field in held])


def with_weights() -> list[str]:
    """Names of the operators that have parameters to start."""
    return [name for name, row in OPERATORS.items() if row.init_fields]


def check_field(rule: s.InitDeclaration, operator: str) -> None:
    """Checks the field and the scheme of a rule for the operator that it applies to.

    Raises:
        ArchError: If the operator has no weights, the field is unknown, or the scheme cannot initialise the field.
    """
    fields = OPERATORS[operator].init_fields
    if not fields:
        hint = f"operators with weights: {', '.join(with_weights())}"
        raise error("E201", f"`{operator}` has no weights to initialise", rule.operator.span, hint=hint)
    _known(rule.field, fields, "field")
    _known(rule.scheme, SCHEMES, "scheme")
    if not applies(operator, rule.field.text, rule.scheme.text):
        message = f"`{rule.scheme.text}` initialises weights of convolutions and linear layers only"
        raise error("E205", message, rule.scheme.span, hint="use constant, normal, uniform, ones or zeros")


def check_arguments(rule: s.InitDeclaration, arguments: list[tuple[str, Any, Span]]) -> tuple[tuple[str, Any], ...]:
    """The arguments of a rule by name, defaults filled in.

    Raises:
        ArchError: If a scheme or an argument is unknown, or if a value has the wrong type.
    """
    _known(rule.scheme, SCHEMES, "scheme")
    formals = SCHEMES[rule.scheme.text]
    values: dict[str, Any] = {}
    places: dict[str, Span] = {}
    for position, (name, value, span) in enumerate(arguments):
        if not name and position >= len(formals):
            raise error(
                "E203", f"`{rule.scheme.text}` takes at most {len(formals)} arguments; this one is too many", span
            )
        key = name or formals[position][0]
        kind = next((formal[1] for formal in formals if formal[0] == key), None)
        if kind is None:
            hint = did_you_mean(key, [formal[0] for formal in formals])
            raise error("E201", f"`{rule.scheme.text}` has no argument `{key}`", span, hint=hint)
        if key in places:
            notes = (Note(f"`{key}` is first given here", places[key]),)
            raise error("E203", f"`{rule.scheme.text}` has the argument `{key}` twice", span, notes=notes)
        places[key] = span
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
            raise error("E205", f"`{name}` must be one of {', '.join(kind)}; found {show(value)}", span)
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
"""The option words that schemes add."""
