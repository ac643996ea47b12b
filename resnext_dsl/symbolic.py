"""Runs the pipeline on columns: one run binds, expands and prices every candidate of a space.

The evaluator, the binder and the expander are those of single networks. What differs is what a mistake does (it takes
the candidates that make it out) and what a step with several ways gives: one value for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from resnext_dsl import syntax as s
from resnext_dsl.bind import Binder, BoundNetwork
from resnext_dsl.calls import Frame
from resnext_dsl.columns import FAILED, Choice, Column, DeadError, Lanes, Mask, NoClosedFormError, merged
from resnext_dsl.diagnostics import ArchError, Diagnostic, Note, Span, error
from resnext_dsl.domain import Domain
from resnext_dsl.draft import Running
from resnext_dsl.evaluate import Evaluator
from resnext_dsl.expand import Expander
from resnext_dsl.files import Module
from resnext_dsl.graph import Output
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Attributes, Shape
from resnext_dsl.options import Options
from resnext_dsl.overrides import override_source
from resnext_dsl.scope import Scopes
from resnext_dsl.values import Environment, GraphValue, OperatorValue, TemplateValue


class Priced(NamedTuple):
    """An operator of some candidates: its number in `Lanes.masks`, the nodes it reads, and what it costs."""

    mark: int
    inputs: tuple[int, ...]
    params: Any
    flops: Any
    macs: Any
    activations: Any


class Joined(NamedTuple):
    """A value that is one node for some candidates and another for others."""

    sources: tuple[tuple[Mask, int], ...]


class Result(NamedTuple):
    """The outcome for every candidate.

    Attributes:
        nodes: In the order of execution; the input is None.
        outputs: Their number in `Lanes.masks`, their node, and whether they are of training only.
    """

    lanes: Lanes
    nodes: list[Priced | Joined | None]
    outputs: list[tuple[int, int, bool]]


def run(module: Module, overrides: Mapping[str, Any], lanes: Lanes, options: Options) -> Result:
    """Binds and expands a network whose parameters are columns or choices.

    Raises:
        DeadError: Where no candidate is valid.
        NoClosedFormError: Where candidates have to be taken one by one.
    """
    evaluator = ColumnEvaluator(options, lanes)
    binder = ColumnBinder(evaluator, Scopes(evaluator), lanes)
    try:
        expander = ColumnExpander(binder.bind(module, overrides), evaluator, lanes)
        expander.run()
    except FAILED:
        raise DeadError from None
    outputs = [(mark, output.node, output.training_only) for mark, output in expander.results]
    return Result(lanes, expander.priced, outputs)


class ColumnEvaluator(Evaluator):
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
        self._inside = True
        depth = self.depth
        try:
            outcomes = self.lanes.explore(lambda: super(ColumnEvaluator, self).evaluate(expression, env))
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

    def __init__(self, evaluator: ColumnEvaluator, scopes: Scopes, lanes: Lanes) -> None:
        super().__init__(evaluator, scopes)
        self.lanes = lanes

    def _found(self, problem: ArchError) -> None:
        raise problem

    def _wrong(self, code: str, message: str, span: Span, hint: str = "") -> None:
        raise error(code, message, span, hint=hint)

    def _override(self, name: str, value: Any, kind: str, env: Environment) -> tuple[Any, Span]:
        if type(value) is Column:
            return value, override_source(name, value)
        if type(value) is not Choice:
            return super()._override(name, value, kind, env)
        read = super()._override
        options = [(mask, read(name, option, kind, env)[0]) for mask, option in value.outcomes]
        return merged(self.lanes, options), override_source(name, value)

    def _type(self, entry: s.Param, default: Any) -> str:
        return super()._type(entry, default.outcomes[0][1] if type(default) is Choice else default)

    def _fits(self, value: Any, kind: str) -> bool:
        if type(value) is Choice:
            return all(super(ColumnBinder, self)._fits(option, kind) for _, option in value.outcomes)
        return super()._fits(value, kind)

    def _domain(self, entry: s.Param, env: Environment) -> Domain | None:
        return None  # what a search may pick; an override may leave it

    def _input(self, entry: s.Input, env: Environment, bound: BoundNetwork) -> None:
        self.lanes.explore(lambda: super(ColumnBinder, self)._input(entry, env, bound))

    def _require(self, entry: s.Require, env: Environment) -> None:
        self.lanes.explore(lambda: self._met(entry, env))

    def _met(self, entry: s.Require, env: Environment) -> None:
        if not self.evaluator.truth(entry.condition, env):
            raise error("E602", "a requirement is not met", entry.condition.span)


class ColumnExpander(Expander):
    """Expands all candidates at once, and prices each operator when it is made."""

    def __init__(self, network: BoundNetwork, evaluator: ColumnEvaluator, lanes: Lanes) -> None:
        super().__init__(network, evaluator, lambda: None)
        self.lanes = lanes
        self.priced: list[Priced | Joined | None] = []
        self.results: list[tuple[int, Output]] = []
        self._prices = Known(lanes)
        self._calls = Known(lanes)

    def run(self) -> None:
        """Runs every entry of the network; the main output comes last."""
        super().run()
        self.results += [(self.lanes.note(), output) for output in self.outputs]
        self.outputs = []
        if self.results:
            self.lanes.kill(self._untouched(self.results[-1][1].node))

    def _untouched(self, node: int) -> Mask:
        """Candidates for which a value is the network's input."""
        place = self.priced[node]
        if not isinstance(place, Joined):
            return np.full_like(self.lanes.active, place is None, shape=(1,) * self.lanes.active.ndim)
        parts = [self.lanes.both(mask, self._untouched(source)) for mask, source in place.sources]
        whole = parts[0]
        for part in parts[1:]:
            self.lanes.fits(whole, part)
            whole = whole | part
        return whole

    def put_input(self) -> Running:
        """The input, which costs nothing."""
        if self.network.input_name is None or self.network.input_shape is None:
            raise error("E305", f"network `{self.network.name}` has no input", self.network.span)
        self.priced.append(None)
        return GraphValue(0, self.network.input_shape)

    def put_scope(
        self, name: str, kind: Any, label: str, span: Span, arguments: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        """No scopes: nothing is named."""

    def put_node(
        self,
        operator: str,
        attributes: Attributes,
        inputs: list[GraphValue],
        scope: str,
        name: str,
        span: Span,
        spans: dict[str, Span] | None = None,
    ) -> GraphValue:
        """An operator on some values, and its price by the rules of its row."""
        shapes = tuple(value.shape for value in inputs)
        if len(self.priced) > self.options.max_nodes:
            raise NoClosedFormError("the candidates together have too many operators")
        key = operator, _identity(tuple(attributes.__dict__.values())), _identity(shapes)
        prices = self._prices.find(key)
        if prices is None:
            active = self.lanes.active
            prices = self._price(operator, attributes, shapes)
            self._prices.keep(key, active, prices, (attributes, shapes))
        shape, *costs = prices
        self.priced.append(Priced(self.lanes.note(), tuple(value.node for value in inputs), *costs))
        return GraphValue(len(self.priced) - 1, shape)

    def _price(self, operator: str, attributes: Attributes, shapes: tuple[Shape, ...]) -> tuple[Any, ...]:
        """Output shape, parameters, FLOPs, multiply-adds and activations."""
        row, settled = OPERATORS[operator], self.lanes.settled
        shape = settled(lambda: row.shape(attributes, shapes))
        params = settled(lambda: row.parameters(attributes, shapes))
        rule = row.flops
        counted = settled(lambda: rule(attributes, shapes)) if rule is not None else None
        flops = 0 if counted is None else counted
        activations = settled(lambda: row.activations(shape))
        return shape, params, flops, flops if row.multiplies else 0, activations

    def origins(self, inputs: list[GraphValue]) -> tuple[Note, ...]:
        """Nothing: no error is shown."""
        return ()

    def note(self, diagnostic: Diagnostic) -> None:
        """A mistake takes its candidates out."""
        raise ArchError([diagnostic])

    def guarded(self, run: Callable[[], Any]) -> Any:
        """The result of a step, one for all the ways through it."""
        depth, trail, frame = self.depth, self.trail, self._frame

        def fresh() -> Any:
            self.depth, self.trail, self._frame = depth, trail, frame
            made = len(self.outputs)
            value = run()
            self.results += [(self.lanes.note(), output) for output in self.outputs[made:]]
            del self.outputs[made:]
            return value

        return merged(self.lanes, self.lanes.explore(fresh), self._node)

    def _node(self, outcomes: list[tuple[Mask, Any]]) -> GraphValue | None:
        if not all(isinstance(value, GraphValue) for _, value in outcomes):
            return None
        shape = merged(self.lanes, [(mask, value.shape) for mask, value in outcomes])
        if type(shape) is Choice:
            raise NoClosedFormError("a value is a map for some candidates and features for others")
        nodes = {value.node for _, value in outcomes}
        if len(nodes) == 1:
            return GraphValue(nodes.pop(), shape)
        self.priced.append(Joined(tuple((mask, value.node) for mask, value in outcomes)))
        return GraphValue(len(self.priced) - 1, shape)

    def defaults(self, operator: str) -> tuple[dict[str, Any], dict[str, Span]]:
        """The network's own defaults on this way."""
        values, spans = super().defaults(operator)
        return {k: v.settle() if type(v) is Choice else v for k, v in values.items()}, spans

    def in_turn(self, count: int, run: Callable[[int, Running], Running], x: Running) -> Running:
        """The value after as many passes as each candidate has."""
        columns: Any = count
        if type(columns) is not Column:
            return super().in_turn(count, run, x)
        lanes = self.lanes
        lanes.kill(columns.values > self.options.max_nodes)
        for turn in range(self.options.max_nodes):
            more = columns.values > turn
            going = lanes.both(lanes.active, more)
            if not going.any():
                break
            x = self._pass_for(going, lanes.both(lanes.active, ~more), partial(run, turn), x)
        return x

    def _pass_for(self, going: Mask, rest: Mask, run: Callable[[Running], Running], x: Running) -> Running:
        """The value after a pass that some candidates have, and others have not."""
        lanes, before = self.lanes, self.lanes.active
        lanes.active = going
        try:
            y = self.guarded(lambda: run(x))
        except DeadError:
            if not rest.any():
                raise
            lanes.active = rest
            return x
        alive = lanes.active
        lost = lanes.both(going, ~alive)
        lanes.active = lanes.both(before, ~lost) if lost.any() else before
        joined: Running = merged(lanes, [(alive, y), (rest, x)], self._node) if rest.any() else y
        return joined

    def _instance(
        self, callee: TemplateValue, inner: Environment, given: frozenset[str], scope: str, x: GraphValue
    ) -> Running:
        names = tuple(inner.names.values())
        key = id(callee.template), id(callee.environment), _identity(names), _identity(x.shape)
        known: Call | None = self._calls.find(key)
        if known is not None:
            return self._again(known, x)
        active, start = self.lanes.active, len(self.priced)
        value = self._body(callee.template.body, Frame(x, x), inner, scope, x)
        if value is not None:
            masks = [
                self.lanes.masks[node.mark] if isinstance(node, Priced) else active for node in self.priced[start:]
            ]
            made = tuple(zip(self.priced[start:], masks, strict=True))
            self._calls.keep(key, active, Call(x.node, start, value, made), (names, x, inner))
        return value

    def _again(self, call: Call, x: GraphValue) -> GraphValue:
        """The value of a call that has been expanded before: its operators once more, on another value."""
        shift = len(self.priced) - call.start

        def moved(node: int) -> int:
            return node + shift if node >= call.start else x.node if node == call.entry else node

        for node, mask in call.made:
            if isinstance(node, Joined):
                self.priced.append(Joined(tuple((own, moved(source)) for own, source in node.sources)))
            elif node is not None:
                mark = self.lanes.note(self.lanes.both(mask, self.lanes.active))
                self.priced.append(node._replace(mark=mark, inputs=tuple(map(moved, node.inputs))))
        return GraphValue(moved(call.value.node), call.value.shape)


class Call(NamedTuple):
    """What a call of a template made: the node that entered, its first node, its value, and its nodes with masks."""

    entry: int
    start: int
    value: GraphValue
    made: tuple[tuple[Priced | Joined | None, Mask], ...]


class Known:
    """What has been computed for some candidates, and holds for them and for any part of them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._entries: dict[Any, tuple[Mask, Any, Any]] = {}

    def find(self, key: Any) -> Any:
        """What has been kept under a key for all candidates of this way, or None."""
        lanes, entry = self._lanes, self._entries.get(key)
        if entry is None or (entry[0] is not lanes.active and lanes.both(lanes.active, ~entry[0]).any()):
            return None
        return entry[1]

    def keep(self, key: Any, active: Mask, result: Any, kept: Any) -> None:
        """Keeps what has been computed for `active`, if nobody was lost; `kept` are the objects in the key."""
        if self._lanes.active is active:
            self._entries[key] = active, result, kept


def _identity(value: Any) -> Any:
    """What tells a value from others: which column it is; of plain values also the type (1, 1.0 and true are equal)."""
    if type(value) is Column or type(value) is Choice:
        return id(value)
    if isinstance(value, tuple):
        return (type(value), *map(_identity, value))
    if isinstance(value, OperatorValue):
        return value.operator.name, tuple((name, _identity(argument)) for name, argument in value.arguments)
    if isinstance(value, TemplateValue):
        arguments = tuple((name, _identity(argument)) for name, argument in value.arguments)
        return id(value.template), id(value.environment), arguments
    if isinstance(value, bool | int | float | str):
        return type(value), value
    return id(value)
