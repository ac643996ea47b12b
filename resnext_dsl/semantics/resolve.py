"""Checks the names of a spec without running it, also in templates that nobody calls and branches that nobody takes.

Finds unknown names, wrong arguments where the callee is known from the text, templates and functions that call
themselves in a circle, and declarations that are never used (warnings).
"""

from __future__ import annotations

import contextlib
from collections.abc import Container
from typing import Any

from resnext_dsl.foundation.diagnostics import MOST, ArchError, Diagnostic, EnoughError, Note, Span, did_you_mean
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.evaluate import CONTEXT, WORDS
from resnext_dsl.semantics.functions import BUILTINS
from resnext_dsl.semantics.naming import aliases
from resnext_dsl.semantics.recursion import Calls
from resnext_dsl.semantics.signature import Signature, bind, function_signature, operator_signature, template_signature
from resnext_dsl.semantics.spec_files import SpecFile
from resnext_dsl.syntax import nodes as s


class NameLevel:
    """Names declared at one level of a text, and what they stand for; None for a value known only later."""

    __slots__ = ("names", "outer", "spans", "used")

    def __init__(self, outer: NameLevel | None, names: dict[str, Any] | None = None) -> None:
        self.outer = outer
        self.names: dict[str, Any] = {} if names is None else names
        self.spans: dict[str, Span] = {}
        self.used: set[str] = set()

    def find(self, name: str) -> Any:
        """What a name stands for, which is marked as used; KeyError where it is not declared."""
        level: NameLevel | None = self
        while level is not None:
            if name in level.names:
                level.used.add(name)
                return level.names[name]
            level = level.outer
        raise KeyError(name)

    def all_names(self) -> set[str]:
        """Every name that can be seen from here."""
        level: NameLevel | None = self
        seen: set[str] = set()
        while level is not None:
            seen.update(level.names)
            level = level.outer
        return seen

    def declare(self, name: s.Name, meaning: Any = None) -> None:
        """Declares a name."""
        self.names[name.text] = meaning
        self.spans[name.text] = name.span


def resolve(module: SpecFile) -> list[Diagnostic]:
    """What is wrong with the names of a spec and of the libraries it imports (the shipped ones aside)."""
    resolver = _Resolver()
    with contextlib.suppress(EnoughError):
        resolver.module(module, main=True)
        resolver.circles()
    return resolver.diagnostics


