"""Checks the names in expressions, and the arguments of the functions, operators and templates that they call."""

from __future__ import annotations

from collections.abc import Container

from resnext_dsl.foundation.diagnostics import MOST, ArchError, Diagnostic, EnoughError, Span, did_you_mean
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.evaluate import CONTEXT, WORDS
from resnext_dsl.semantics.functions import BUILTINS
from resnext_dsl.semantics.name_level import NameLevel
from resnext_dsl.semantics.recursion import Calls
from resnext_dsl.semantics.scope import declared_twice
from resnext_dsl.semantics.signature import (
    Signature,
    bind,
    function_signature,
    no_arguments,
    operator_signature,
    template_signature,
)
from resnext_dsl.syntax import nodes as s


class ExpressionNames:
    """Checks expressions; `StatementNames` adds statements.

    Attributes:
        diagnostics: The errors and warnings so far.
    """

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._calls = Calls()
        self._declaring = ""  # the name of the shared instance whose operator or template is being checked
        self._inside = False  # a template or a network, whose expressions see `channels_in` and the like

    def _note(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)
        if len(self.diagnostics) >= MOST:
            raise EnoughError

    def _declare(self, level: NameLevel, name: s.Name) -> None:
        """Declares a name at a level; a second declaration at that level is an error."""
        if name.text in level.spans:
            self._note(declared_twice(name, level.spans[name.text]))
        level.declare(name)

    def _targets(self, level: NameLevel, names: tuple[s.Name, ...]) -> None:
        """Declares the names of a loop; `_` may stand several times, for the parts that nothing reads."""
        for name in names:
            if name.text != "_":
                self._declare(level, name)
        level.names.update({name.text: None for name in names if name.text == "_"})

    def _unused(self, level: NameLevel, what: str, domains: Container[str] = ()) -> None:
        """Warns of names that nothing reads; `domains` are names that a search varies all the same."""
        for name, span in level.spans.items():
            if name not in level.used and not name.startswith("_"):
                message = f"`{name}` is {what} and never used"
                hint = "if an evaluator reads it, begin its name with `_`" if name in domains else ""
                self._note(Diagnostic("W901", message, span, severity="warning", hint=hint))

    def _arguments(
        self, signature: Signature, arguments: tuple[s.CallArgument, ...], span: Span, partial: bool = False
    ) -> None:
        try:
            bind(signature, arguments, partial=partial, callee_span=span)
        except ArchError as problem:
            for diagnostic in problem.diagnostics:
                self._note(diagnostic)

    def _expression(self, expression: s.Expression, level: NameLevel) -> None:
        if isinstance(expression, s.Literal):
            return
        if isinstance(expression, s.Name):
            self._name(expression, level)
        elif isinstance(expression, s.Invoke):
            self._invoke(expression, level)
        elif isinstance(expression, s.Comprehension):
            self._expression(expression.iterable, level)
            inner = NameLevel(level)
            self._targets(inner, expression.targets)
            with self._calls.optional():
                self._expression(expression.element, inner)
                if expression.condition is not None:
                    self._expression(expression.condition, inner)
        else:
            parts = _parts(expression)
            if _may_stop(expression):
                self._expression(parts[0], level)
                with self._calls.optional():
                    for part in parts[1:]:
                        self._expression(part, level)
                return
            for part in parts:
                self._expression(part, level)

    def _name(self, name: s.Name, level: NameLevel) -> None:
        try:
            level.find(name.text)
        except KeyError:
            flows = self._inside and name.text in CONTEXT
            if not flows and name.text not in OPERATORS and name.text not in WORDS:
                self._unknown(name, level)

    def _unknown(self, name: s.Name, level: NameLevel) -> None:
        if name.text in CONTEXT or name.text in BUILTINS:
            return  # evaluation reports it
        if name.text == self._declaring:
            self._note(in_own_declaration(name))
            return
        elsewhere = self._elsewhere(name)
        if elsewhere is not None:
            self._note(elsewhere)
            return
        known = level.all_names() | set(OPERATORS) | set(BUILTINS) | set(CONTEXT)
        message = f"unknown name `{name.text}`"
        self._note(Diagnostic("E101", message, name.span, hint=did_you_mean(name.text, known)))

    def _elsewhere(self, name: s.Name) -> Diagnostic | None:
        """The diagnostic for a name that has a meaning at another place of the network."""
        return None

    def _invoke(self, expression: s.Invoke, level: NameLevel) -> None:
        for argument in expression.arguments:
            self._expression(argument.value, level)
        name = expression.callee
        try:
            meaning = level.find(name.text)
        except KeyError:
            if name.text in OPERATORS:
                signature = operator_signature(OPERATORS[name.text])
                self._arguments(signature, expression.arguments, name.span, partial=True)
            elif name.text not in BUILTINS:
                self._unknown(name, level)
            return
        if isinstance(meaning, s.Fn):
            self._calls.add(meaning, name.span)
            self._arguments(function_signature(meaning), expression.arguments, name.span)
        elif isinstance(meaning, s.Shared) and expression.arguments:
            self._note(no_arguments(name.text, expression.arguments[0].span, meaning.name.span))
        elif isinstance(meaning, s.Template):
            self._arguments(template_signature(meaning), expression.arguments, name.span, partial=True)


def in_own_declaration(name: s.Name) -> Diagnostic:
    """The diagnostic for a shared instance that its own declaration applies."""
    message = f"the shared instance `{name.text}` cannot apply itself"
    return Diagnostic("E101", message, name.span, hint="use `repeat` to apply an instance several times")


def _may_stop(expression: s.Expression) -> bool:
    """Whether the first operand decides which of the others are computed."""
    return isinstance(expression, s.Conditional) or (
        isinstance(expression, s.Chain) and expression.rest[0][0] in ("and", "or")
    )


def _bounds(place: s.Expression | s.ListSlice) -> tuple[s.Expression | None, ...]:
    return (place.start, place.stop) if isinstance(place, s.ListSlice) else (place,)


def _parts(expression: s.Expression) -> tuple[s.Expression, ...]:
    """The operands of an expression that binds no names, the one that is computed first at the start."""
    if isinstance(expression, s.Chain):
        return (expression.first, *(operand for _, operand in expression.rest))
    if isinstance(expression, s.Unary):
        return (expression.operand,)
    if isinstance(expression, s.Conditional):
        value, condition, *rest = expression.parts
        return (condition, value, *rest)
    if isinstance(expression, s.Dimensions):
        return expression.parts
    if isinstance(expression, s.Index):
        bounds = [bound for place in expression.indices for bound in _bounds(place) if bound is not None]
        return (expression.base, *bounds)
    if isinstance(expression, s.ListOf):
        return expression.items
    return ()
