"""Binds a network whose parameters are columns or choices: its names, requirements and budgets for every candidate.

The evaluator and the binder extend those of single networks in two ways. An error excludes the candidates that cause
it. A step with several paths gives one merged value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from resnext_dsl.budgets.limits import bind_limits
from resnext_dsl.columns.arithmetic import Column, merged
from resnext_dsl.columns.lanes import Choice, Lanes, NoClosedFormError
from resnext_dsl.foundation.diagnostics import ArchError, Span, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.semantics.bind import Binder
from resnext_dsl.semantics.bound_network import BoundNetwork
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.semantics.scope import Scopes
from resnext_dsl.semantics.spec_files import SpecFile
from resnext_dsl.semantics.values import Environment, List
from resnext_dsl.syntax import nodes as s


def bind(
    spec_file: SpecFile, overrides: Mapping[str, Any], evaluator: ColumnEvaluator
) -> tuple[BoundNetwork, tuple[tuple[Any, Any], ...]]:
    """Binds parameters, requirements and budgets, which may fail for some candidates.

    Args:
        spec_file: The spec file and its imports, as syntax trees.
        overrides: Columns, choices and plain values, by parameter.
        evaluator: The evaluator of the candidates.

    Returns:
        The network; and for each limit of its budgets the bound and the input shape, as in `ColumnResult.bounds`.

    Raises:
        DeadError: If no candidate is left.
        NoClosedFormError: If candidates must be priced one by one.
        ArchError: If no candidate can be valid.
    """
    bound = ColumnBinder(evaluator, Scopes(evaluator)).bind(spec_file, overrides)
    return bound, evaluator.parted(lambda: _limits(bound, evaluator))


def _limits(bound: BoundNetwork, evaluator: ColumnEvaluator) -> tuple[tuple[Any, Any], ...]:
    """The bounds and inputs of budgets. A bound with an error excludes candidates; no bound is checked here."""
    limits, wrong = bind_limits(bound, evaluator)
    if wrong:
        raise ArchError(wrong)
    return tuple((limit.bound, limit.conditions.input) for limit in limits)


class ColumnEvaluator(Interpreter):
    """Evaluates an expression once for each path that candidates take through it."""

    def __init__(self, options: Options, lanes: Lanes) -> None:
        super().__init__(options)
        self.lanes = lanes
        self._inside = False

    def evaluate(self, expression: s.Expression, env: Environment) -> Any:
        """The value of an expression on the current path; a `Choice` splits the path of the enclosing step."""
        value = self.bound(expression, env)
        return value.settle() if type(value) is Choice else value

    def bound(self, expression: s.Expression, env: Environment) -> Any:
        """The value of an expression, which may be a `Choice`."""
        if self._inside:
            return super().evaluate(expression, env)
        return self.parted(lambda: super(ColumnEvaluator, self).evaluate(expression, env))

    def parted(self, run: Callable[[], Any]) -> Any:
        """The merged result of a computation over all its paths, which may be a `Choice`."""
        self._inside = True
        depth = self.depth

        def fresh() -> Any:
            self.depth = depth
            return run()

        try:
            outcomes = self.lanes.explore(fresh)
        finally:
            self._inside, self.depth = False, depth
        return merged(self.lanes, outcomes)

    def find(self, name: s.Name, env: Environment) -> Any:
        """The value of a name on the current path."""
        value = super().find(name, env)
        return value.settle() if type(value) is Choice else value

    def step(self, span: Span, count: int = 1) -> None:
        """Counts steps. All candidates together may need more steps than the limit for one of them."""
        self.steps += count
        if self.steps > self.options.max_steps:
            raise NoClosedFormError("the candidates together need too many steps of computation")


class ColumnBinder(Binder):
    """Binds parameters to columns and choices."""

    def __init__(self, evaluator: ColumnEvaluator, scopes: Scopes) -> None:
        super().__init__(evaluator, scopes)
        self._parted = evaluator.parted

    def _found(self, problem: ArchError) -> None:
        raise problem

    def _wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        raise error(code, message, span, hint=hint)

    def _param(
        self,
        entry: s.Param,
        env: Environment,
        bound: BoundNetwork,
        arguments: dict[str, tuple[s.CallArgument, Environment]],
        overrides: Mapping[str, Any],
    ) -> None:
        def value() -> Any:
            super(ColumnBinder, self)._param(entry, env, bound, arguments, overrides)
            return env.names[entry.name.text]

        env.names[entry.name.text] = self._parted(value)

    def _when(self, condition: s.Expression, env: Environment) -> Any:
        return self._parted(lambda: super(ColumnBinder, self)._when(condition, env))

    def _override(self, name: str, value: Any, kind: str, env: Environment) -> tuple[Any, Span]:
        if type(value) is Column:
            return value, override_source(name, value)
        if isinstance(value, list) and any(type(item) in (Choice, Column) for item in value):
            items = [item if type(item) is Column else self._override(name, item, "", env)[0] for item in value]
            return tuple(items) if kind == "shape" else List(items), override_source(name, "[...]")
        return super()._override(name, value.settle() if type(value) is Choice else value, kind, env)

    def _input(self, entry: s.Input, env: Environment, bound: BoundNetwork) -> None:
        def shape() -> Any:
            bound.input_name = None  # each path declares it for the first time
            super(ColumnBinder, self)._input(entry, env, bound)
            return bound.input_shape

        bound.input_shape = self._parted(shape)
        if type(bound.input_shape) is Choice:
            raise NoClosedFormError("the input is a feature map for some candidates and features for others")

    def _require(self, entry: s.Require, env: Environment) -> None:
        self._parted(lambda: self._met(entry, env))

    def _met(self, entry: s.Require, env: Environment) -> None:
        if not self.evaluator.truth(entry.condition, env):
            raise error("E602", "a requirement is not met", entry.condition.span)

    def _init(self, entry: s.Init, env: Environment, bound: BoundNetwork) -> None:
        self._parted(lambda: super(ColumnBinder, self)._init(entry, env, bound))
