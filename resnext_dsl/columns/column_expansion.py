"""Expands all candidates of a space at once, and computes the cost of each operator when it is added.

It extends the expander of single networks in the same two ways as `binding` extends the binder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import numpy as np

from resnext_dsl.columns.arithmetic import Column, merged, settled
from resnext_dsl.columns.binding import ColumnEvaluator, bind
from resnext_dsl.columns.instance_uses import InstanceUses, module_of_copy
from resnext_dsl.columns.lane_cache import LaneCache, identity
from resnext_dsl.columns.lanes import FAILED, Choice, DeadError, Lanes, Mask, NoClosedFormError
from resnext_dsl.columns.priced_nodes import MergedValue, Priced
from resnext_dsl.expansion.call_cache import list_key, nodes_of, places_in
from resnext_dsl.expansion.graph_builder import LARGE, Running, join
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
from resnext_dsl.semantics.values import (
    Environment,
    Flow,
    GraphValue,
    List,
    SharedValue,
    TemplateValue,
    holds_values,
    values_of,
)
from resnext_dsl.syntax import nodes as s


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
        self._uses = InstanceUses(lanes, self.priced)

    def run(self) -> None:
        """Runs every entry of the network; the main output comes last."""
        super().run()
        self.results += [(self.lanes.note(), output) for output in self.outputs]
        ends = [self._untouched(output.node) for output in self.outputs]
        self.outputs = []
        if ends:
            self.lanes.kill(reduce(self.lanes.both, ends))

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

    def put_input(self) -> GraphValue | None:
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
        key = operator, identity(tuple(attributes.__dict__.values())), identity(shapes)
        prices = self._prices.find(key)
        if prices is None:
            active = self.lanes.active
            prices = self._price(operator, attributes, shapes)
            self._prices.keep(key, active, prices, (attributes, shapes))
        shape, params, flops, macs, activations = prices
        sources = tuple(value.node for value in inputs)
        module = "" if self._instance_of is None else self.module_of(join(scope, name))
        if module:
            self._uses.note(len(self.priced), module, operator, key[1], shapes)
        multiplies = OPERATORS[operator].multiplies
        costs = params, flops, macs, activations
        self.priced.append(Priced(self.lanes.note(), sources, self._inside, multiplies, *costs, module))
        return GraphValue(len(self.priced) - 1, shape)

    # --- shared instances ---

    def declared(self, statement: s.Shared, place: Place, env: Environment) -> SharedValue:
        """The instance that a statement declares, under a module name of its own outside of all uses."""
        instance = super().declared(statement, place, env)
        if self._instance_of is None:
            instance.module = self._uses.new_module()
        return instance

    @property
    def count(self) -> int:
        """The number of nodes so far."""
        return len(self.priced)

    def check_use(self, instance: SharedValue, call: s.Apply, start: int, result: Flow) -> None:
        """Checks that a use calls the modules of all earlier uses of the same candidates, and connects them alike.

        Raises:
            NoClosedFormError: If that cannot be told for all candidates at once.
        """
        self._uses.check(instance, instance.name, start, nodes_of(result))

    def _price(self, operator: str, attributes: Attributes, shapes: tuple[Shape, ...]) -> tuple[Any, ...]:
        """Output shape, parameters, FLOPs, multiply-adds and activations."""
        row, lanes, rule = OPERATORS[operator], self.lanes, OPERATORS[operator].flops
        shape = settled(lanes, lambda: row.shape(attributes, shapes))
        params = settled(lanes, lambda: row.parameters(attributes, shapes))
        flops = settled(lanes, lambda: _counted(rule(attributes, shapes))) if rule is not None else 0
        activations = settled(lanes, lambda: row.activations(shape))
        macs = flops if row.multiplies else 0
        if row.weight_flops is not None:
            transform = row.weight_flops
            macs = settled(lanes, lambda: flops - transform(attributes, shapes))
        return shape, params, flops, macs, activations

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
        if type(result) is Choice:
            options = [value for _, value in result.outcomes]
            if any(map(holds_values, options)):
                raise NoClosedFormError("the candidates have lists of different numbers or kinds of values")
            if isinstance(options[0], GraphValue):
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

    def _checked_flow(self, value: Any, span: Span) -> Flow:
        return super()._checked_flow(value.settle() if type(value) is Choice else value, span)

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
        self, callee: TemplateValue, inner: Environment, passed: frozenset[str], scope: str, x: Flow
    ) -> Running:
        names = tuple(inner.names.values())
        self._tops.setdefault(scope, callee.template.span)
        inside, home = self._instance_of is not None, self.module_of(scope)
        shapes = identity(x.shape) if type(x) is GraphValue else identity(list_key(x))
        entering = tuple([places_in(nodes_of(x), value) for value in names])
        key = id(callee.template), id(callee.environment), identity(names), shapes, entering, inside
        known: CallRecord | None = self._calls.find(key)
        if known is not None:
            self.evaluator.step(callee.template.span, known.steps)
            return self._again(known, x, home)
        active, start, steps = self.lanes.active, len(self.priced), self.evaluator.steps
        instances = self._uses.instances
        value = self._body(callee.template.body, Frame(x, x), inner, scope, x)
        if value is not None:
            # A step that splits may leave operators without candidates on the current path.
            placed = enumerate(self.priced[start:], start)
            masked = ((place, node, self.lanes.masks[node.mark]) for place, node in placed if node is not None)
            nodes = tuple(record for record in masked if record[2].any())
            spent, inner_instances = self.evaluator.steps - steps, range(instances + 1, self._uses.instances + 1)
            call = CallRecord(nodes_of(x), value, nodes, spent, home if inside else "", inner_instances)
            self._calls.keep(key, active, call, (names, x, inner))
        return value

    def _again(self, call: CallRecord, x: Flow, home: str) -> Flow:
        """The value of a call that was expanded before: copies its operators onto another value or list of values.

        Args:
            call: The call.
            x: The value that enters the copy, or the list of values.
            home: The name of the module of the copy.
        """
        places = dict(zip(call.entries, nodes_of(x), strict=True))
        shift = self._uses.instances + 1 - call.instances.start
        self._uses.instances += len(call.instances)
        for place, node, mask in call.nodes:
            alive = self.lanes.both(mask, self.lanes.active)
            if alive.any():
                places[place] = self._copied(node, alive, places)
                copy = self.priced[places[place]]
                if isinstance(node, Priced) and node.module and isinstance(copy, Priced):
                    module = module_of_copy(node.module, call.module, home, call.instances, shift)
                    self.priced[places[place]] = copy._replace(module=module)
                    self._uses.note_copy(places[place], place, module)
        moved = [GraphValue(places.get(value.node, value.node), value.shape) for value in values_of(call.value)]
        return moved[0] if type(call.value) is GraphValue else List(moved)

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
        entries: The node that the body reads; one node for each value if the input is a list.
        value: The value of the call, or the list of its values.
        nodes: The nodes of the body with their indices and their candidates.
        steps: The number of steps of computation.
        module: The name of its module, if it is inside a use of a shared instance; else "".
        instances: The numbers of the shared instances that it declares.
    """

    entries: tuple[int, ...]
    value: Flow
    nodes: tuple[tuple[int, Priced | MergedValue, Mask], ...]
    steps: int
    module: str
    instances: range


def _counted(flops: Any) -> Any:
    return 0 if flops is None else flops  # fvcore does not count every use of an operator
