"""The names that a file declares, its imports included, bound to their definitions."""

from __future__ import annotations

from resnext_dsl.foundation.diagnostics import MOST, ArchError, Diagnostic, EnoughError, Note, Span, did_you_mean
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.spec_files import SpecFile
from resnext_dsl.semantics.values import UNKNOWN, Environment, FunctionValue, TemplateValue, UnsettledError
from resnext_dsl.syntax import nodes as s


class NetworkValue:
    """The value of a network's name: the network with the names around it."""

    __slots__ = ("environment", "network")

    def __init__(self, network: s.NetworkDeclaration | s.Derived, environment: Environment) -> None:
        self.network = network
        self.environment = environment


class Scopes:
    """The environments of modules, one for each module.

    Attributes:
        diagnostics: Names declared twice, unknown names in imports, constants that cannot be computed.
    """

    def __init__(self, evaluator: Interpreter) -> None:
        self.evaluator = evaluator
        self.diagnostics: list[Diagnostic] = []
        self._environments: dict[int, Environment] = {}

    def of(self, module: SpecFile) -> Environment:
        """The environment of a module."""
        env = self._environments.get(id(module))
        if env is None:
            env = self._environments[id(module)] = Environment()
            places: dict[str, Span] = {}
            for item, imported in module.imports:
                self._take(item, imported, env, places)
            self._declare(module, env, places)
        return env

    def _take(self, item: s.Import, imported: SpecFile, env: Environment, places: dict[str, Span]) -> None:
        theirs = self.of(imported).names
        if item.names is None:
            env.names.update(theirs)
            places.update(dict.fromkeys(theirs, item.span))
            return
        for name, alias in item.names:
            if name.text not in theirs:
                hint = did_you_mean(name.text, theirs)
                message = f"`{item.path or item.library}` declares no `{name.text}`"
                self._note(Diagnostic("E101", message, name.span, hint=hint))
                env.names[alias.text] = UNKNOWN
            else:
                self._fresh(alias, places)
                env.names[alias.text] = theirs[name.text]

    def _declare(self, module: SpecFile, env: Environment, places: dict[str, Span]) -> None:
        for item in module.file.items:
            if isinstance(item, s.Import):
                continue
            self._fresh(item.name, places)
            if isinstance(item, s.Template):
                env.names[item.name.text] = TemplateValue(item, env)
            elif isinstance(item, s.Fn):
                env.names[item.name.text] = FunctionValue(item, env)
            elif isinstance(item, s.NetworkDeclaration | s.Derived):
                env.names[item.name.text] = NetworkValue(item, env)
            else:
                self.constant(item, env)

    def constant(self, item: s.Let, env: Environment, seen: Environment | None = None) -> None:
        """Binds a `let`; if its value cannot be computed, the error is noted and the value is unknown.

        Args:
            item: The constant.
            env: The names that it belongs to.
            seen: The names that its value sees; None for `env`.
        """
        try:
            env.names[item.name.text] = self.evaluator.bound(item.value, seen or env)
        except ArchError as problem:
            self._note(*problem.diagnostics)
            env.names[item.name.text] = UNKNOWN
        except UnsettledError:
            env.names[item.name.text] = UNKNOWN

    def _note(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics += diagnostics
        if len(self.diagnostics) >= MOST:
            raise EnoughError

    def _fresh(self, name: s.Name, places: dict[str, Span]) -> None:
        if name.text in places:
            self._note(declared_twice(name, places[name.text]))
        places[name.text] = name.span


def declared_twice(name: s.Name, first: Span) -> Diagnostic:
    """The diagnostic for a second declaration of a name."""
    note = Note(f"`{name.text}` is first declared here", first)
    return Diagnostic("E102", f"`{name.text}` is declared twice", name.span, notes=(note,))
