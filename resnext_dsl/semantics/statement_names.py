"""Checks the names in statements, also in branches that no parameter value takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from resnext_dsl.foundation.diagnostics import Diagnostic, Note, did_you_mean
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.evaluate import NAME_BEFORE_USE, VALUE_NAMES
from resnext_dsl.semantics.expression_names import ExpressionNames, in_own_declaration
from resnext_dsl.semantics.functions import BUILTINS
from resnext_dsl.semantics.name_level import NameLevel
from resnext_dsl.semantics.scope import declared_twice
from resnext_dsl.semantics.signature import no_arguments, operator_signature, template_signature
from resnext_dsl.syntax import nodes as s


class StatementNames(ExpressionNames):
    """Checks blocks of statements; the resolver adds definitions, networks and files."""

    def _block(self, block: s.Block, outer: NameLevel) -> None:
        level = NameLevel(outer)
        self._named_twice([alias for statement in block.statements for alias in names_given_by(statement)])
        self._shared_twice(block.statements)
        for statement in block.statements:
            self._statement(statement, level)
        self._unused(level, "declared")

    def _named_twice(self, names: Iterable[s.Name]) -> None:
        """Notes a name that two values of one block have."""
        first: dict[str, s.Name] = {}
        for name in names:
            if first.setdefault(name.text, name) is not name:
                note = Note(f"`{name.text}` is first the name of this value", first[name.text].span)
                message = f"two values of a block have the name `{name.text}`"
                self._note(Diagnostic("E102", message, name.span, notes=(note,)))

    def _statement(self, statement: s.Statement, level: NameLevel) -> None:
        if isinstance(statement, s.Let):
            self._expression(statement.value, level)
            self._declare(level, statement.name)
        elif isinstance(statement, s.Apply):
            self._apply(statement, level)
        elif isinstance(statement, s.Use):
            self._use(statement, level)
        elif isinstance(statement, s.Shared):
            self._shared(statement, level)
        elif isinstance(statement, s.Repeat):
            self._expression(statement.times, level)
            with self._calls.optional():
                self._indexed(statement.body, (statement.counter,) if statement.counter is not None else (), level)
        elif isinstance(statement, s.ForEach):
            self._expression(statement.iterable, level)
            with self._calls.optional():
                self._indexed(statement.body, statement.targets, level, warn=False)
        elif isinstance(statement, s.If):
            self._expression(statement.branches[0][0], level)
            with self._calls.optional():
                for place, (condition, block) in enumerate(statement.branches):
                    if place > 0:
                        self._expression(condition, level)
                    self._block(block, level)
                if statement.otherwise is not None:
                    self._block(statement.otherwise, level)
        elif isinstance(statement, s.Split):
            self._split(statement, level)
        else:
            self._residual(statement, level)

    def _shared(self, statement: s.Shared, level: NameLevel) -> None:
        """Checks the declaration of a shared instance; its name is known to the end of the block."""
        before, self._declaring = self._declaring, statement.name.text
        self._apply(statement.call, level)
        self._declaring = before
        self._declare(level, statement.name)
        level.names[statement.name.text] = statement

    def _shared_elsewhere(self, name: str) -> str:
        """A hint for a template that applies a shared instance of the network; "" for any other name."""
        return ""

    def _shared_twice(self, entries: Sequence[s.Entry]) -> None:
        """Notes a name that a block gives to a shared instance and to a value."""
        instances = [entry for entry in entries if isinstance(entry, s.Shared)]
        values = {name.text: name for entry in entries if instances for name in names_given_by(entry)}
        for entry in instances:
            if entry.name.text in values:
                first, second = sorted((entry.name, values[entry.name.text]), key=lambda name: name.span.start)
                self._note(declared_twice(second, first.span))

    def _use(self, statement: s.Use, level: NameLevel) -> None:
        self._value(statement.value, level)

    def _value(self, value: s.Expression, level: NameLevel) -> None:
        """Checks an expression for a value of the network, or for a list of values."""
        if not isinstance(value, s.Name):
            before = len(self.diagnostics)
            self._expression(value, level)
            for place, diagnostic in enumerate(self.diagnostics[before:], before):
                if diagnostic.code == "E101" and not diagnostic.hint:
                    self.diagnostics[place] = diagnostic._replace(hint=NAME_BEFORE_USE)
            return
        try:
            level.find(value.text)
        except KeyError:
            if value.text in VALUE_NAMES:
                return
            hint = did_you_mean(value.text, level.all_names()) or NAME_BEFORE_USE
            self._note(Diagnostic("E101", f"no value is named `{value.text}` here", value.span, hint=hint))

    def _indexed(self, block: s.Block, names: tuple[s.Name, ...], level: NameLevel, warn: bool = True) -> None:
        inner = NameLevel(level)
        self._targets(inner, names)
        self._block(block, inner)
        if warn:
            self._unused(inner, "declared")

    def _split(self, statement: s.Split, level: NameLevel) -> None:
        if statement.times is not None:
            self._expression(statement.times, level)
        if statement.body is not None:
            self._indexed(statement.body, (statement.counter,) if statement.counter is not None else (), level)
        self._listed(statement.paths, level)
        if statement.merge.callee.text == s.LIST:
            for argument in statement.merge.arguments:
                self._expression(argument.value, level)
        else:
            self._apply(statement.merge, level)

    def _listed(self, paths: tuple[s.ListedPath, ...], level: NameLevel) -> None:
        for path in paths:
            if isinstance(path, s.Block):
                self._block(path, level)
            else:
                with self._calls.optional():
                    self._optional_paths(path, level)

    def _optional_paths(self, path: s.PathIf | s.PathRepeat | s.PathFor, level: NameLevel) -> None:
        """Paths in a loop or under a condition."""
        if isinstance(path, s.PathIf):
            for condition, branch in path.branches:
                self._expression(condition, level)
                self._listed(branch, level)
            self._listed(path.otherwise or (), level)
        else:
            inner = NameLevel(level)
            if isinstance(path, s.PathRepeat):
                self._expression(path.times, level)
                self._targets(inner, (path.counter,) if path.counter is not None else ())
            else:
                self._expression(path.iterable, level)
                self._targets(inner, path.targets)
            self._listed(path.paths, inner)
            if isinstance(path, s.PathRepeat):
                self._unused(inner, "declared")

    def _residual(self, statement: s.Residual, level: NameLevel) -> None:
        for argument in statement.arguments:
            self._expression(argument.value, level)
        self._block(statement.body, level)
        if statement.shortcut is not None:
            with self._calls.optional():  # `when` may be false
                self._block(statement.shortcut, level)

    def _apply(self, call: s.Apply, level: NameLevel) -> None:
        name = call.callee
        for argument in call.arguments:
            self._expression(argument.value, level)
        try:
            meaning = level.find(name.text)
        except KeyError:
            if name.text in BUILTINS:
                self._note(not_applied(name))
                return
            if name.text not in OPERATORS:
                if name.text == self._declaring:
                    self._note(in_own_declaration(name))
                    return
                known = set(level.all_names()) | set(OPERATORS)
                hint = self._shared_elsewhere(name.text) or did_you_mean(name.text, known)
                message = f"unknown operator or template `{name.text}`"
                self._note(Diagnostic("E101", message, name.span, hint=hint))
                return
            self._arguments(operator_signature(OPERATORS[name.text]), call.arguments, name.span, partial=True)
            return
        if isinstance(meaning, s.Shared) and call.arguments:
            self._note(no_arguments(name.text, call.arguments[0].span, meaning.name.span))
        if isinstance(meaning, s.Template):
            self._calls.add(meaning, name.span)
            self._arguments(template_signature(meaning), call.arguments, name.span)
        elif isinstance(meaning, s.Fn):
            self._note(not_applied(name))


def not_applied(name: s.Name) -> Diagnostic:
    """The diagnostic for a function in the place of an operator or template."""
    hint = f"a function gives a number or another value: `let n = {name.text}(...)`"
    message = f"`{name.text}` is a function, not an operator or template"
    return Diagnostic("E207", message, name.span, hint=hint)


def names_given_by(statement: s.Entry) -> tuple[s.Name, ...]:
    """The names that an entry of a network or a statement gives to its value."""
    aliases: tuple[s.Name, ...] = getattr(statement, "aliases", ())
    if not isinstance(statement, s.PartDeclaration | s.Input):
        return aliases
    return (statement.name, *(alias for alias in aliases if alias.text != statement.name.text))
