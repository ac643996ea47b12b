"""Builds a graph node by node, with shapes, scopes and diagnostics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.foundation.diagnostics import MOST, ArchError, Diagnostic, Note, Span, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.graph.ir import Graph, Node, Output, Part, Scope, reachable
from resnext_dsl.operators import OPERATORS, validate
from resnext_dsl.operators.base import Attributes, RuleError, Shape
from resnext_dsl.semantics.bound_network import BoundNetwork
from resnext_dsl.semantics.evaluate import call_hint
from resnext_dsl.semantics.naming import safe
from resnext_dsl.semantics.values import (
    FUNCTIONS,
    SCALARS,
    Flow,
    GraphValue,
    OperatorValue,
    SharedValue,
    TemplateValue,
    UnsettledError,
    show,
    show_shape,
)

Running = Flow | None
"""The running value, which may be a list of values; None if it is unknown after a mistake."""

ANY_RANK: Shape = (1,)
"""Stands for the shape of an unknown value: sizes of any rank are valid."""

LARGE = 2000
"""The number of nodes and scopes after which the size of the whole network is estimated."""


class StopError(ArchError):
    """The expansion exceeds a bound, so it ends; the last diagnostic has its trail."""


class GraphBuilder:
    """A graph that grows node by node.

    Attributes:
        network: The bound network.
        nodes: The nodes so far.
        scopes: The scopes so far, by name.
        parts: The parts so far.
        outputs: The outputs so far.
        trail: The open calls, outermost first.
        diagnostics: The mistakes so far.
    """

    def __init__(self, network: BoundNetwork, options: Options, check_size: Callable[[], None]) -> None:
        self.network = network
        self.options = options
        self._check_size = check_size
        self._size = 0
        self.nodes: list[Node] = []
        self.scopes: dict[str, Scope] = {}
        self.parts: list[Part] = []
        self.outputs: list[Output] = []
        self.trail: tuple[Note, ...] = ()
        self.diagnostics: list[Diagnostic] = []
        self._seen: set[tuple[str, int, str]] = set()
        self._instance_of: tuple[str, str] | None = None

    def module_of(self, name: str) -> str:
        """The name of the module of a node or scope; inside a use of a shared instance, it is that of the instance."""
        if self._instance_of is None:
            return name
        use, module = self._instance_of
        return module + name[len(use) :]

    def put_input(self) -> GraphValue | None:
        """The node of the network's input; None if it has no input, which is noted."""
        network = self.network
        if network.input_name is None:
            hint = "declare one: `input image: 3x224x224`"
            self.note(Diagnostic("E305", f"network `{network.name}` has no input", network.span, hint=hint))
            return None
        if network.input_shape is None:
            return None
        name = safe(network.input_name.text)
        self.nodes.append(Node(name, "input", None, (), network.input_shape, network.input_name.span, ""))
        return GraphValue(0, network.input_shape)

    def note(self, diagnostic: Diagnostic) -> None:
        """Keeps a diagnostic with the calls that led to it; each mistake is kept once."""
        span = diagnostic.span
        key = (diagnostic.code, span.start if span else -1, span.source.name if span else "")
        if key in self._seen:
            return
        self._seen.add(key)
        trail = diagnostic.trail or ()
        self.diagnostics.append(diagnostic._replace(trail=(*self.trail, *trail)))
        if len(self.diagnostics) >= MOST:
            raise ArchError([])

    def guarded(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """The result of a step, or None if it fails; the error is noted."""
        try:
            return run(*arguments)
        except StopError:
            raise
        except ArchError as problem:
            if not problem.diagnostics:
                raise
            for diagnostic in problem.diagnostics:
                if diagnostic.code in ("E403", "E405"):
                    trail = (*self.trail, *diagnostic.trail)
                    raise StopError([*self.diagnostics, diagnostic._replace(trail=trail)]) from None
                self.note(diagnostic)
        except UnsettledError:
            pass
        return None

    def put_scope(
        self, name: str, kind: Any, label: str, span: Span, arguments: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        """Adds a scope."""
        self.grow(1)
        module = None if self._instance_of is None else self.module_of(name)
        self.scopes[name] = Scope(name, kind, label, arguments, span, module=module)

    def grow(self, count: int) -> None:
        """Counts nodes and scopes; a network of `LARGE` of them has its whole size checked."""
        before = self._size
        self._size += count
        if before < LARGE <= self._size:
            self._check_size()

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
        """Adds an operator on some values; `spans` are the places of its arguments."""
        shapes = tuple([value.shape for value in inputs])
        try:
            shape: Shape = OPERATORS[operator].shape(attributes, shapes)
        except RuleError as problem:
            at = (spans or {}).get(problem.attribute or "", span)
            notes = self.origins(inputs)
            raise error(problem.code, str(problem), at, hint=problem.hint, notes=notes) from None
        index = len(self.nodes)
        if index > self.options.max_nodes:
            raise too_many(span, self.options.max_nodes)
        self._size += 1  # as `grow` does, without a call for every node
        if self._size == LARGE:
            self._check_size()
        sources = tuple([value.node for value in inputs])
        full = f"{scope}.{name}" if scope else name
        module = None if self._instance_of is None else self.module_of(full)
        self.nodes.append(Node(full, operator, attributes, sources, shape, span, scope, self.trail, module))
        return GraphValue(index, shape)

    def origins(self, inputs: list[GraphValue]) -> tuple[Note, ...]:
        """Notes with the origin of each operand's shape, without repetition."""
        notes: dict[tuple[Shape, int], Note] = {}
        for value in inputs:
            node = self.nodes[value.node]
            what = "the input" if node.operator == "input" else f"`{node.operator}`"
            note = Note(f"{show_shape(value.shape)} comes from {what} here", node.span)
            notes.setdefault((value.shape, node.span.start), note)
        return tuple(notes.values())[:4]

    def defaults(self, operator: str) -> tuple[dict[str, Any], dict[str, Span]]:
        """The network's own defaults for an operator, and their spans."""
        settled = self.network.defaults.get(operator)
        if not settled:
            return {}, {}
        return {k: placed.value for k, placed in settled.items()}, {k: placed.span for k, placed in settled.items()}

    def validated(
        self, at: Span, operator: str, arguments: dict[str, Any], spans: dict[str, Span], x: GraphValue | None
    ) -> Attributes:
        """The attributes from arguments for a value, None if it is unknown; an error points at an argument or `at`."""
        for key, value in arguments.items():
            if type(value) in SCALARS:
                continue
            if isinstance(value, OperatorValue) and not value.arguments:
                arguments[key] = value.operator.name  # an option word that is an operator's name too
            elif isinstance(value, (OperatorValue, TemplateValue, GraphValue, SharedValue, *FUNCTIONS)):
                message = f"`{key}` of `{operator}` cannot be {show(value)}"
                raise error("E204", message, spans.get(key, at), hint=call_hint(value))
        try:
            return validate(OPERATORS[operator], arguments, x.shape if x is not None else ANY_RANK)
        except RuleError as problem:
            span = spans.get(problem.attribute or "", at)
            notes = self.origins([x]) if problem.code in ("E301", "E304") and x is not None else ()
            raise error(problem.code, str(problem), span, hint=problem.hint, notes=notes) from None

    def pruned(self, graph: Graph) -> Graph:
        """The graph without the nodes that no output depends on; each of them gives a warning."""
        used = reachable(graph, [output.node for output in graph.outputs])
        if len(used) == len(graph.nodes):
            return graph
        place: dict[int, int] = {}
        kept: list[Node] = []
        for index, node in enumerate(graph.nodes):
            if index in used or index == 0:
                place[index] = len(kept)
                kept.append(node._replace(inputs=tuple(place[source] for source in node.inputs)))
            else:
                self.trail = node.trail
                message = f"the value of `{node.operator}` is never used, so the operator is left out"
                self.note(Diagnostic("W902", message, node.span, severity="warning"))
        held = {node.scope for node in kept}
        scopes = {
            name: scope
            for name, scope in graph.scopes.items()
            if not name or any(other == name or other.startswith(f"{name}.") for other in held)
        }
        parts = tuple(part._replace(node=place[part.node]) for part in graph.parts if part.node in place)
        outputs = tuple(output._replace(node=place[output.node]) for output in graph.outputs)
        return Graph(graph.name, tuple(kept), scopes, parts, outputs)


def join(scope: str, name: str) -> str:
    """A name inside a scope."""
    return f"{scope}.{name}" if scope else name


def too_many(span: Span, limit: int, count: int | None = None) -> ArchError:
    """The error for a network with too many operators."""
    amount = f"about {count}" if count is not None else f"more than {limit}"
    message = f"the network would have {amount} operators; at most {limit} are allowed"
    return error("E405", message, span, hint="the option `max_nodes` sets the limit")