class _Resolver:
    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._levels: dict[int, NameLevel] = {}
        self._calls = Calls()
        self._inside = False

    def _found(self, diagnostic: Diagnostic) -> None:
        self.diagnostics.append(diagnostic)
        if len(self.diagnostics) >= MOST:
            raise EnoughError

    def circles(self) -> None:
        """Notes definitions that call themselves."""
        for circle in self._calls.circles():
            self._found(circle)

    def module(self, module: SpecFile, main: bool = False) -> NameLevel:
        """Checks a module once, and those it imports; gives its names."""
        if id(module) in self._levels:
            return self._levels[id(module)]
        level = self._levels[id(module)] = NameLevel(None)
        for item, imported in module.imports:
            self._take(item, self.module(imported), level)
        for declared in module.file.items:
            if not isinstance(declared, s.Import):
                level.declare(declared.name, declared if isinstance(declared, s.Template | s.Fn) else None)
        if not module.shipped:
            self._items(module, level, main)
        return level

    def _take(self, item: s.Import, theirs: NameLevel, level: NameLevel) -> None:
        if item.names is None:
            level.names.update(theirs.names)
            return
        for name, alias in item.names:
            level.declare(alias, theirs.names.get(name.text))

    def _items(self, module: SpecFile, level: NameLevel, main: bool) -> None:
        network: s.NetworkDeclaration | s.Derived | None = None
        for item in module.file.items:
            if isinstance(item, s.Template):
                self._template(item, level)
            elif isinstance(item, s.Fn):
                self._function(item, level)
            elif isinstance(item, s.Let):
                self._expression(item.value, level)
            elif isinstance(item, s.NetworkDeclaration):
                network = item
                self._network(item, level)
            elif isinstance(item, s.Derived):
                network = item
                self._derived(item, level)
        if main and network is not None:
            level.used.add(network.name.text)
            self._unused(level, "declared")

    def _unused(self, level: NameLevel, what: str, domains: Container[str] = ()) -> None:
        """Warns of names that nothing reads; those of `domains` are searched all the same."""
        for name, span in level.spans.items():
            if name not in level.used and not name.startswith("_"):
                message = f"`{name}` is {what} and never used"
                hint = (
                    "as it should be if an evaluator reads it; `_` before its name says so" if name in domains else ""
                )
                self._found(Diagnostic("W901", message, span, severity="warning", hint=hint))

    # --- definitions ---

    def _template(self, template: s.Template, outer: NameLevel) -> None:
        before, inside = self._calls.enter(template), self._inside
        self._inside = True
        level = NameLevel(outer)
        for formal in template.parameters:
            if formal.default is not None:
                self._expression(formal.default, level)
            if formal.name.text in level.names:
                note = Note(f"`{formal.name.text}` was declared here", level.spans[formal.name.text])
                message = f"`{formal.name.text}` is declared twice"
                self._found(Diagnostic("E102", message, formal.name.span, notes=(note,)))
            level.declare(formal.name)
        values = NameLevel(level, dict.fromkeys(aliases(template.body)))
        self._block(template.body, values)
        self._unused(level, f"a parameter of template `{template.name.text}`")
        self._calls.owner, self._inside = before, inside

    def _function(self, function: s.Fn, outer: NameLevel) -> None:
        before = self._calls.enter(function)
        level = NameLevel(outer)
        for name in function.parameters:
            level.declare(name)
        self._expression(function.body, level)
        self._unused(level, f"a parameter of function `{function.name.text}`")
        self._calls.owner = before

    def _network(self, network: s.NetworkDeclaration, outer: NameLevel) -> None:
        level = NameLevel(outer)
        for entry in network.entries:
            if isinstance(entry, s.Template | s.Fn):
                level.declare(entry.name, entry)
            elif isinstance(entry, s.Param | s.Let):
                level.declare(entry.name)
        statements = s.Block(network.span, tuple(e for e in network.entries if isinstance(e, s.Statement)))
        values = NameLevel(level, dict.fromkeys(aliases(statements)))
        for entry in network.entries:
            if isinstance(entry, s.PartDeclaration):
                values.names.update(dict.fromkeys([entry.name.text, *aliases(entry.body)]))
                values.names.update({entry.alias.text: None} if entry.alias is not None else {})
            elif isinstance(entry, s.Input):
                values.names[entry.name.text] = None
            elif isinstance(entry, s.OutputDeclaration) and entry.body is not None:
                values.names.update(dict.fromkeys(aliases(entry.body)))
        self._inside = True
        for entry in network.entries:
            self._entry(entry, level, values)
        self._inside = False
        searched = {entry.name.text for entry in network.entries if isinstance(entry, s.Param) and entry.domain}
        self._unused(level, "declared", searched)

    def _derived(self, network: s.Derived, outer: NameLevel) -> None:
        if network.base.text in outer.names:
            outer.used.add(network.base.text)
        for argument in network.arguments:
            self._expression(argument.value, outer)

    def _entry(self, entry: s.Entry, level: NameLevel, values: NameLevel) -> None:
        if isinstance(entry, s.Template):
            self._template(entry, level)
        elif isinstance(entry, s.Fn):
            self._function(entry, level)
        elif isinstance(entry, s.Param):
            self._expression(entry.default, level)
            if entry.domain is not None:
                self._domain(entry.domain, level)
            if entry.condition is not None:
                self._expression(entry.condition, level)
        elif isinstance(entry, s.Require):
            self._expression(entry.condition, level)
        elif isinstance(entry, s.Input):
            self._expression(entry.shape, level)
        elif isinstance(entry, s.Default):
            for argument in entry.arguments:
                self._expression(argument.value, level)
        elif isinstance(entry, s.Init):
            for rule in entry.rules:
                for argument in rule.arguments:
                    self._expression(argument.value, level)
        elif isinstance(entry, s.Budget):
            self._budget(entry, level)
        elif isinstance(entry, s.PartDeclaration):
            self._part(entry, values)
        elif isinstance(entry, s.OutputDeclaration):
            if entry.body is not None:
                self._block(entry.body, values)
        elif isinstance(entry, s.Let):
            self._expression(entry.value, level)
        else:
            self._statement(entry, values)

    def _budget(self, budget: s.Budget, level: NameLevel) -> None:
        for argument in budget.arguments:
            self._word(argument.value, level)
        for limit in budget.limits:
            for argument in limit.measure.arguments or ():
                self._word(argument.value, level)
            for _, bound in limit.bounds:
                if not isinstance(bound, s.Amount):
                    self._expression(bound, level)

    def _word(self, expression: s.Expression, level: NameLevel) -> None:
        """An expression, or a word such as `float16`, which is checked with the limits."""
        if not isinstance(expression, s.Name) or expression.text in level.all_names():
            self._expression(expression, level)

    def _part(self, part: s.PartDeclaration, values: NameLevel) -> None:
        inner = NameLevel(values)
        if part.times is not None:
            self._expression(part.times, values)
        if part.counter is not None:
            inner.declare(part.counter)
        self._block(part.body, inner)

    def _domain(self, domain: s.Domain, level: NameLevel) -> None:
        if isinstance(domain, s.ListDomain):
            for element in domain.elements:
                self._domain(element, level)
        elif isinstance(domain, s.SetDomain):
            for item in domain.items:
                self._expression(item, level)
            self._listed_twice(domain)
        else:
            for part in (domain.low, domain.high, domain.step):
                if part is not None:
                    self._expression(part, level)

    def _listed_twice(self, domain: s.SetDomain) -> None:
        seen: set[str] = set()
        for item in domain.items:
            if item.span.text in seen:
                message = f"`{item.span.text[:40]}` is in the domain twice"
                self._found(Diagnostic("E102", message, item.span))
            seen.add(item.span.text)

    # --- statements ---

    def _block(self, block: s.Block, outer: NameLevel) -> None:
        level = NameLevel(outer)
        for statement in block.statements:
            self._statement(statement, level)
        self._unused(level, "declared")

    def _statement(self, statement: s.Statement, level: NameLevel) -> None:
        if isinstance(statement, s.Let):
            self._expression(statement.value, level)
            level.declare(statement.name)
        elif isinstance(statement, s.Apply):
            self._apply(statement, level)
        elif isinstance(statement, s.Use):
            self._use(statement, level)
        elif isinstance(statement, s.Repeat):
            self._expression(statement.times, level)
            self._indexed(statement.body, (statement.counter,) if statement.counter is not None else (), level)
        elif isinstance(statement, s.ForEach):
            self._expression(statement.iterable, level)
            self._indexed(statement.body, statement.targets, level, warn=False)
        elif isinstance(statement, s.If):
            for condition, block in statement.branches:
                self._expression(condition, level)
                self._block(block, level)
            if statement.otherwise is not None:
                self._block(statement.otherwise, level)
        elif isinstance(statement, s.Split):
            self._split(statement, level)
        else:
            self._residual(statement, level)

    def _use(self, statement: s.Use, level: NameLevel) -> None:
        try:
            level.find(statement.value.text)
        except KeyError:
            hint = (
                did_you_mean(statement.value.text, level.all_names()) or "name a value with `as NAME` before it is used"
            )
            message = f"no value is named `{statement.value.text}` here"
            self._found(Diagnostic("E101", message, statement.value.span, hint=hint))

    def _indexed(self, block: s.Block, names: tuple[s.Name, ...], level: NameLevel, warn: bool = True) -> None:
        inner = NameLevel(level)
        for name in names:
            inner.declare(name)
        self._block(block, inner)
        if warn:
            self._unused(inner, "declared")

    def _split(self, statement: s.Split, level: NameLevel) -> None:
        if statement.times is not None:
            self._expression(statement.times, level)
        if statement.body is not None:
            self._indexed(statement.body, (statement.counter,) if statement.counter is not None else (), level)
        for path in statement.paths:
            self._block(path, level)
        self._apply(statement.merge, level)

    def _residual(self, statement: s.Residual, level: NameLevel) -> None:
        for argument in statement.arguments:
            self._expression(argument.value, level)
        self._block(statement.body, level)
        if statement.shortcut is not None:
            self._block(statement.shortcut, level)

    def _apply(self, call: s.Apply, level: NameLevel) -> None:
        name = call.callee
        for argument in call.arguments:
            self._expression(argument.value, level)
        try:
            meaning = level.find(name.text)
        except KeyError:
            if name.text not in OPERATORS:
                known = set(level.all_names()) | set(OPERATORS)
                hint = did_you_mean(name.text, known)
                message = f"unknown operator or template `{name.text}`"
                self._found(Diagnostic("E101", message, name.span, hint=hint))
                return
            self._arguments(operator_signature(OPERATORS[name.text]), call.arguments, name.span, partial=True)
            return
        if isinstance(meaning, s.Template):
            self._calls.add(meaning, name.span)
            self._arguments(template_signature(meaning), call.arguments, name.span)

    def _arguments(
        self, signature: Signature, given: tuple[s.CallArgument, ...], span: Span, partial: bool = False
    ) -> None:
        try:
            bind(signature, given, partial=partial, callee_span=span)
        except ArchError as problem:
            for diagnostic in problem.diagnostics:
                self._found(diagnostic)

    # --- expressions ---

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
            for target in expression.targets:
                inner.declare(target)
            self._expression(expression.element, inner)
            if expression.condition is not None:
                self._expression(expression.condition, inner)
        else:
            for part in _parts(expression):
                self._expression(part, level)

    def _name(self, name: s.Name, level: NameLevel) -> None:
        try:
            meaning = level.find(name.text)
        except KeyError:
            flows = self._inside and name.text in CONTEXT
            if not flows and name.text not in OPERATORS and name.text not in WORDS:
                self._unknown(name, level)
            return
        if isinstance(meaning, s.Template | s.Fn):
            self._calls.add(meaning, name.span)

    def _unknown(self, name: s.Name, level: NameLevel) -> None:
        if name.text in CONTEXT or name.text in BUILTINS:
            return  # evaluation says what it is
        known = level.all_names() | set(OPERATORS) | set(BUILTINS) | set(CONTEXT)
        message = f"unknown name `{name.text}`"
        self._found(Diagnostic("E101", message, name.span, hint=did_you_mean(name.text, known)))

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
        elif isinstance(meaning, s.Template):
            self._calls.add(meaning, name.span)
            self._arguments(template_signature(meaning), expression.arguments, name.span, partial=True)


def _parts(expression: s.Expression) -> tuple[s.Expression, ...]:
    """The operands of an expression that binds no names."""
    if isinstance(expression, s.Chain):
        return (expression.first, *(operand for _, operand in expression.rest))
    if isinstance(expression, s.Unary):
        return (expression.operand,)
    if isinstance(expression, s.Conditional | s.Dimensions):
        return expression.parts
    if isinstance(expression, s.Index):
        return (expression.base, *expression.indices)
    if isinstance(expression, s.ListOf):
        return expression.items
    return ()
