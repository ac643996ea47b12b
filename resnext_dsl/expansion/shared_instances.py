"""Declares shared instances and applies them: every use has its own nodes, which call the module of the instance."""

from __future__ import annotations

from typing import Any

from resnext_dsl.expansion.call_cache import nodes_of
from resnext_dsl.expansion.graph_builder import Running, join
from resnext_dsl.expansion.template_calls import Caller, Place
from resnext_dsl.foundation.diagnostics import ArchError, Note, error
from resnext_dsl.graph.ir import Node
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Shape
from resnext_dsl.operators.conditions import effective
from resnext_dsl.semantics.signature import bind, no_arguments, signature_of
from resnext_dsl.semantics.values import (
    Environment,
    Flow,
    GraphValue,
    InstanceUse,
    OperatorValue,
    SharedValue,
    TemplateValue,
    show_shape,
)
from resnext_dsl.syntax import nodes as s


class InstanceExpander(Caller):
    """Expands declarations and uses of shared instances."""

    def declared(self, statement: s.Shared, place: Place, env: Environment) -> SharedValue:
        """The instance that a statement declares; its arguments are computed here, once."""
        call = statement.call
        callee = self._callee(call, env)
        if isinstance(callee, SharedValue):
            message = f"`{call.callee.text}` is a shared instance already"
            raise error("E207", message, call.callee.span, hint=f"apply `{call.callee.text}` itself")
        self._check_no_values(call, callee)
        if call.arguments:
            callee = self.evaluator.fill_in(callee, call.arguments, env)
            assert isinstance(callee, OperatorValue | TemplateValue)
        if _holds_value(tuple(value for _, value in callee.arguments)):
            message = "a shared instance cannot have a value of the network as an argument"
            raise error("E204", message, call.span, hint="each use gives it the running value and no other")
        signature = signature_of(callee)
        if isinstance(callee, OperatorValue):
            settled, spans = self.defaults(callee.operator.name)
            signature = signature._replace(required=signature.required - settled.keys())
            bind(signature, (), callee_span=call.callee.span)
            stated = dict(callee.arguments)
            arguments = effective(callee.operator.attributes, settled, stated) | stated
            self.validated(call.span, callee.operator.name, arguments, spans | dict(callee.places), None)
        else:
            bind(signature, (), callee_span=call.callee.span)
        module = join(self.module_of(place.scope), place.names.of(statement))
        return SharedValue(statement.name.text, callee, statement.name.span, module)

    def _check_no_values(self, call: s.Apply, callee: OperatorValue | TemplateValue) -> None:
        if isinstance(callee, OperatorValue) and callee.operator.takes_values:
            value = next((argument for argument in call.arguments if argument.name is None), None)
            if value is not None:
                message = "a shared instance cannot have a value of the network as an argument"
                hint = f"write `{callee.operator.name}(...)` at each place: it has no weights to share"
                raise error("E204", message, value.span, hint=hint)

    def used(self, call: s.Apply, instance: SharedValue, place: Place, env: Environment, x: Running) -> Running:
        """The value of a use of an instance."""
        if call.arguments:
            raise ArchError([no_arguments(call.callee.text, call.arguments[0].span, instance.span)])
        if x is None:
            return None
        name = place.names.of(call)
        scope = join(place.scope, name)
        outer, self._instance_of = self._instance_of, (scope, instance.module)
        start = self.count
        try:
            if isinstance(instance.callee, TemplateValue):
                result = self._template(call, instance.callee, env, scope, x)
            else:
                result = self._operator(call, instance.callee, place, env, [x], name)
        finally:
            self._instance_of = outer
        if result is not None:
            self.check_use(instance, call, start, result)
        return result

    @property
    def count(self) -> int:
        """The number of nodes so far."""
        return len(self.nodes)

    def check_use(self, instance: SharedValue, call: s.Apply, start: int, result: Flow) -> None:
        """Checks that a use calls the modules of the first use, with equal tensors, and connects them in the same way.

        Raises:
            ArchError: E304 if it does not.
        """
        use = InstanceUse(start, self.count, nodes_of(result), call.span)
        if instance.first is None:
            instance.first = use
            return
        first, here = (self.nodes[each.start : each.end] for each in (instance.first, use))
        alike = len(first) == len(here) and all(map(self._alike, first, here))
        if alike and self._wiring(instance.first) == self._wiring(use):
            return
        shape, other = self._entering_shape(first), self._entering_shape(here)
        notes = (Note("the first use is here", instance.first.span),)
        if shape is None or other is None or shape == other:
            message = f"this use of `{instance.name}` has other operators than its first use"
            hint = "arguments and conditions in its template must not depend on the place of a use"
            raise error("E304", message, call.span, hint=hint, notes=notes)
        message = (
            f"all uses of `{instance.name}` share their weights, which do not fit both {show_shape(shape)} "
            f"and {show_shape(other)}"
        )
        raise error("E304", message, call.span, hint=_hint(instance, shape, other), notes=notes)

    def _wiring(self, use: InstanceUse) -> list[tuple[int, ...]]:
        """The values that each node of a use reads, and its results: from 0 inside, below 0 for others."""
        outside: dict[int, int] = {}

        def place(source: int) -> int:
            inside = use.start <= source < use.end
            return source - use.start if inside else -1 - outside.setdefault(source, len(outside))

        read = [tuple([place(source) for source in node.inputs]) for node in self.nodes[use.start : use.end]]
        return [*read, tuple(map(place, use.results))]

    def _entering_shape(self, nodes: list[Node]) -> Shape | None:
        """The shape of the value that enters a use; None for a use without operators."""
        return self.nodes[nodes[0].inputs[0]].shape if nodes else None

    def _alike(self, first: Node, other: Node) -> bool:
        """Whether two nodes can call one module."""
        if first.module != other.module or first.operator != other.operator or first.attributes != other.attributes:
            return False
        row = OPERATORS[first.operator]
        one, two = (tuple([self.nodes[source].shape for source in node.inputs]) for node in (first, other))
        attributes: Any = first.attributes
        if one == two:
            return True
        same = row.algebra.tensors(attributes, one) == row.algebra.tensors(attributes, two)
        return bool(same and row.source(attributes, one) == row.source(attributes, two))


def _holds_value(arguments: tuple[Any, ...]) -> bool:
    """Whether a value of the network is among the arguments, or inside one of them."""
    for argument in arguments:
        if isinstance(argument, GraphValue):
            return True
        inner = argument if isinstance(argument, tuple) else ()
        if isinstance(argument, OperatorValue | TemplateValue):
            inner = tuple(value for _, value in argument.arguments)
        if inner and _holds_value(inner):
            return True
    return False


def _hint(instance: SharedValue, first: Shape, here: Shape) -> str:
    """The way to make a value fit an instance."""
    if len(first) == len(here) == 3 and first[0] != here[0]:
        return (
            f"give every use {first[0]} channels, as by `conv({first[0]}, 1x1)` before it; height and width may differ"
        )
    if len(first) == len(here) == 3:
        return f"operators of `{instance.name}` depend on height and width: give every use the same size"
    return f"give every use a value of {show_shape(first)}, or declare an instance for each shape"
