"""Gives every parameter of a network its value: its default, the value of a derived network, or an override.

The result has no open choices. Binding does not look at the statements of the network.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.bound_network import BoundNetwork, Parameter, input_shape
from resnext_dsl.semantics.derivation import (
    DerivedValues,
    bases_of,
    changed_entries,
    derived_values,
    level_environment,
    unnamed_values,
)
from resnext_dsl.semantics.domain import Domain, domain_of, typed
from resnext_dsl.semantics.evaluate import Interpreter, as_word
from resnext_dsl.semantics.init_schemes import check_arguments
from resnext_dsl.semantics.init_targets import InitRule, check_words
from resnext_dsl.semantics.naming import top_names
from resnext_dsl.semantics.overrides import element_of, override_source, overriding_value, with_elements
from resnext_dsl.semantics.scope import NetworkValue, Scopes, declared_twice
from resnext_dsl.semantics.signature import bind as bind_arguments
from resnext_dsl.semantics.signature import operator_signature
from resnext_dsl.semantics.spec_files import SpecFile, the_network
from resnext_dsl.semantics.values import (
    PENDING,
    TYPES,
    UNKNOWN,
    Environment,
    FunctionValue,
    Placed,
    TemplateValue,
    UnsettledError,
    fits_type,
    show,
    size_of,
    type_name,
    with_article,
)
from resnext_dsl.syntax import nodes as s


class Binder:
    """Binds one network.

    Attributes:
        diagnostics: The mistakes of the network; binding goes on after each of them.
        unmet: The requirements that do not hold.
    """

    def __init__(self, evaluator: Interpreter, scopes: Scopes) -> None:
        self.evaluator = evaluator
        self.scopes = scopes
        self.diagnostics: list[Diagnostic] = []
        self.unmet: list[Diagnostic] = []
        self._tops: frozenset[str] | None = None  # computed once: a text may have many `init` blocks

    def bind(self, module: SpecFile, overrides: Mapping[str, Any]) -> BoundNetwork:
        """The network of a file.

        Raises:
            ArchError: If the file has not exactly one network, if its base is no network, or if it has too many
                mistakes.
        """
        try:
            return self._bind(module, overrides)
        except EnoughError:
            raise ArchError(self.diagnostics) from None

    def _bind(self, module: SpecFile, overrides: Mapping[str, Any]) -> BoundNetwork:
        declared = the_network(module)
        chain = bases_of(NetworkValue(declared, self.scopes.of(module)), self.scopes)
        base = chain[-1]
        assert isinstance(base.network, s.NetworkDeclaration)
        for argument in unnamed_values(chain[:-1]):
            self._wrong(
                "E203", "values for the parameters of a network need names: `depths=[3, 4, 6, 3]`", argument.span
            )
        changed, wrong = changed_entries(chain[:-1], base.network)
        self._note(*wrong)
        network = base.network._replace(entries=changed.entries)
        env = Environment(base.environment)
        bound = BoundNetwork(declared.name.text, declared.name.span, env, declared.doc or base.network.doc)
        bound.environments = {place: level_environment(env, level) for place, level in changed.owners.items()}
        self._declare(network, env, bound, derived_values(chain[:-1]), overrides)
        for level in reversed(chain):
            self._settings(level.network.entries, env if level is base else level_environment(env, level), bound)
        bound.budgets = tuple(entry for entry in declared.entries if isinstance(entry, s.Budget))
        bound.budget_names = env if declared is base.network else level_environment(env, chain[0])
        return bound

    # --- declarations ---

    def _declare(
        self,
        network: s.NetworkDeclaration,
        env: Environment,
        bound: BoundNetwork,
        derived: DerivedValues,
        overrides: Mapping[str, Any],
    ) -> None:
        """Binds the names of a network in the order of the text; templates and functions exist from the start."""
        for entry in network.entries:
            if isinstance(entry, s.Template):
                env.names[entry.name.text] = TemplateValue(entry, bound.names_of(entry, env))
            elif isinstance(entry, s.Fn):
                env.names[entry.name.text] = FunctionValue(entry, bound.names_of(entry, env))
        self._unknown_parameters(network, derived, overrides)
        places: dict[str, Span] = {}
        for entry in network.entries:
            self._once(entry, places)
            if isinstance(entry, s.Param):
                self._parameter(entry, env, bound, derived, overrides)
            elif isinstance(entry, s.Let):
                self.scopes.constant(entry, env, bound.names_of(entry, env))
        for entry in network.entries:
            if isinstance(entry, s.Input):
                self._input(entry, bound.names_of(entry, env), bound)
        bound.entries = tuple(entry for entry in network.entries if _in_body(entry))
        bound.declared = network.entries

    def _once(self, entry: s.Entry, places: dict[str, Span]) -> None:
        """Notes a name that is declared for the second time."""
        if isinstance(entry, s.Param | s.Let | s.Template | s.Fn | s.Input | s.PartDeclaration):
            if entry.name.text in places:
                self._note(declared_twice(entry.name, places[entry.name.text]))
            places[entry.name.text] = entry.name.span

    def _unknown_parameters(
        self, network: s.NetworkDeclaration, derived: DerivedValues, overrides: Mapping[str, Any]
    ) -> None:
        """Notes values for parameters that the network does not have."""
        known = [entry.name.text for entry in network.entries if isinstance(entry, s.Param)]
        spans: list[tuple[str, Span]] = []
        for name, (argument, _) in derived.items():
            assert argument.name is not None, "`derived_values` has named ones only"
            spans.append((name, argument.name.span))
        for key, value in overrides.items():
            name = (element_of(key) or (key, 0))[0]
            if name not in known:
                spans.append((name, override_source(key, value)))
        listed = f"parameters: {', '.join(known)}" if known else "it has no parameters"
        for name, span in spans:
            if name not in known:
                hint = did_you_mean(name, known) or listed
                self._wrong("E201", f"network `{network.name.text}` has no parameter `{name}`", span, hint)

    # --- parameters ---

    def _parameter(
        self,
        entry: s.Param,
        env: Environment,
        bound: BoundNetwork,
        derived: DerivedValues,
        overrides: Mapping[str, Any],
    ) -> None:
        """Binds a parameter with the truth of its `when`, which sees the parameters above it."""
        active = entry.condition is None or self._when(entry.condition, env)
        self._param(entry, env, bound, derived, overrides)
        parameter = bound.parameters.get(entry.name.text)
        if entry.condition is not None and parameter is not None:
            bound.parameters[parameter.name] = parameter._replace(active=active, condition=entry.condition)

    def _param(
        self,
        entry: s.Param,
        env: Environment,
        bound: BoundNetwork,
        derived: DerivedValues,
        overrides: Mapping[str, Any],
    ) -> None:
        name = entry.name.text
        env.names[name] = PENDING
        try:
            default = self.evaluator.bound(entry.default, env)
            choices = domain_of(entry.domain, self.evaluator, env) if entry.domain is not None else None
            if entry.type is None and choices is not None and any(isinstance(value, str) for value in choices.values):
                default = as_word(default)
            kind = _type(entry, default)
            domain = (
                typed(choices, entry.domain, kind, default)
                if choices is not None and entry.domain is not None
                else None
            )
            if name in overrides:
                value, span = self._override(name, overrides[name], kind, env)
            elif name in derived:
                argument, outer = derived[name]
                value, span = self.evaluator.bound(argument.value, outer), argument.value.span
            else:
                value, span = default, entry.default.span
                if domain is not None:
                    self.evaluator.step(entry.default.span, size_of(default) * (1 + len(domain.values)))
                _check_default(entry, default, domain)
            value = as_word(value) if kind == "string" else value
            if any(element_of(key) for key in overrides):
                value = with_elements(name, value, overrides, self.evaluator, env)
            if kind == "shape" and is_int(value) and len(default) == 2:
                value = (value, value)
            if not fits_type(value, kind):
                raise error("E204", f"`{name}` must be {with_article(kind)}; found {show(value)}", span)
            value = value + 0.0 if kind == "float" else value
            env.names[name] = value
            bound.parameters[name] = Parameter(name, value, domain, entry.doc, entry.span)
        except ArchError as problem:
            env.names[name] = UNKNOWN
            self._found(problem)
        except UnsettledError:
            env.names[name] = UNKNOWN

    def _when(self, condition: s.Expression, env: Environment) -> Any:
        """The truth of a parameter's condition, for the values of the parameters above it."""
        try:
            return self.evaluator.truth(condition, env)
        except ArchError as problem:
            self._found(problem)
        except UnsettledError:
            pass
        return True

    def _override(self, name: str, value: Any, kind: str, env: Environment) -> tuple[Any, Span]:
        return overriding_value(name, value, kind, self.evaluator, env)

    def _input(self, entry: s.Input, env: Environment, bound: BoundNetwork) -> None:
        if bound.input_name is not None:
            self._wrong("E102", "a network can have only one input", entry.name.span)
            return
        bound.input_name = entry.name
        try:
            bound.input_shape = input_shape(self.evaluator.walked(entry.shape, env), entry.shape.span)
        except ArchError as problem:
            self._found(problem)
        except UnsettledError:
            pass

    # --- settings ---

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
            value = self.evaluator.bound(argument.value, env)
            self.evaluator.walk(value, argument.value.span)
            settled[key] = Placed(value, argument.value.span)

    def _init(self, entry: s.Init, env: Environment, bound: BoundNetwork) -> None:
        if self._tops is None:
            self._tops = top_names(bound.span, bound.entries, bound.input_name)
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
            arguments.append((name, self.evaluator.walked(argument.value, env), argument.span))
        path = ".".join(word.text for word in rule.path)
        settled = check_arguments(rule, arguments)
        return InitRule(rule.operator.text, rule.field.text, rule.scheme.text, settled, path, rule)

    def _found(self, problem: ArchError) -> None:
        """Notes a mistake; binding goes on with what is left."""
        self._note(*problem.diagnostics)

    def _wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        self._note(Diagnostic(code, message, span, hint=hint))

    def _note(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics += diagnostics
        if len(self.diagnostics) >= MOST:
            raise EnoughError


def _in_body(entry: s.Entry) -> bool:
    """Whether an entry computes a value of the network; its constants are bound with its parameters."""
    return isinstance(entry, s.PartDeclaration | s.OutputDeclaration | s.Statement) and not isinstance(entry, s.Let)


def _type(entry: s.Param, default: Any) -> str:
    """The declared type of a parameter, or else the type of its default."""
    if entry.type is None:
        return type_name(default)
    kind = entry.type.text
    if kind not in TYPES:
        hint = did_you_mean(kind, TYPES) or f"types: {', '.join(TYPES)}"
        raise error("E101", f"unknown type `{kind}`", entry.type.span, hint=hint)
    if not fits_type(default, kind):
        message = f"`{entry.name.text}` must be {with_article(kind)}; found {show(default)}"
        raise error("E204", message, entry.default.span)
    return kind


def _check_default(entry: s.Param, default: Any, domain: Domain | None) -> None:
    if domain is not None and default not in domain:
        message = f"the default of `{entry.name.text}` (={show(default)}) is not in its domain {domain}"
        raise error("E205", message, entry.default.span)


def unmet_requirements(binder: Binder) -> RequirementError | None:
    """The error for requirements that do not hold, or None."""
    return RequirementError(binder.unmet) if binder.unmet else None
