"""Calls of operators and templates: evaluates their arguments and the names of the values around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.expansion.call_cache import Recorder, Recording, call_key, replay
from resnext_dsl.expansion.graph_builder import GraphBuilder, Running
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span, did_you_mean, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Scope
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.base import Attributes
from resnext_dsl.operators.conditions import effective
from resnext_dsl.operators.row import Operator
from resnext_dsl.semantics.bound_network import BoundNetwork
from resnext_dsl.semantics.evaluate import CONTEXT, NAME_BEFORE_USE, VALUE_NAMES, Interpreter
from resnext_dsl.semantics.functions import BadValueError
from resnext_dsl.semantics.naming import Names
from resnext_dsl.semantics.recursion import too_deep
from resnext_dsl.semantics.signature import BoundArguments, bind, signature_of
from resnext_dsl.semantics.values import (
    FUNCTIONS,
    MISSING,
    SCALARS,
    UNKNOWN,
    Environment,
    Flow,
    GraphValue,
    List,
    OperatorValue,
    SharedValue,
    TemplateValue,
    UnsettledError,
    holds_values,
    show,
    type_name,
    values_of,
    values_text,
)
from resnext_dsl.syntax import nodes as s


class Frame:
    """The state that the statements of one template call, or of the network itself, share.

    Attributes:
        entry: The input value of the call, or of the current pass of a part.
        here: The running value before the current statement.
        values: The named values so far.
    """

    __slots__ = ("entry", "here", "values")

    def __init__(self, entry: Running, here: Running) -> None:
        self.entry = entry
        self.here = here
        self.values: dict[str, Any] = {}


class ResolutionCache:
    """Caches the parts of name resolution that do not depend on parameter values, for reuse by the next binding.

    Attributes:
        matched: (call, callee) -> the call's arguments matched to the callee's parameters.
        names: (body, reserved names) -> the local names in it.
    """

    __slots__ = ("matched", "names")

    def __init__(self) -> None:
        self.matched: dict[tuple[int, object], tuple[s.Apply, BoundArguments]] = {}
        self.names: dict[tuple[int, tuple[str, ...]], Names] = {}


class Place(NamedTuple):
    """The surroundings of a statement: its frame, the scope of its nodes, and the local names of the body."""

    frame: Frame
    scope: str
    names: Names


class Caller(GraphBuilder):
    """A draft that calls operators and templates; a subclass defines how a body runs."""

    def __init__(
        self,
        network: BoundNetwork,
        evaluator: Interpreter,
        check_size: Callable[[], None],
        cache: ResolutionCache | None = None,
    ) -> None:
        super().__init__(network, evaluator.options, check_size)
        self.evaluator = evaluator
        self._cache = ResolutionCache() if cache is None else cache
        self._frame = Frame(None, None)
        self._recordings: dict[Any, Recording] = {}
        self._bares: dict[tuple[str, int], Attributes] = {}
        self._open: list[s.Template] = []  # the templates whose calls are expanded
        evaluator.context = self._context

    def _body(
        self, block: s.Block, frame: Frame, env: Environment, scope: str, x: Running, reserved: tuple[str, ...] = ()
    ) -> Running:
        raise NotImplementedError

    # --- names of values of the network ---

    def _context(self, name: str) -> Any:
        value = self._own(name)
        if value is not None:
            return value
        if name not in CONTEXT:
            return MISSING
        entering = name.endswith("_in")
        flow = self._frame.entry if entering else self._frame.here
        if flow is None:
            raise UnsettledError
        if name in VALUE_NAMES:
            return flow
        if type(flow) is not GraphValue:
            subject, element = ("the input", "value_in[0]") if entering else ("the running value", "NAME[0]")
            message = f"`{name}` belongs to one value; {subject} is a list of {values_text(len(flow))}"
            raise BadValueError("E204", message, f"`use {element}` continues from its first value")
        return flow.shape[0] if name.startswith("channels") else flow.shape

    def _own(self, name: str) -> Any:
        """The value with this name in this frame, or None."""
        return self._frame.values.get(name)

    def _named(self, aliases: tuple[s.Name, ...], frame: Frame, x: Running) -> Running:
        """The value of a statement, with the names after `as`: one for all of it, or one for each value of a list."""
        if not aliases:
            return x
        if len(aliases) == 1:
            frame.values[aliases[0].text] = x if x is not None else UNKNOWN
            return x
        values = self.guarded(self._unpacked, aliases, x) if x is not None else None
        for alias, value in zip(aliases, values or [UNKNOWN] * len(aliases), strict=True):
            frame.values[alias.text] = value
        return x if values is not None else None

    def _unpacked(self, aliases: tuple[s.Name, ...], x: Flow) -> tuple[GraphValue, ...]:
        """The values of a list with as many names."""
        values = values_of(x)
        if len(values) != len(aliases):
            names = ", ".join(alias.text for alias in aliases)
            message = f"`{names}` names {len(aliases)} values; the statement gives {values_text(len(values))}"
            hint = f"`as {aliases[0].text}` names the whole list" if type(x) is List else "give it one name"
            raise error("E204", message, aliases[0].span.to(aliases[-1].span), hint=hint)
        return values

    def _by_name(self, name: s.Name, env: Environment) -> Any:
        """The value of the network with this name, or another meaning that a declaration gives to the name."""
        value = self._own(name.text)
        if value is not None:
            return value
        try:
            return env.find(name.text)
        except KeyError:
            if name.text in VALUE_NAMES:
                return self._context(name.text)
            hint = did_you_mean(name.text, self._frame.values) or NAME_BEFORE_USE
            raise error("E101", f"no value is named `{name.text}` here", name.span, hint=hint) from None

    def _flow(self, expression: s.Expression, env: Environment) -> Flow:
        """The value of the network, or the list of values, that an expression gives."""
        if isinstance(expression, s.Name):
            return self._checked_flow(self._by_name(expression, env), expression.span)
        try:
            value = self.evaluator.evaluate(expression, env)
        except ArchError as problem:
            first = problem.diagnostics[0]
            if first.code != "E101" or first.hint:
                raise
            raise ArchError([first._replace(hint=NAME_BEFORE_USE)]) from None
        if isinstance(expression, s.Index) and type(value) is List and not value:
            message = f"a list of values needs at least one value; `{expression.span.text[:40]}` has none"
            raise error("E205", message, expression.span)
        return self._checked_flow(value, expression.span)

    def _checked_flow(self, value: Any, span: Span) -> Flow:
        """The value itself, if it is a value of the network or a list of at least one."""
        if type(value) is GraphValue:
            return value
        if value is UNKNOWN:
            raise UnsettledError
        text = span.text[:40]
        if isinstance(value, List) and all(type(element) is GraphValue for element in value):
            if not value:
                hint = "begin a list with its first value: `[value_here]`"
                raise error(
                    "E205", f"a list of values needs at least one value; `{text}` is an empty list", span, hint=hint
                )
            self.evaluator.step(span, len(value))
            return value
        hint = "an attribute needs its name; a positional argument is a value of the network"
        if isinstance(value, SharedValue):
            hint = f"write `{text}` to apply it, and name its value with `as`"
        elif isinstance(value, OperatorValue | TemplateValue):
            hint = f"write `{text}` as a statement of its own; `as` names its value"
        elif isinstance(value, List) and any(isinstance(element, GraphValue | List) for element in value):
            hint = "a list of values has nothing else in it; `+` joins lists"
        raise error("E204", f"`{text}` is not a value of the network; found {show(value)}", span, hint=hint)

    # --- calls ---

    def too_deep(self, span: Span) -> ArchError:
        """The error for calls and blocks beyond the bound; a template that calls itself is named at that call."""
        for place, template in enumerate(self._open):
            if template in self._open[:place]:
                at = self.trail[place - len(self._open)].span
                return too_deep(at or span, self.options, template)
        return too_deep(span, self.options)

    def _callee(self, call: s.Apply, env: Environment) -> OperatorValue | TemplateValue | SharedValue:
        try:
            callee = self.evaluator.find(call.callee, env)
        except ArchError as problem:
            raise _as_operator(problem, call, env) from None
        if type(callee) is OperatorValue or isinstance(callee, TemplateValue | SharedValue):
            return callee
        if callee is UNKNOWN:
            raise UnsettledError
        name = call.callee.text
        is_flow = isinstance(callee, GraphValue) or holds_values(callee)
        hint = f"write `use {name}` to continue from that value" if is_flow else ""
        kind = "a function" if isinstance(callee, FUNCTIONS) else f"a value of type {type_name(callee)}"
        raise error("E207", f"`{name}` is {kind}, not an operator or template", call.callee.span, hint=hint)

    def _template(self, call: s.Apply, callee: TemplateValue, env: Environment, scope: str, x: Running) -> Running:
        template = callee.template
        if len(self.trail) >= self.options.max_calls:
            raise self.too_deep(call.span)
        inner, passed = self._arguments(call, callee, env)
        if x is None:
            return None
        if type(x) is not GraphValue:
            self.evaluator.step(call.span, len(x))
        outer_trail, outer_frame = self.trail, self._frame
        self.trail = (*outer_trail, Note(f"template `{template.name.text}`", call.callee.span))
        self._open.append(template)
        try:
            return self._instance(callee, inner, passed, scope, x)
        finally:
            self._open.pop()
            self.trail, self._frame = outer_trail, outer_frame

    def _instance(
        self, callee: TemplateValue, inner: Environment, passed: frozenset[str], scope: str, x: Flow
    ) -> Running:
        """The value of a template's body; a call that was expanded before is copied."""
        template = callee.template
        key = call_key(callee, inner.names, passed, x)
        if key in self._recordings:
            recording = self._recordings[key]
            self.evaluator.step(template.span, recording.steps)
            return replay(self, recording, scope, x)
        scalars = tuple([(name, scalar) for name, scalar in map(_scalar, inner.names.items()) if scalar is not None])
        module = None if self._instance_of is None else self.module_of(scope)
        self.scopes[scope] = Scope(scope, "template", template.name.text, scalars, template.span, passed, module)
        recorder = Recorder(self, scope, x, self.evaluator.steps)
        result = self._body(template.body, Frame(x, x), inner, scope, x)
        if result is not None and recorder.clean:
            self._recordings[key] = recorder.recording(result, self.evaluator.steps)
        return result

    def _arguments(self, call: s.Apply, callee: TemplateValue, env: Environment) -> tuple[Environment, frozenset[str]]:
        """The environment of a template's body, and the parameters that the call passes."""
        template = callee.template
        bound = self._bound(call, callee, id(template) if not callee.arguments else "").named
        inner = Environment(callee.environment)
        inner.turn = None
        filled = dict(callee.arguments)
        failed: list[Diagnostic] = []
        unsettled = False
        for formal in template.parameters:
            name = formal.name.text
            try:
                if name in bound:
                    inner.names[name] = self.evaluator.bound(bound[name].value, env)
                elif name in filled:
                    inner.names[name] = filled[name]
                else:
                    assert formal.default is not None
                    inner.names[name] = self.evaluator.bound(formal.default, inner)
                if type(inner.names[name]) not in SCALARS:
                    self.evaluator.walk(inner.names[name], call.span)
            except ArchError as problem:
                failed += problem.diagnostics
                inner.names[name] = UNKNOWN
            except UnsettledError:
                unsettled = True
                inner.names[name] = UNKNOWN
        if failed:
            raise ArchError(failed)
        if unsettled:
            raise UnsettledError
        return inner, frozenset((*bound, *filled))

    def _operator(
        self, call: s.Apply, callee: OperatorValue, place: Place, env: Environment, inputs: list[Running], name: str
    ) -> Running:
        operator = callee.operator
        if not (call.arguments or callee.arguments or operator.name in self.network.defaults or operator.takes_values):
            return self._bare(call, operator, place, inputs[0], name)
        settled, spans = self.defaults(operator.name)
        known_as = operator.name if not (callee.arguments or settled) else ""
        bound = self._bound(call, callee, known_as, frozenset(settled))
        spans |= bound.spans
        arguments = dict(callee.arguments)
        for key, argument in bound.named.items():
            arguments[key] = self.evaluator.evaluate(argument.value, env)
        if settled:
            arguments = effective(operator.attributes, settled, arguments) | arguments
        for value in arguments.values():
            if type(value) is tuple:
                self.evaluator.steps += len(value)  # a kernel; the next expression compares the steps with the limit
            elif type(value) not in SCALARS:
                self.evaluator.walk(value, call.span)
        taken: list[GraphValue] = []
        for x in inputs:
            if type(x) is GraphValue:
                taken.append(x)
            elif x is not None:
                taken += self._taken(operator, x, call.callee.span)
        for argument in bound.values:
            taken += self._taken(operator, self._flow(argument.value, env), argument.value.span, argument)
        places = {**spans, **callee.places} if callee.places else spans
        attributes = self.validated(call.span, operator.name, arguments, places, taken[0] if taken else None)
        if None in inputs:
            return None
        most = operator.inputs[1]
        if most is not None and len(taken) > most:
            message = f"`{operator.name}` takes at most {most - 1} other value; found {len(taken) - 1}"
            raise error("E203", message, bound.values[most - 1].span)
        if (operator.merges and len(taken) == 1) or operator.algebra.acts == "never":
            return taken[0]
        return self.put_node(operator.name, attributes, taken, place.scope, name, call.span, spans)

    def _bare(self, call: s.Apply, operator: Operator, place: Place, x: Running, name: str) -> Running:
        """An operator without arguments and without defaults of the network; its attributes are cached."""
        first = x if x is None or type(x) is GraphValue else x[0]
        key = operator.name, len(first.shape) if first is not None else 0
        attributes = self._bares.get(key)
        if attributes is None:
            self._bound(call, OperatorValue(operator), operator.name)
            attributes = self._bares[key] = self.validated(call.span, operator.name, {}, {}, first)
        if x is None or operator.algebra.acts == "never":
            return x
        values = [x] if type(x) is GraphValue else [*self._taken(operator, x, call.callee.span)]
        return self.put_node(operator.name, attributes, values, place.scope, name, call.span)

    def _taken(
        self, operator: Operator, x: Flow, span: Span, argument: s.CallArgument | None = None
    ) -> tuple[GraphValue, ...]:
        """The values that an operator takes for the running value or an argument: a merge takes those of a list."""
        if type(x) is GraphValue:
            return (x,)
        if operator.merges:
            self.evaluator.step(span, len(x))
            return x
        subject = "the running value" if argument is None else f"`{argument.value.span.text[:40]}`"
        message = f"`{operator.name}` takes one value; {subject} is a list of {values_text(len(x))}"
        hint = "choose one, `use NAME[0]`, or merge them: `add`, `concat`"
        if argument is not None:
            hint = f"choose one: `{argument.value.span.text[:40]}[0]`"
        raise error("E204", message, span, hint=hint)

    def _bound(
        self, call: s.Apply, callee: OperatorValue | TemplateValue, name: object, optional: frozenset[str] = frozenset()
    ) -> BoundArguments:
        """The matched arguments of a call, cached for a callee with a name and no filled-in arguments.

        The network's defaults give the arguments `optional`.
        """
        key = id(call), name
        known = self._cache.matched.get(key) if name else None
        if known is not None:
            return known[1]
        signature = signature_of(callee)
        if optional:
            signature = signature._replace(required=signature.required - optional)
        bound = bind(signature, call.arguments, callee_span=call.callee.span)
        if name:
            self._cache.matched[key] = call, bound  # the call must stay alive, because its identity is the key
        return bound


def _scalar(argument: tuple[str, Any]) -> tuple[str, Any]:
    """A template's argument as the graph stores it: a plain value or an operator's name, else None."""
    name, value = argument
    if isinstance(value, OperatorValue):
        return name, value.operator.name
    return name, value if type(value) in SCALARS or type(value) is tuple else None


def _as_operator(problem: ArchError, call: s.Apply, env: Environment) -> ArchError:
    """The error for a statement with an unknown name, with a hint of an operator or template."""
    first = problem.diagnostics[0]
    if first.code != "E101":
        return problem
    known = {
        name for name in env.all_names() if isinstance(env.find(name), OperatorValue | TemplateValue | SharedValue)
    }
    hint = did_you_mean(call.callee.text, known | set(OPERATORS)) or first.hint
    return error("E101", f"unknown operator or template `{call.callee.text}`", call.callee.span, hint=hint)
