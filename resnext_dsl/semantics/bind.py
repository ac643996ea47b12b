"""Gives every parameter of a network its value: defaults, the values of derived networks, overrides.

What comes out is a network without open choices; its statements have not been looked at yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any

from resnext_dsl.foundation.diagnostics import (
    MOST,
    ArchError,
    Diagnostic,
    EnoughError,
    RequirementError,
    Span,
    did_you_mean,
    error,
)
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Shape, is_int
from resnext_dsl.semantics.domain import Domain, domain_of, typed
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.init_schemes import check_arguments
from resnext_dsl.semantics.init_targets import InitRule, check_words
from resnext_dsl.semantics.naming import top_names
from resnext_dsl.semantics.overrides import from_python, override_source, value_of
from resnext_dsl.semantics.scope import NetworkValue, Scopes, declared_twice
from resnext_dsl.semantics.signature import bind as bind_arguments
from resnext_dsl.semantics.signature import operator_signature
from resnext_dsl.semantics.spec_files import SpecFile
from resnext_dsl.semantics.values import (
    TYPES,
    UNKNOWN,
    Environment,
    FunctionValue,
    OperatorValue,
    Placed,
    TemplateValue,
    UnsettledError,
    fits_type,
    show,
    type_name,
)
from resnext_dsl.syntax import nodes as s


class Parameter(NamedTuple):
    """A parameter of a network with the value it has here.

    Attributes:
        domain: What a search may pick for it.
        active: Whether it is there to be picked: the truth of its `when`.
        condition: Its `when`.
    """

    name: str
    value: Any
    domain: Domain | None
    doc: str
    span: Span
    active: Any = True
    condition: s.Expression | None = None


class BoundNetwork:
    """A network with every parameter bound.

    Attributes:
        entries: Parts, outputs, statements and constants of the body, in the order of the text.
        defaults: Operator -> argument -> new default, with its place.
        budgets: Those that the network itself states; those of its bases are not its own.
        budget_names: The names that its budgets see.
        declared: Everything that it, or its base, is made of.
    """

    def __init__(self, name: str, span: Span, environment: Environment, doc: str = "") -> None:
        self.name = name
        self.span = span
        self.environment = environment
        self.doc = doc
        self.entries: tuple[s.Entry, ...] = ()
        self.input_name: s.Name | None = None
        self.input_shape: Shape | None = None
        self.parameters: dict[str, Parameter] = {}
        self.defaults: dict[str, dict[str, Placed]] = {}
        self.init: tuple[InitRule, ...] = ()
        self.budgets: tuple[s.Budget, ...] = ()
        self.budget_names = environment
        self.declared: tuple[s.Entry, ...] = ()

    def with_input(self, shape: Shape) -> BoundNetwork:
        """The same network with an input of another shape."""
        other = copy(self)
        other.input_shape = shape
        return other


class Binder:
    """Binds one network.

    Attributes:
        diagnostics: Every mistake met; binding goes on with what is left.
        unmet: The requirements that do not hold.
    """

    def __init__(self, evaluator: Interpreter, scopes: Scopes) -> None:
        self.evaluator = evaluator
        self.scopes = scopes
        self.diagnostics: list[Diagnostic] = []
        self.unmet: list[Diagnostic] = []
        self._tops: frozenset[str] | None = None  # found once: a text may have many `init` blocks

    def bind(self, module: SpecFile, overrides: Mapping[str, Any]) -> BoundNetwork:
        """The network of a file.

        Raises:
            ArchError: Where the file has not exactly one network, its base is none, or it has too many mistakes.
        """
        try:
            return self._bind(module, overrides)
        except EnoughError:
            raise ArchError(self.diagnostics) from None

    def _bind(self, module: SpecFile, overrides: Mapping[str, Any]) -> BoundNetwork:
        declared = the_network(module)
        chain = self._chain(NetworkValue(declared, self.scopes.of(module)))
        base = chain[-1]
        assert isinstance(base.network, s.NetworkDeclaration)
        env = Environment(base.environment)
        given = self._given(chain[:-1])
        doc = declared.doc or base.network.doc
        bound = BoundNetwork(declared.name.text, declared.name.span, env, doc)
        self._declare(base.network, env, bound, given, overrides)
        for level in reversed(chain):
            own = base.network.entries if level is base else level.network.entries
            self._settings(own, env if level is base else level_environment(env, level), bound)
        bound.budgets = tuple(entry for entry in declared.entries if isinstance(entry, s.Budget))
        bound.budget_names = env if declared is base.network else level_environment(env, chain[0])
        return bound

    def _chain(self, first: NetworkValue) -> list[NetworkValue]:
        """The network and its bases, the last of which is a network in full."""
        chain = [first]
        while isinstance(chain[-1].network, s.Derived):
            derived, env = chain[-1].network, chain[-1].environment
            value = self._base(derived, env)
            if any(value.network is level.network for level in chain):
                raise error("E104", f"network `{derived.name.text}` is derived from itself", derived.base.span)
            if len(chain) >= self.evaluator.options.max_calls:
                raise error("E403", "networks are derived in too long a chain", derived.base.span)
            chain.append(value)
        return chain

    def _base(self, derived: s.Derived, env: Environment) -> NetworkValue:
        try:
            value = env.find(derived.base.text)
        except KeyError:
            known = [name for name in env.all_names() if isinstance(env.find(name), NetworkValue)]
            hint = did_you_mean(derived.base.text, known) or 'import it: `from "FILE.arch" import NAME`'
            raise error("E101", f"unknown network `{derived.base.text}`", derived.base.span, hint=hint) from None
        if value is UNKNOWN:
            raise ArchError(self.scopes.diagnostics)
        if not isinstance(value, NetworkValue):
            raise error("E204", f"`{derived.base.text}` is not a network", derived.base.span)
        return value

    def _given(self, chain: list[NetworkValue]) -> dict[str, tuple[s.CallArgument, Environment]]:
        """Parameter values that derived networks give; the outermost wins."""
        given: dict[str, tuple[s.CallArgument, Environment]] = {}
        for level in reversed(chain):
            assert isinstance(level.network, s.Derived)
            for argument in level.network.arguments:
                if argument.name is None:
                    self._wrong("E203", "a network takes named values: `depths=[3, 4, 6, 3]`", argument.span)
                else:
                    given[argument.name.text] = argument, level.environment
        return given

    def _declare(
        self,
        network: s.NetworkDeclaration,
        env: Environment,
        bound: BoundNetwork,
        given: dict[str, tuple[s.CallArgument, Environment]],
        overrides: Mapping[str, Any],
    ) -> None:
        """Binds the names of a network in the order of the text; templates and functions are there from the start."""
        places: dict[str, Span] = {}
        body: list[s.Entry] = []
        for entry in network.entries:
            if isinstance(entry, s.Template):
                env.names[entry.name.text] = TemplateValue(entry, env)
            elif isinstance(entry, s.Fn):
                env.names[entry.name.text] = FunctionValue(entry, env)
        self._known(network, given, overrides)
        for entry in network.entries:
            if isinstance(entry, s.Param | s.Let | s.Template | s.Fn | s.Input | s.PartDeclaration):
                if entry.name.text in places:
                    self._note(declared_twice(entry.name, places[entry.name.text]))
                places[entry.name.text] = entry.name.span
            if isinstance(entry, s.Param):
                active = entry.condition is None or self._when(entry.condition, env)
                self._param(entry, env, bound, given, overrides)
                if entry.condition is not None and entry.name.text in bound.parameters:
                    made = bound.parameters[entry.name.text]
                    bound.parameters[entry.name.text] = made._replace(active=active, condition=entry.condition)
            elif isinstance(entry, s.Let):
                self.scopes.constant(entry, env)
            elif isinstance(entry, s.PartDeclaration | s.OutputDeclaration | s.Statement):
                body.append(entry)
        for entry in network.entries:
            if isinstance(entry, s.Input):
                self._input(entry, env, bound)
        bound.entries = tuple(body)
        bound.declared = network.entries

    def _known(
        self,
        network: s.NetworkDeclaration,
        given: dict[str, tuple[s.CallArgument, Environment]],
        overrides: Mapping[str, Any],
    ) -> None:
        """Notes values for parameters that the network does not have."""
        known = [entry.name.text for entry in network.entries if isinstance(entry, s.Param)]
        listed = f"parameters: {', '.join(known)}" if known else "it has no parameters"
        for name, (argument, _) in given.items():
            if name not in known:
                hint = did_you_mean(name, known) or listed
                span = argument.name.span if argument.name else argument.span
                self._wrong("E201", f"network `{network.name.text}` has no parameter `{name}`", span, hint)
        for name, value in overrides.items():
            if name not in known:
                hint = did_you_mean(name, known) or listed
                span = override_source(name, value)
                self._wrong("E201", f"network `{network.name.text}` has no parameter `{name}`", span, hint)

    def _param(
        self,
        entry: s.Param,
        env: Environment,
        bound: BoundNetwork,
        given: dict[str, tuple[s.CallArgument, Environment]],
        overrides: Mapping[str, Any],
    ) -> None:
        name = entry.name.text
        env.names[name] = UNKNOWN
        try:
            default = None
            overridden = name in overrides or name in given
            default = self.evaluator.bound(entry.default, env)
            kind = self._type(entry, default)
            domain = self._domain(entry, env, kind, default)
            if domain is not None and not overridden and default not in domain:
                found = f"the default of `{name}` (={show(default)}) is not in its domain {domain}"
                raise error("E205", found, entry.default.span)
            value, span = default, entry.default.span
            if name in overrides:
                value, span = self._override(name, overrides[name], kind, env)
            elif name in given:
                argument, outer = given[name]
                value, span = self.evaluator.bound(argument.value, outer), argument.value.span
            if not self._fits(value, kind):
                found = f"`{name}` must be {_article(kind)}; found {show(value)}"
                raise error("E204", found, span)
            value = value + 0.0 if kind == "float" else value
            env.names[name] = value
            bound.parameters[name] = Parameter(name, value, domain, entry.doc, entry.span)
        except ArchError as problem:
            self._found(problem)
        except UnsettledError:
            pass

    def _when(self, condition: s.Expression, env: Environment) -> Any:
        """Whether a parameter is there to be picked, given the values of those above it."""
        try:
            return self.evaluator.truth(condition, env)
        except ArchError as problem:
            self._found(problem)
        except UnsettledError:
            pass
        return True

    def _type(self, entry: s.Param, default: Any) -> str:
        if entry.type is None:
            return type_name(default)
        kind = entry.type.text
        if kind not in TYPES:
            hint = did_you_mean(kind, TYPES) or f"types: {', '.join(TYPES)}"
            raise error("E101", f"unknown type `{kind}`", entry.type.span, hint=hint)
        if not fits_type(default, kind):
            found = f"`{entry.name.text}` must be {_article(kind)}; found {show(default)}"
            raise error("E204", found, entry.default.span)
        return kind

    def _fits(self, value: Any, kind: str) -> bool:
        return fits_type(value, kind)

    def _domain(self, entry: s.Param, env: Environment, kind: str, default: Any) -> Domain | None:
        if entry.domain is None:
            return None
        return typed(domain_of(entry.domain, self.evaluator, env), entry.domain, kind, default)

    def _override(self, name: str, value: Any, kind: str, env: Environment) -> tuple[Any, Span]:
        """An override as a value of the language: text is read as an expression, unless a string is wanted."""
        if isinstance(value, OperatorValue | TemplateValue):
            value = show(value)  # of another binding of the network, whose names have other values there
        span = override_source(name, value)
        if not isinstance(value, str):
            converted = from_python(value, kind)
            if converted is None:
                raise error("E204", f"`{name}` must be {_article(kind)}; found {value!r}"[:200], span)
            return converted, span
        try:
            return value_of(span, self.evaluator, env), span
        except ArchError:
            if kind == "string":
                return value, span
            raise

    def _input(self, entry: s.Input, env: Environment, bound: BoundNetwork) -> None:
        if bound.input_name is not None:
            self._wrong("E102", "a network has one input", entry.name.span)
            return
        bound.input_name = entry.name
        try:
            bound.input_shape = input_shape(self.evaluator.evaluate(entry.shape, env), entry.shape.span)
        except ArchError as problem:
            self._found(problem)
        except UnsettledError:
            pass

    def _settings(self, entries: tuple[s.Entry, ...], env: Environment, bound: BoundNetwork) -> None:
        """Requirements, operator defaults and initialisation of one level."""
        for entry in entries:
            try:
                if isinstance(entry, s.Require):
                    self._require(entry, env)
                elif isinstance(entry, s.Default):
                    self._default(entry, env, bound)
                elif isinstance(entry, s.Init):
                    self._init(entry, env, bound)
            except ArchError as problem:
                self._found(problem)
            except UnsettledError:
                pass

    def _require(self, entry: s.Require, env: Environment) -> None:
        if not self.evaluator.truth(entry.condition, env):
            reason = f": {entry.reason}" if entry.reason else ""
            self.unmet.append(Diagnostic("E602", f"a requirement is not met{reason}", entry.condition.span))

    def _default(self, entry: s.Default, env: Environment, bound: BoundNetwork) -> None:
        name = entry.operator.text
        if name not in OPERATORS:
            hint = did_you_mean(name, OPERATORS)
            raise error("E101", f"unknown operator `{name}`", entry.operator.span, hint=hint)
        named = bind_arguments(operator_signature(OPERATORS[name]), entry.arguments, partial=True).named
        settled = bound.defaults.setdefault(name, {})
        for key, argument in named.items():
            settled[key] = Placed(self.evaluator.bound(argument.value, env), argument.value.span)

    def _init(self, entry: s.Init, env: Environment, bound: BoundNetwork) -> None:
        if self._tops is None:
            self._tops = top_names(bound.span, bound.entries)
        for rule in entry.rules:
            try:
                check_words(rule, self._tops)
                bound.init += (self._init_rule(rule, env),)
            except ArchError as problem:
                self._found(problem)
            except UnsettledError:
                pass

    def _init_rule(self, rule: s.InitDeclaration, env: Environment) -> InitRule:
        arguments = []
        for argument in rule.arguments:
            name = argument.name.text if argument.name is not None else ""
            arguments.append((name, self.evaluator.evaluate(argument.value, env), argument.span))
        path = ".".join(word.text for word in rule.path)
        settled = check_arguments(rule, arguments)
        return InitRule(rule.operator.text, rule.field.text, rule.scheme.text, settled, path, rule)

    def _found(self, problem: ArchError) -> None:
        """Notes a mistake; binding goes on with what is left."""
        self._note(*problem.diagnostics)

    def _wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self._note(Diagnostic(code, message, span, hint=hint))

    def _note(self, *found: Diagnostic) -> None:
        self.diagnostics += found
        if len(self.diagnostics) >= MOST:
            raise EnoughError


def input_shape(value: Any, span: Span) -> Shape:
    """A value as the shape of an input.

    Raises:
        ArchError: Where it is none.
    """
    shape = (value,) if is_int(value) else value
    if type(shape) is not tuple:
        raise error("E204", f"an input needs a shape like 3x224x224; found {show(shape)}", span)
    if len(shape) not in (1, 3):
        found = f"an input is channels x height x width, or a number of features; found {show(shape)}"
        raise error("E205", found, span)
    if min(shape) < 1:
        raise error("E205", f"every size must be at least 1; found {show(shape)}", span)
    return shape


def level_environment(env: Environment, level: NetworkValue) -> Environment:
    """The names that a derived network's own entries see: the parameters, and its file's."""
    return Environment(Environment(level.environment, dict(env.names)))


def the_network(module: SpecFile) -> s.NetworkDeclaration | s.Derived:
    """The one network of a file.

    Raises:
        ArchError: E504 where there is none, or more than one.
    """
    networks = [item for item in module.file.items if isinstance(item, s.NetworkDeclaration | s.Derived)]
    if not networks:
        hint = "declare one: `network NAME { ... }`"
        raise ArchError([Diagnostic("E504", "the file holds no network", hint=hint, file=module.name)])
    if len(networks) > 1:
        hint = "put each network into a file of its own"
        message = f"the file holds {len(networks)} networks"
        raise error("E504", message, networks[1].name.span, hint=hint)
    return networks[0]


def unmet_requirements(binder: Binder) -> RequirementError | None:
    """The error for requirements that do not hold, or None."""
    return RequirementError(binder.unmet) if binder.unmet else None


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeio" else f"a {kind}"
