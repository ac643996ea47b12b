"""Expands all candidates of a space at once, and computes the cost of each operator when it is added.

It extends the expander of single networks in the same two ways as `binding` extends the binder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from resnext_dsl.columns.arithmetic import Column, merged, settled
from resnext_dsl.columns.binding import ColumnEvaluator, bind
from resnext_dsl.columns.lanes import FAILED, Choice, DeadError, Lanes, Mask, NoClosedFormError
from resnext_dsl.expansion.call_cache import enters
from resnext_dsl.expansion.graph_builder import LARGE, Running
from resnext_dsl.expansion.statements import Expander
from resnext_dsl.expansion.template_calls import Frame, Place
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Output
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Attributes, Shape
from resnext_dsl.semantics.bound_network import BoundNetwork
from resnext_dsl.semantics.naming import safe
from resnext_dsl.semantics.spec_files import SpecFile
from resnext_dsl.semantics.values import Environment, GraphValue, OperatorValue, TemplateValue
from resnext_dsl.syntax import nodes as s


class Priced(NamedTuple):
    """An operator of some candidates, with its cost.

    Attributes:
        mark: The index of its candidates in `Lanes.masks`.
        inputs: The nodes that it reads.
        part: The part of the network (stem, stage, head, output) that contains it; "" between parts.
        counts: Whether it adds to the depth.
    """

    mark: int
    inputs: tuple[int, ...]
    part: str
    counts: bool
    params: Any
    flops: Any
    macs: Any
    activations: Any


class MergedValue(NamedTuple):
    """A value that is one node for some candidates and another node for others.

    Attributes:
        mark: The index of its candidates in `Lanes.masks`.
        sources: The nodes with their candidates.
    """

    mark: int
    sources: tuple[tuple[Mask, int], ...]


class ColumnResult(NamedTuple):
    """The expansion of every candidate.

    Attributes:
        lanes: The candidates.
        nodes: The nodes in the order of execution; the input is None.
        outputs: For each output, the index of its candidates in `Lanes.masks`, its node, and whether it exists in
            training only.
        bounds: For each limit of the budgets, the bound and the input shape (None: the declared one).
    """

    lanes: Lanes
    nodes: list[Priced | MergedValue | None]
    outputs: list[tuple[int, int, bool]]
    bounds: tuple[tuple[Any, Any], ...]


def run(
    spec_file: SpecFile, overrides: Mapping[str, Any], lanes: Lanes, options: Options, shape: Shape | None = None
) -> ColumnResult:
    """Binds and expands a network whose parameters are columns or choices.

    Args:
        spec_file: The spec file and its imports, as syntax trees.
        overrides: Columns, choices and plain values, by parameter.
        lanes: The candidates.
        options: Bounds on the size of the spec.
        shape: The input shape; the declared one if None.

    Raises:
        DeadError: If no candidate is valid.
        NoClosedFormError: If candidates must be priced one by one.
    """
    evaluator = ColumnEvaluator(options, lanes)
    try:
        bound, bounds = bind(spec_file, overrides, evaluator)
        expander = ColumnExpander(bound if shape is None else bound.with_input(shape), evaluator, lanes)
        expander.run()
    except FAILED:
        raise DeadError from None
    outputs = [(mark, output.node, output.training_only) for mark, output in expander.results]
    return ColumnResult(lanes, expander.priced, outputs, bounds)


class ColumnExpander(Expander):
    """Expands all candidates at once, and computes the cost of each operator when it is added."""

    def __init__(self, network: BoundNetwork, evaluator: ColumnEvaluator, lanes: Lanes) -> None:
        super().__init__(network, evaluator, lambda: None)
        self.lanes = lanes
        self.priced: list[Priced | MergedValue | None] = []
        self.results: list[tuple[int, Output]] = []
        self._prices = LaneCache(lanes)
        self._calls = LaneCache(lanes)
        self._tops: dict[str, Span] = {}
        self._inside = ""

    def run(self) -> None:
        """Runs every entry of the network; the main output comes last."""
        super().run()
        self.results += [(self.lanes.note(), output) for output in self.outputs]
        self.outputs = []
        if self.results:
            self.lanes.kill(self._untouched(self.results[-1][1].node))

    def _untouched(self, node: int) -> Mask:
        """The candidates for which a value is the network's input."""
        place = self.priced[node]
        if not isinstance(place, MergedValue):
            return np.full_like(self.lanes.active, place is None, shape=(1,) * self.lanes.active.ndim)
        parts = [self.lanes.both(mask, self._untouched(source)) for mask, source in place.sources]
        whole = parts[0]
        for part in parts[1:]:
            self.lanes.fits(whole, part)
            whole = whole | part
        return whole

    def put_input(self) -> Running:
        """Adds the input, which has no cost."""
        assert self.network.input_shape is not None, "the network of the values in the file has an input"
        self.priced.append(None)
        return GraphValue(0, self.network.input_shape)

    def put_scope(
        self, name: str, kind: Any, label: str, span: Span, arguments: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        """Records the names of outermost scopes, which an output must not use again; other scopes are not needed."""
        if "." not in name:
            self._tops.setdefault(name, span)

    def _entry(self, entry: s.Entry, place: Place, env: Environment, x: Running) -> Running:
        self._inside = safe(entry.name.text) if isinstance(entry, s.PartDeclaration | s.OutputDeclaration) else ""
        return super()._entry(entry, place, env, x)

    def _output(self, output: s.OutputDeclaration, place: Place, env: Environment, x: Running) -> None:
        if self._tops.get(safe(output.name.text), output.span) is not output.span:
            raise NoClosedFormError(f"for some candidates another part has the name `{output.name.text}`")
        super()._output(output, place, env, x)

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
        """Adds an operator on some values, with its cost by the rules of its row."""
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
        sources = tuple(value.node for value in inputs)
        self.priced.append(Priced(self.lanes.note(), sources, self._inside, OPERATORS[operator].multiplies, *costs))
        return GraphValue(len(self.priced) - 1, shape)

    def _price(self, operator: str, attributes: Attributes, shapes: tuple[Shape, ...]) -> tuple[Any, ...]:
        """Output shape, parameters, FLOPs, multiply-adds and activations."""
        row, lanes, rule = OPERATORS[operator], self.lanes, OPERATORS[operator].flops
        shape = settled(lanes, lambda: row.shape(attributes, shapes))
        params = settled(lanes, lambda: row.parameters(attributes, shapes))
        flops = settled(lanes, lambda: _counted(rule(attributes, shapes))) if rule is not None else 0
        activations = settled(lanes, lambda: row.activations(shape))
        return shape, params, flops, flops if row.multiplies else 0, activations

    def origins(self, inputs: list[GraphValue]) -> tuple[Note, ...]:
        """Empty: no error of a column is shown."""
        return ()

    def note(self, diagnostic: Diagnostic) -> None:
        """Raises the error, which excludes its candidates."""
        raise ArchError([diagnostic])

    def guarded(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """The merged result of a step over all its paths."""
        depth, trail, frame = self.depth, self.trail, self._frame
        values, here = frame.values, frame.here

        def fresh() -> Any:
            self.depth, self.trail, self._frame = depth, trail, frame
            frame.values, frame.here = dict(values), here
            before = len(self.outputs)
            value = run(*arguments)
            self.results += [(self.lanes.note(), output) for output in self.outputs[before:]]
            del self.outputs[before:]
            return value, frame.values

        outcomes = self.lanes.explore(fresh)
        frame.values = self._named_by([(mask, named) for mask, (_, named) in outcomes])
        return self._joined([(mask, value) for mask, (value, _) in outcomes])

    def _joined(self, outcomes: list[tuple[Mask, Any]]) -> Any:
        """Merges the results of several paths; a running value must merge to one node."""
        result = merged(self.lanes, outcomes, self._node)
        if type(result) is Choice and isinstance(result.outcomes[0][1], GraphValue):
            raise NoClosedFormError("a value is a feature map for some candidates and features for others")
        return result

    def _named_by(self, outcomes: list[tuple[Mask, dict[str, Any]]]) -> dict[str, Any]:
        """Merges the named values of several paths; a path without the name has None."""
        if len(outcomes) == 1:
            return outcomes[0][1]
        names = dict.fromkeys(name for _, values in outcomes for name in values)
        return {
            name: merged(self.lanes, [(mask, values.get(name)) for mask, values in outcomes], self._node)
            for name in names
        }

    def _own(self, name: str) -> Any:
        value = super()._own(name)
        return value.settle() if type(value) is Choice else value

    def _checked_value(self, value: Any, span: Span, text: str) -> GraphValue:
        return super()._checked_value(value.settle() if type(value) is Choice else value, span, text)

    def _node(self, outcomes: list[tuple[Mask, Any]]) -> GraphValue | None:
        if not all(isinstance(value, GraphValue) for _, value in outcomes):
            return None
        shape = merged(self.lanes, [(mask, value.shape) for mask, value in outcomes])
        if type(shape) is Choice:
            return None
        nodes: set[int] = {value.node for _, value in outcomes}
        if len(nodes) == 1:
            return GraphValue(nodes.pop(), shape)
        self.priced.append(MergedValue(self.lanes.note(), tuple((mask, value.node) for mask, value in outcomes)))
        return GraphValue(len(self.priced) - 1, shape)

    def defaults(self, operator: str) -> tuple[dict[str, Any], dict[str, Span]]:
        """The defaults of an operator on the current path."""
        values, spans = super().defaults(operator)
        return {k: v.settle() if type(v) is Choice else v for k, v in values.items()}, spans

    def in_turn(self, count: int, run: Callable[[int, Running], Running], x: Running) -> Running:
        """The value after all passes of a repeat, whose number differs between candidates."""
        columns: Any = count  # an int to the type checker
        if type(columns) is not Column:
            return super().in_turn(count, run, x)
        lanes = self.lanes
        # Each pass is a step, or counts as one if the size of the network is bounded.
        lanes.kill(columns.values > max(self.options.max_steps, LARGE))
        if lanes.both(lanes.active, columns.values > self.options.max_nodes).any():
            raise NoClosedFormError("some candidates have more passes than operators are allowed")
        for turn in itertools.count():
            more = columns.values > turn
            going = lanes.both(lanes.active, more)
            if not going.any():
                break
            x = self._pass_for(going, lanes.both(lanes.active, ~more), partial(run, turn), x)
        return x

    def _pass_for(self, going: Mask, rest: Mask, run: Callable[[Running], Running], x: Running) -> Running:
        """The value after a pass of the candidates in `going`; the candidates in `rest` keep their value."""
        lanes, before = self.lanes, self.lanes.active
        frame, values = self._frame, self._frame.values
        lanes.active = going
        try:
            y: Running = self.guarded(run, x)
        except DeadError:
            if not rest.any():
                raise
            lanes.active, frame.values = rest, values
            return x
        alive = lanes.active
        lost = lanes.both(going, ~alive)
        lanes.active = lanes.both(before, ~lost) if lost.any() else before
        if not rest.any():
            return y
        frame.values = self._named_by([(alive, frame.values), (rest, values)])
        joined: Running = self._joined([(alive, y), (rest, x)])
        return joined

    def _instance(
        self, callee: TemplateValue, inner: Environment, passed: frozenset[str], scope: str, x: GraphValue
    ) -> Running:
        names = tuple(inner.names.values())
        self._tops.setdefault(scope, callee.template.span)
        key = id(callee.template), id(callee.environment), _identity(names), _identity(x.shape), enters(names, x)
        known: CallRecord | None = self._calls.find(key)
        if known is not None:
            self.evaluator.step(callee.template.span, known.steps)
            return self._again(known, x)
        active, start, steps = self.lanes.active, len(self.priced), self.evaluator.steps
        value = self._body(callee.template.body, Frame(x, x), inner, scope, x)
        if value is not None:
            # A step that splits may leave operators without candidates on the current path.
            placed = enumerate(self.priced[start:], start)
            masked = ((place, node, self.lanes.masks[node.mark]) for place, node in placed if node is not None)
            nodes = tuple(record for record in masked if record[2].any())
            call = CallRecord(x.node, value, nodes, self.evaluator.steps - steps)
            self._calls.keep(key, active, call, (names, x, inner))
        return value

    def _again(self, call: CallRecord, x: GraphValue) -> GraphValue:
        """The value of a call that was expanded before: copies its operators onto another value."""
        places = {call.entry: x.node}
        for place, node, mask in call.nodes:
            alive = self.lanes.both(mask, self.lanes.active)
            if alive.any():
                places[place] = self._copied(node, alive, places)
        result = call.value.node
        return GraphValue(places.get(result, result), call.value.shape)

    def _copied(self, node: Priced | MergedValue, alive: Mask, places: dict[int, int]) -> int:
        """Copies a node for some candidates, with inputs replaced by their copies."""
        if isinstance(node, MergedValue):
            sources = [(mask, places.get(source, source)) for mask, source in node.sources]
            kept = tuple((mask, source) for mask, source in sources if self.lanes.both(mask, alive).any())
            if len(kept) == 1:
                return kept[0][1]
            self.priced.append(MergedValue(self.lanes.note(alive), kept))
        else:
            inputs = tuple(places.get(source, source) for source in node.inputs)
            self.priced.append(node._replace(mark=self.lanes.note(alive), inputs=inputs, part=self._inside))
        return len(self.priced) - 1


class CallRecord(NamedTuple):
    """The result of a call of a template.

    Attributes:
        entry: The node that the body reads.
        value: The value of the call.
        nodes: The nodes of the body with their indices and their candidates.
        steps: The number of steps of computation.
    """

    entry: int
    value: GraphValue
    nodes: tuple[tuple[int, Priced | MergedValue, Mask], ...]
    steps: int


class LaneCache:
    """A cache of results that hold for some candidates and for every subset of them."""

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._entries: dict[Any, tuple[Mask, Any, Any]] = {}

    def find(self, key: Any) -> Any:
        """The cached result of a key if it holds for all candidates of the current path; else None."""
        lanes, entry = self._lanes, self._entries.get(key)
        if entry is None or (entry[0] is not lanes.active and lanes.both(lanes.active, ~entry[0]).any()):
            return None
        return entry[1]

    def keep(self, key: Any, active: Mask, result: Any, kept: Any) -> None:
        """Caches a result, unless candidates were excluded since.

        Args:
            key: The key; it may contain the `id` of objects.
            active: The candidates before the computation.
            result: The result.
            kept: The objects whose `id` the key contains; the cache keeps them alive.
        """
        if self._lanes.active is active:
            self._entries[key] = active, result, kept


def _identity(value: Any) -> Any:
    """A hashable identity: of a column its `id`, of a plain value its type too, since 1, 1.0 and true are equal."""
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


def _counted(flops: Any) -> Any:
    return 0 if flops is None else flops  # fvcore does not count every use of an operator
