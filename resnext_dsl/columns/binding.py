"""Binds a network whose parameters are columns or choices: its names, requirements and budgets for every candidate.

The evaluator and the binder are those of single networks. What differs is what a mistake does (it takes the candidates
that make it out) and what a step with several ways gives: one value for all of them.
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
    module: SpecFile, overrides: Mapping[str, Any], evaluator: ColumnEvaluator
) -> tuple[BoundNetwork, tuple[tuple[Any, Any], ...]]:
    """Binds parameters, and whatever else may fail for some candidates before there are operators.

    Returns:
        The network, and of each limit of its budgets what is allowed and the input it holds for, as `Result.bounds`.

    Raises:
        DeadError: Where no candidate is left.
        NoClosedFormError: Where candidates have to be taken one by one.
        ArchError: Where none can be right.
    """
    bound = ColumnBinder(evaluator, Scopes(evaluator)).bind(module, overrides)
    return bound, evaluator.parted(lambda: _limits(bound, evaluator))


def _limits(bound: BoundNetwork, evaluator: ColumnEvaluator) -> tuple[tuple[Any, Any], ...]:
    """What budgets allow is not held here, but a bound that cannot be computed is a mistake of the candidate."""
    limits, wrong = bind_limits(bound, evaluator)
    if wrong:
        raise ArchError(wrong)
    return tuple((limit.bound, limit.conditions.input) for limit in limits)


class ColumnEvaluator(Interpreter):
    """Evaluates an expression for every way through it."""

    def __init__(self, options: Options, lanes: Lanes) -> None:
        super().__init__(options)
        self.lanes = lanes
        self._inside = False

    def evaluate(self, expression: s.Expression, env: Environment) -> Any:
        """The value of an expression; where candidates' values have nothing in common, the step around it parts."""
        value = self.bound(expression, env)
        return value.settle() if type(value) is Choice else value

    def bound(self, expression: s.Expression, env: Environment) -> Any:
        """The value of an expression, which may be a `Choice`."""
        if self._inside:
            return super().evaluate(expression, env)
        return self.parted(lambda: super(ColumnEvaluator, self).evaluate(expression, env))

    def parted(self, run: Callable[[], Any]) -> Any:
        """The result of a computation for every way through it: one value for all, which may be a `Choice`."""
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
        """What a name stands for on this way."""
        value = super().find(name, env)
        return value.settle() if type(value) is Choice else value

    def step(self, span: Span, count: int = 1) -> None:
        """Spends steps; all candidates together may need more than one of them is allowed."""
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
        given: dict[str, tuple[s.CallArgument, Environment]],
        overrides: Mapping[str, Any],
    ) -> None:
        def value() -> Any:
            super(ColumnBinder, self)._param(entry, env, bound, given, overrides)
            return env.names[entry.name.text]

        env.names[entry.name.text] = self._parted(value)

    def _when(self, condition: s.Expression, env: Environment) -> Any:
        return self._parted(lambda: super(ColumnBinder, self)._when(condition, env))

    def _override(self, name: str, value: Any, kind: str, env: Environment) -> tuple[Any, Span]:
        if type(value) is Column:
            return value, override_source(name, value)
        if isinstance(value, list) and any(type(item) is Choice for item in value):
            items = [item if type(item) is Column else self._override(name, item, "", env)[0] for item in value]
            return List(items), override_source(name, "[...]")
        return super()._override(name, value.settle() if type(value) is Choice else value, kind, env)

    def _input(self, entry: s.Input, env: Environment, bound: BoundNetwork) -> None:
        def shape() -> Any:
            bound.input_name = None  # each way is the first
            super(ColumnBinder, self)._input(entry, env, bound)
            return bound.input_shape

        bound.input_shape = self._parted(shape)
        if type(bound.input_shape) is Choice:
            raise NoClosedFormError("the input is a map for some candidates and features for others")

    def _require(self, entry: s.Require, env: Environment) -> None:
        self._parted(lambda: self._met(entry, env))

    def _met(self, entry: s.Require, env: Environment) -> None:
        if not self.evaluator.truth(entry.condition, env):
            raise error("E602", "a requirement is not met", entry.condition.span)

    def _init(self, entry: s.Init, env: Environment, bound: BoundNetwork) -> None:
        self._parted(lambda: super(ColumnBinder, self)._init(entry, env, bound))
