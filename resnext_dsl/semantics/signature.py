"""The signatures of callees, and the matching of a call's arguments to their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span, did_you_mean
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import REQUIRED
from resnext_dsl.operators.row import Operator
from resnext_dsl.semantics.values import NO_PLACES, FunctionValue, OperatorValue, TemplateValue
from resnext_dsl.syntax import nodes as s


class Signature(NamedTuple):
    """The parameters of a callee in order.

    Attributes:
        name: The callee's name.
        parameters: Names, in the order of positional arguments.
        required: The parameters that a call must give.
        takes_values: Whether positional arguments are values of the network, as in merges.
        value_name: The name under which a call may give such a value too; "" for none.
        filled: The arguments that are filled in already, with their places.
    """

    name: str
    parameters: tuple[str, ...]
    required: frozenset[str]
    takes_values: bool = False
    value_name: str = ""
    filled: Mapping[str, Span] = NO_PLACES

    def open(self) -> tuple[str, ...]:
        """The parameters that are not filled in."""
        return tuple(name for name in self.parameters if name not in self.filled) if self.filled else self.parameters


class BoundArguments(NamedTuple):
    """The arguments of a call by parameter name, the spans of their values, and the values of a merge."""

    named: dict[str, s.CallArgument]
    spans: dict[str, Span]
    values: tuple[s.CallArgument, ...]


@cache
def operator_signature(operator: Operator) -> Signature:
    """The signature of an operator: its attributes."""
    fields = operator.attributes.fields
    required = frozenset(name for name, default in fields.items() if default is REQUIRED)
    return Signature(operator.name, tuple(fields), required, operator.takes_values, operator.value_name)


def template_signature(template: s.Template) -> Signature:
    """The signature of a template."""
    names = tuple(formal.name.text for formal in template.parameters)
    required = frozenset(formal.name.text for formal in template.parameters if formal.default is None)
    return Signature(template.name.text, names, required)


def function_signature(function: s.Fn) -> Signature:
    """The signature of a one-line function: all parameters are required."""
    names = tuple(name.text for name in function.parameters)
    return Signature(function.name.text, names, frozenset(names))


def signature_of(callee: OperatorValue | TemplateValue | FunctionValue) -> Signature:
    """The signature of a value that can be called; a call cannot give arguments that are filled in already."""
    if isinstance(callee, FunctionValue):
        return function_signature(callee.function)
    if isinstance(callee, OperatorValue):
        signature = operator_signature(callee.operator)
    else:
        signature = template_signature(callee.template)
    if not callee.arguments:
        return signature
    return signature._replace(required=signature.required - callee.places.keys(), filled=callee.places)


def bind(
    signature: Signature,
    arguments: tuple[s.CallArgument, ...],
    partial: bool = False,
    callee_span: Span | None = None,
) -> BoundArguments:
    """Matches arguments to parameters; `partial` lets required ones be missing.

    Positional arguments go to the parameters that are not filled in, in order.

    Raises:
        ArchError: With a diagnostic for each argument that is unknown, surplus, given twice or missing.
    """
    problems: list[Diagnostic] = []
    named: dict[str, s.CallArgument] = {}
    values: list[s.CallArgument] = []
    position, parameters = 0, signature.open()
    for argument in arguments:
        stated = argument.name.text if argument.name is not None else None
        # `crop(like=skip)` gives a value of the network by name.
        if signature.takes_values and (stated is None or stated == signature.value_name):
            values.append(argument)
            continue
        if stated is None:
            if position >= len(parameters):
                problems.append(_surplus(signature, argument))
                continue
            stated = parameters[position]
            position += 1
        if stated in named or stated not in parameters:
            problem = _problem(signature, argument, stated, named)
            if problem is not None:
                problems.append(problem)
                continue
        named[stated] = argument
    # A misspelt argument is the likely reason for a missing one, so it is the only error.
    if not partial and not problems and not signature.required <= named.keys():
        missing = [name for name in signature.parameters if name in signature.required and name not in named]
        problems.append(_missing(signature, missing, callee_span))
    if problems:
        raise ArchError(problems)
    return BoundArguments(named, {name: argument.value.span for name, argument in named.items()}, tuple(values))


def _problem(
    signature: Signature, argument: s.CallArgument, name: str, named: dict[str, s.CallArgument]
) -> Diagnostic | None:
    span = argument.name.span if argument.name is not None else argument.span
    if name not in signature.parameters:
        hint = did_you_mean(name, _open(signature)) or _takes(signature)
        return Diagnostic("E201", f"`{signature.name}` has no argument `{name}`", span, hint=hint)
    first = signature.filled.get(name) or (named[name].span if name in named else None)
    if first is None or (argument.name is None and signature.parameters.count(name) > 1):
        return None  # a parameter that is declared twice is an error of the declaration
    notes = (Note(f"`{name}` is first given here", first),)
    return Diagnostic("E203", f"`{signature.name}` has the argument `{name}` twice", span, notes=notes)


def _surplus(signature: Signature, argument: s.CallArgument) -> Diagnostic:
    count, more = len(signature.open()), "more " if signature.filled else ""
    notes = tuple(Note(f"`{name}` is filled in here", span) for name, span in signature.filled.items())
    if not count:
        message = f"`{signature.name}` takes no {more}arguments"
        return Diagnostic("E203", message, argument.span, hint="remove it", notes=notes)
    most = f"{count} {more}argument{'' if count == 1 else 's'}"
    message = f"`{signature.name}` takes at most {most}; this one is too many"
    return Diagnostic("E203", message, argument.span, hint=_takes(signature), notes=notes)


def _missing(signature: Signature, missing: list[str], span: Span | None) -> Diagnostic:
    names = ", ".join(f"`{name}`" for name in missing)
    plural = "s" if len(missing) > 1 else ""
    return Diagnostic("E202", f"`{signature.name}` needs the argument{plural} {names}", span, hint=_takes(signature))


def _open(signature: Signature) -> tuple[str, ...]:
    """The arguments that a call can give by name."""
    return (*filter(None, [signature.value_name]), *signature.open())


def no_arguments(name: str, place: Span, declared: Span) -> Diagnostic:
    """The diagnostic for an argument of a use of a shared instance.

    Args:
        name: The name of the instance at its use.
        place: The argument.
        declared: The declaration of the instance.
    """
    message = f"`{name}` is a shared instance; a use of it takes no arguments"
    notes = (Note("the instance gets its arguments here", declared),)
    return Diagnostic("E203", message, place, hint=f"write `{name}`", notes=notes)


def _takes(signature: Signature) -> str:
    more = "more " if signature.filled else ""
    if not signature.open():
        return f"`{signature.name}` takes no {more}arguments"
    shown = ", ".join(name if name in signature.required else f"{name}=..." for name in _open(signature))
    return f"{'left to fill in' if more else 'usage'}: `{signature.name}({shown})`"
