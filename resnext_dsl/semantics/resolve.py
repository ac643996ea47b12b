"""Checks the names of a spec without expanding it, also in unused templates and in branches that are not taken.

Finds unknown names, wrong arguments of callees that the text determines, templates and functions that always call
themselves, and declarations that are never used (warnings).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import TypeVar

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, EnoughError, Note, Span
from resnext_dsl.operators import OPERATORS
from resnext_dsl.semantics.name_level import NameLevel
from resnext_dsl.semantics.naming import aliases, inner_constants, shared_instances
from resnext_dsl.semantics.scope import declared_twice
from resnext_dsl.semantics.signature import bind, operator_signature
from resnext_dsl.semantics.spec_files import SpecFile
from resnext_dsl.semantics.statement_names import StatementNames, names_given_by
from resnext_dsl.syntax import nodes as s

Key = TypeVar("Key")


def resolve(module: SpecFile) -> list[Diagnostic]:
    """The mistakes in the names of a spec and of the libraries it imports, except for shipped libraries."""
    resolver = _Resolver()
    with contextlib.suppress(EnoughError):
        resolver.module(module, main=True)
        resolver.circles()
    return resolver.diagnostics


class _Resolver(StatementNames):
    """Checks files, definitions and networks."""

    def __init__(self) -> None:
        super().__init__()
        self._levels: dict[int, NameLevel] = {}
        self._entries: tuple[s.Entry, ...] = ()  # of the network that is being checked
        self._values: NameLevel | None = None
        self._bases: dict[int, object] = {}  # of derived networks, by identity

    def circles(self) -> None:
        """Notes definitions that always call themselves."""
        for circle in self._calls.circles():
            self._note(circle)

    def module(self, module: SpecFile, main: bool = False) -> NameLevel:
        """Checks a module and its imports once; returns its names."""
        if id(module) in self._levels:
            return self._levels[id(module)]
        level = self._levels[id(module)] = NameLevel(None)
        for item, imported in module.imports:
            self._take(item, self.module(imported), level)
        for declared in module.file.items:
            if not isinstance(declared, s.Import):
                level.declare(declared.name, None if isinstance(declared, s.Let) else declared)
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
                self._bases[id(item)] = level.names.get(item.base.text)
                self._derived(item, level)
        if main and network is not None:
            level.used.add(network.name.text)
            self._unused(level, "declared")

    # --- definitions ---

    def _template(self, template: s.Template, outer: NameLevel) -> None:
        before, inside = self._calls.enter(template), self._inside
        self._inside = True
        level = NameLevel(outer)
        for formal in template.parameters:
            if formal.default is not None:
                with self._calls.optional():
                    self._expression(formal.default, level)
            self._declare(level, formal.name)
        values = NameLevel(level, dict.fromkeys(aliases(template.body)))
        self._block(template.body, values)
        self._unused(level, f"a parameter of template `{template.name.text}`")
        self._calls.owner, self._inside = before, inside

    def _function(self, function: s.Fn, outer: NameLevel) -> None:
        before = self._calls.enter(function)
        level = NameLevel(outer)
        for name in function.parameters:
            self._declare(level, name)
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
        values = NameLevel(level, dict.fromkeys(names_of_values(network.entries)))
        self._named_twice(_names_of_values(network.entries))
        self._shared_twice(network.entries)
        self._settled_twice(network.entries)
        self._outputs_twice(network.entries)
        self._inside = True
        self._entries, self._values = network.entries, values
        for entry in network.entries:
            self._entry(entry, level, values)
        self._inside = False
        self._unused(values, "declared")
        self._entries, self._values = (), None
        searched = {entry.name.text for entry in network.entries if isinstance(entry, s.Param) and entry.domain}
        self._unused(level, "declared", searched)

    def _derived(self, network: s.Derived, outer: NameLevel) -> None:
        if network.base.text in outer.names:
            outer.used.add(network.base.text)
        places: dict[str, Span] = {}
        for argument in network.arguments:
            self._expression(argument.value, outer)
            if argument.name is not None:
                name, first = argument.name, places.setdefault(argument.name.text, argument.span)
                if first is not argument.span:
                    message = f"`{network.base.text}` has the argument `{name.text}` twice"
                    notes = (Note(f"`{name.text}` is first given here", first),)
                    self._note(Diagnostic("E203", message, name.span, notes=notes))
        self._settled_twice(network.entries)
        self._changes(network, outer)

    def _changes(self, network: s.Derived, outer: NameLevel) -> None:
        """Checks the entries that replace some of the base; they see the names of the base and those of their file."""
        declared: list[s.Entry] = list(network.entries)
        base, seen = outer.names.get(network.base.text), {id(network)}
        while isinstance(base, s.Derived) and id(base) not in seen:
            seen.add(id(base))
            declared += base.entries
            base = self._bases.get(id(base))
        if not isinstance(base, s.NetworkDeclaration):
            return  # binding reports it
        declared += base.entries
        level = NameLevel(outer)
        for entry in reversed(declared):
            if isinstance(entry, s.Template | s.Fn):
                level.names[entry.name.text] = entry
            elif isinstance(entry, s.Param | s.Let):
                level.names[entry.name.text] = None
        values = NameLevel(level, dict.fromkeys(names_of_values(declared)))
        values.names.update({entry.name.text: entry for entry in declared if isinstance(entry, s.Shared)})
        before, self._inside = self._inside, True
        for entry in network.entries:
            if isinstance(entry, s.Template | s.Fn | s.Let | s.Input | s.PartDeclaration | s.OutputDeclaration):
                self._entry(entry, level, values)
        self._inside = before

    def _settled_twice(self, entries: tuple[s.Entry, ...]) -> None:
        """Notes a second default for one argument of an operator, and a second rule for one target of `init`."""
        defaults: dict[tuple[str, str], Span] = {}
        rules: dict[str, Span] = {}
        for entry in entries:
            if isinstance(entry, s.Default) and entry.operator.text in OPERATORS:
                operator = entry.operator.text
                with contextlib.suppress(ArchError):  # binding reports it
                    named = bind(operator_signature(OPERATORS[operator]), entry.arguments, partial=True).named
                    for key, argument in named.items():
                        message = f"`{key}` of `{operator}` has a default already"
                        self._first((operator, key), argument.span, defaults, message)
            elif isinstance(entry, s.Init):
                for rule in entry.rules:
                    target = ".".join(word.text for word in (*rule.path, rule.operator, rule.field))
                    span = (*rule.path, rule.operator)[0].span.to(rule.field.span)
                    self._first(target, span, rules, f"`{target}` has a rule already")

    def _elsewhere(self, name: s.Name) -> Diagnostic | None:
        if self._values is None or self._calls.owner is not None:
            return None
        if isinstance(self._values.names.get(name.text), s.Shared):
            message = f"`{name.text}` is a shared instance, which parameters and constants of the network cannot read"
            hint = "apply it by a statement, or pass it to a template as an argument"
            return Diagnostic("E101", message, name.span, hint=hint)
        if name.text in self._values.names:
            message = (
                f"`{name.text}` is a value of the network, which parameters and constants of the network cannot read"
            )
            hint = "read it in statements: by a `let` inside a part, or as in `concat(NAME)` and `use NAME`"
            return Diagnostic("E101", message, name.span, hint=hint)
        for constant in inner_constants(self._entries):
            if constant.name.text == name.text:
                message = f"`{name.text}` is a constant of another block"
                notes = (Note(f"`{name.text}` is declared here, for its own block only", constant.name.span),)
                hint = "declare it in the network, outside of all blocks"
                return Diagnostic("E101", message, name.span, hint=hint, notes=notes)
        return None

    def _shared_elsewhere(self, name: str) -> str:
        if self._calls.owner is None or name not in shared_instances(self._entries):
            return ""
        return f"templates do not see the shared instances of a network; pass `{name}` to the template as an argument"

    def _outputs_twice(self, entries: tuple[s.Entry, ...]) -> None:
        """Notes an output with the name of a part or of another output; binding notes parts of one name."""
        places: dict[str, Span] = {}
        for entry in entries:
            if isinstance(entry, s.PartDeclaration | s.OutputDeclaration):
                name = entry.name.text
                if name in places and isinstance(entry, s.OutputDeclaration):
                    self._note(declared_twice(entry.name, places[name]))
                places.setdefault(name, entry.name.span)

    def _first(self, key: Key, span: Span, places: dict[Key, Span], message: str) -> None:
        """Notes an entry whose key has a place already, with that place."""
        if key in places:
            self._note(Diagnostic("E102", message, span, notes=(Note("the first one is here", places[key]),)))
        places.setdefault(key, span)

    def _entry(self, entry: s.Entry, level: NameLevel, values: NameLevel) -> None:
        if isinstance(entry, s.Template):
            self._template(entry, level)
        elif isinstance(entry, s.Fn):
            self._function(entry, level)
        elif isinstance(entry, s.Param):
            self._parameter(entry, level)
        elif isinstance(entry, s.Require):
            self._expression(entry.condition, level)
        elif isinstance(entry, s.Input):
            self._expression(entry.shape, level)
        elif isinstance(entry, s.Default | s.Init):
            for argument in _arguments_in(entry):
                self._expression(argument.value, level)
        elif isinstance(entry, s.Budget):
            self._budget(entry, level)
        elif isinstance(entry, s.PartDeclaration):
            self._part(entry, values)
        elif isinstance(entry, s.OutputDeclaration):
            if entry.value is not None:
                self._value(entry.value, values)
            if entry.body is not None:
                self._block(entry.body, values)
        elif isinstance(entry, s.Let):
            self._expression(entry.value, level)
        else:
            self._statement(entry, values)

    def _parameter(self, entry: s.Param, level: NameLevel) -> None:
        self._expression(entry.default, level)
        if entry.domain is not None:
            self._domain(entry.domain, level)
        if entry.condition is not None:
            self._expression(entry.condition, level)

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
        seen: dict[str, Span] = {}
        for item in domain.items:
            self._first(item.span.text, item.span, seen, f"`{item.span.text[:40]}` occurs twice in the domain")


def names_of_values(entries: Iterable[s.Entry]) -> list[str]:
    """The names of all values of a network, at any depth."""
    names: list[str] = []
    for entry in entries:
        if isinstance(entry, s.PartDeclaration):
            names += [entry.name.text, *aliases(entry.body)]
            names += [alias.text for alias in entry.aliases]
        elif isinstance(entry, s.Input):
            names.append(entry.name.text)
        elif isinstance(entry, s.OutputDeclaration):
            names += aliases(entry.body) if entry.body is not None else []
        elif isinstance(entry, s.Statement):
            names += aliases(s.Block(entry.span, (entry,)))
    return names


def _names_of_values(entries: tuple[s.Entry, ...]) -> list[s.Name]:
    """The names of values in a network's entries; binding notes parts and inputs that are declared twice."""
    names: list[s.Name] = []
    declared: set[str] = set()
    for entry in entries:
        if not isinstance(entry, s.PartDeclaration | s.Input):
            names += names_given_by(entry)
        elif entry.name.text not in declared:
            names += names_given_by(entry)
            declared.add(entry.name.text)
    return names


def _arguments_in(entry: s.Default | s.Init) -> tuple[s.CallArgument, ...]:
    """The arguments of a default, or of all rules of an `init` block."""
    if isinstance(entry, s.Default):
        return entry.arguments
    return tuple(argument for rule in entry.rules for argument in rule.arguments)
