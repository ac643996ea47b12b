"""Runs the statements of a bound network and builds its graph with all shapes.

One mistake gives one error: the value of a failed statement is unknown, and statements that depend on it report
nothing. A mistake in a template is reported for its first call only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.expansion.graph_builder import Running, join
from resnext_dsl.expansion.shortcuts import shortcut
from resnext_dsl.expansion.splits import SplitExpander, turn_of
from resnext_dsl.expansion.template_calls import Frame, Place
from resnext_dsl.foundation.diagnostics import Diagnostic, Note, Span, error
from resnext_dsl.graph.ir import Graph, Output, Part
from resnext_dsl.operators import OPERATORS, validate
from resnext_dsl.semantics.evaluate import SHORTCUTS
from resnext_dsl.semantics.naming import Names, safe, single_call, statement_names
from resnext_dsl.semantics.signature import Signature, bind
from resnext_dsl.semantics.values import (
    UNKNOWN,
    Environment,
    Flow,
    GraphValue,
    List,
    OperatorValue,
    SharedValue,
    TemplateValue,
    show_shape,
    values_of,
    values_text,
)
from resnext_dsl.syntax import nodes as s

RESIDUAL = Signature("residual", ("shortcut", "when"), frozenset())


class Expander(SplitExpander):
    """Expands one network; as a `Draft`, it contains the graph so far."""

    depth = 0

    def expand(self) -> Graph:
        """The graph; it is valid only if `diagnostics` has no error."""
        self.run()
        graph = Graph(self.network.name, tuple(self.nodes), self.scopes, tuple(self.parts), tuple(self.outputs))
        return graph if self.diagnostics else self.pruned(graph)

    def run(self) -> None:
        """Runs every entry of the network and adds its main output."""
        network = self.network
        self.put_scope("", "network", network.name, network.span)
        x: Running = self.put_input()
        names = statement_names(network.span, network.entries, network.input_name)
        frame = Frame(x, x)
        place = Place(frame, "", names)
        if network.input_name is not None:
            frame.values[network.input_name.text] = x if x is not None else UNKNOWN
        env = Environment(network.environment)
        for entry in network.entries:
            x = self._entry(entry, place, env, x)
        if x is not None:
            if not self.diagnostics and all(value.node == 0 for value in values_of(x)):
                self.note(Diagnostic("E305", f"network `{network.name}` has no operators", network.span))
            self.outputs[:0] = _results("main", x)
        self.evaluator.context = None  # a reference cycle would wait for the garbage collector

    # --- the network's own entries ---

    def _entry(self, entry: s.Entry, place: Place, env: Environment, x: Running) -> Running:
        self._frame = place.frame
        place.frame.here = x
        declared, env = env, self.network.names_of(entry, env)
        if env is not declared:
            env = Environment(env, dict(declared.names))  # an entry of a derived network sees the instances of its base
        if isinstance(entry, s.PartDeclaration):
            return self._part(entry, place, env, x)
        if isinstance(entry, s.OutputDeclaration):
            self.guarded(self._output, entry, place, env, x)
            return x
        return self._statement(entry, place, env, x)  # type: ignore[arg-type]

    def _part(self, part: s.PartDeclaration, place: Place, env: Environment, x: Running) -> Running:
        name = safe(part.name.text)
        label = f"{part.kind} `{part.name.text}`" if part.kind == "stage" else f"the {part.kind}"
        outer = self.trail
        if part.times is None:
            self.put_scope(name, "part", name, part.span)
            self.trail = (*outer, Note(label, part.name.span))
            x = self._pass(part.body, place.frame, env, name, x)
        else:
            self.put_scope(name, "passes", name, part.span)
            count = self.guarded(self.evaluator.whole, part.times, env, "the number of passes")

            def run(turn: int, x: Running) -> Running:
                self.trail = (*outer, Note(f"{label}, pass {turn}", part.name.span))
                inner = turn_of(env, turn, count, part.counter)
                self.put_scope(f"{name}.{turn}", "pass", str(turn), part.span)
                return self._pass(part.body, place.frame, inner, f"{name}.{turn}", x)

            x = self.in_turn(count, run, x) if count is not None else None
        self.trail = outer
        if x is not None:
            self.parts.append(Part(name, part.kind, values_of(x)[0].node))  # type: ignore[arg-type]
        place.frame.values[part.name.text] = x if x is not None else UNKNOWN
        return self._named(part.aliases, place.frame, x)

    def _pass(self, body: s.Block, frame: Frame, env: Environment, scope: str, x: Running) -> Running:
        """One pass of a part; `channels_in` refers to the input of the pass."""
        outer = frame.entry
        frame.entry = x
        try:
            return self._body(body, frame, Environment(env), scope, x)
        finally:
            frame.entry = outer

    def _output(self, output: s.OutputDeclaration, place: Place, env: Environment, x: Running) -> None:
        name = output.name.text
        if output.when is not None and output.when.text != "training":
            raise error(
                "E105",
                f"the condition of an output can only be `when training`; found `{output.when.text}`",
                output.when.span,
            )
        if name == "main":
            message = "`main` is the name of the output of the network itself"
            raise error("E102", message, output.name.span, hint="give this output another name")
        if safe(name) in self.scopes:
            raise error("E102", f"`{name}` is declared twice", output.name.span)
        value = x if output.value is None else self._flow(output.value, env)
        if output.body is not None and value is not None:
            value = self._output_body(output, output.body, place, env, value)
            if value is not None:
                self.parts.append(Part(safe(name), "output", values_of(value)[0].node))
        if value is not None:
            self.outputs += _results(safe(name), value, output.when is not None)

    def _output_body(
        self, output: s.OutputDeclaration, body: s.Block, place: Place, env: Environment, x: Flow
    ) -> Running:
        """The value of the body of an output; of a list, the body runs on each value in a scope of its own."""
        name = safe(output.name.text)
        outer, label = self.trail, f"output `{output.name.text}`"
        if type(x) is GraphValue:
            self.put_scope(name, "part", name, output.span)
            self.trail = (*outer, Note(label, output.name.span))
            value = self._pass(body, place.frame, env, name, x)
            self.trail = outer
            return value
        self.put_scope(name, "paths", name, output.span)
        values: list[Running] = []
        for k, start in enumerate(x):
            self.evaluator.step(output.span)
            self.put_scope(f"{name}.{k}", "path", str(k), output.span)
            self.trail = (*outer, Note(f"{label}, value {k}", output.name.span))
            place.frame.here = start
            values.append(self._pass(body, place.frame, env, f"{name}.{k}", start))
        self.trail, place.frame.here = outer, x
        several = next((value for value in values if isinstance(value, List)), None)
        if several is not None:
            message = f"the body of an output of a list must end in one value; it gives {values_text(len(several))}"
            raise error("E204", message, output.name.span, hint="merge them, or state an output for each")
        return List(values) if all(value is not None for value in values) else None

    # --- bodies ---

    def _body(
        self, block: s.Block, frame: Frame, env: Environment, scope: str, x: Running, reserved: tuple[str, ...] = ()
    ) -> Running:
        """A body with its own scope; a body of a single template call gives its scope to that call."""
        names = self._names_of(block, reserved)
        call = single_call(block)
        if call is not None and x is not None:
            for statement in block.statements:
                if isinstance(statement, s.Let):
                    self._statement(statement, Place(frame, scope, names), env, x)
            self._frame = frame
            frame.here = x
            callee = self.guarded(self._callee, call, env)
            if callee is None:
                return None
            if isinstance(callee, TemplateValue):
                result = self.guarded(self._template, call, callee, env, scope, x)
                return self._named(call.aliases, frame, result)
            return self._statement(call, Place(frame, scope, names), env, x)
        return self._block(block, Place(frame, scope, names), env, x)

    def _names_of(self, block: s.Block, reserved: tuple[str, ...]) -> Names:
        key = (id(block), reserved)
        names = self._cache.names.get(key)
        if names is None:
            names = self._cache.names[key] = Names(block, reserved)
        return names

    def _block(self, block: s.Block, place: Place, env: Environment, x: Running) -> Running:
        """Runs statements in order; their constants are visible to the end of the block."""
        if self.depth >= self.options.max_calls:
            raise self.too_deep(block.span)
        self.depth += 1
        for statement in block.statements:
            x = self._statement(statement, place, env, x)
        self.depth -= 1
        return x

    def _statement(self, statement: s.Statement, place: Place, env: Environment, x: Running) -> Running:
        frame = place.frame
        self._frame = frame
        frame.here = x
        run = _RUN.get(type(statement))
        if run is not None:
            self.evaluator.step(statement.span)
            depth = self.depth
            x = self.guarded(run, self, statement, place, env, x)
            self.depth = depth
        elif isinstance(statement, s.Let):
            value = self.guarded(self.evaluator.bound, statement.value, env)
            env.names[statement.name.text] = value if value is not None else UNKNOWN
            return x
        elif isinstance(statement, s.Shared):
            instance = self.guarded(self.declared, statement, place, env)
            env.names[statement.name.text] = instance if instance is not None else UNKNOWN
            return x
        elif isinstance(statement, s.Use):
            x = self.guarded(self._flow, statement.value, env)
        aliases = statement.aliases  # type: ignore[union-attr]
        return self._named(aliases, frame, x) if aliases else x

    def _apply(self, call: s.Apply, place: Place, env: Environment, x: Running) -> Running:
        callee = self._callee(call, env)
        name = place.names.of(call)
        if type(callee) is OperatorValue:
            return self._operator(call, callee, place, env, [x], name)
        if isinstance(callee, TemplateValue):
            return self._template(call, callee, env, join(place.scope, name), x)
        assert isinstance(callee, SharedValue)
        return self.used(call, callee, place, env, x)

    # --- statements with bodies ---

    def _repeat(self, statement: s.Repeat, place: Place, env: Environment, x: Running) -> Running:
        count = self.evaluator.whole(statement.times, env, "the number of passes")
        return self._passes(statement, place, lambda turn: turn_of(env, turn, count, statement.counter), count, x)

    def _for(self, statement: s.ForEach, place: Place, env: Environment, x: Running) -> Running:
        elements = self.evaluator.elements(statement.iterable, env)

        def environment(turn: int) -> Environment:
            inner = turn_of(env, turn, len(elements), None)
            self.evaluator.unpack(statement.targets, elements[turn], statement.iterable.span, inner)
            return inner

        return self._passes(statement, place, environment, len(elements), x)

    def _passes(
        self,
        statement: s.Repeat | s.ForEach,
        place: Place,
        environment: Callable[[int], Environment],
        count: int,
        x: Running,
    ) -> Running:
        scope = join(place.scope, place.names.of(statement))
        self.put_scope(scope, "passes", place.names.of(statement), statement.span)

        def run(turn: int, x: Running) -> Running:
            self.evaluator.step(statement.span)
            self.put_scope(f"{scope}.{turn}", "pass", str(turn), statement.span)
            return self._body(statement.body, place.frame, environment(turn), f"{scope}.{turn}", x)

        return self.in_turn(count, run, x)

    def in_turn(self, count: int, run: Callable[[int, Running], Running], x: Running) -> Running:
        """The value after `count` passes; each pass takes the value of the pass before it."""
        for turn in range(count):
            x = run(turn, x)
        return x

    def _condition(self, statement: s.If, place: Place, env: Environment, x: Running) -> Running:
        for condition, block in statement.branches:
            if self.evaluator.truth(condition, env):
                return self._block(block, place, Environment(env), x)
        if statement.otherwise is not None:
            return self._block(statement.otherwise, place, Environment(env), x)
        return x

    def _residual(self, statement: s.Residual, place: Place, env: Environment, x: Running) -> Running:
        arguments = bind(RESIDUAL, statement.arguments).named
        kind = self._shortcut_kind(statement, arguments.get("shortcut"), env)
        adds = "when" not in arguments or self.evaluator.truth(arguments["when"].value, env)
        body = self._block(statement.body, place, Environment(env), x)
        if x is None or body is None:
            return None
        if not adds:
            return body
        body = self._single(statement, "its body gives", "merge them at the end of the body: `add`, `concat`", body)
        self._frame = place.frame
        place.frame.here = x
        scope = join(place.scope, place.names.of(statement, "shortcut"))
        if statement.shortcut is not None:
            self.put_scope(scope, "shortcut", "shortcut", statement.shortcut.span)
            end = self._body(statement.shortcut, place.frame, Environment(env), scope, x)
            if end is None:
                return None
            hint = "merge them at the end of the shortcut: `add`, `concat`"
            return self._add(statement, place, body, self._single(statement, "its shortcut gives", hint, end))
        hint = "choose one, `use NAME[0]`, or add a `shortcut { ... }` that merges them"
        x = self._single(statement, "its input is", hint, x)
        if kind == "skip" and x.shape != body.shape:
            return body
        return self._add(statement, place, body, shortcut(self, kind, statement, scope, x, body))

    def _single(self, statement: s.Residual, subject: str, hint: str, x: Flow) -> GraphValue:
        """A value that a residual adds, which must not be a list."""
        if type(x) is GraphValue:
            return x
        message = f"a residual adds one value to another; {subject} a list of {values_text(len(x))}"
        raise error("E204", message, _word(statement), hint=hint)

    def _add(self, statement: s.Residual, place: Place, body: GraphValue, other: GraphValue) -> GraphValue:
        if body.shape != other.shape:
            shapes = f"the body has {show_shape(body.shape)}, the shortcut has {show_shape(other.shape)}"
            stated = any(one.name is None or one.name.text == "shortcut" for one in statement.arguments)
            hint = "`shortcut=auto` projects if the shapes differ" if stated else ""
            span = _word(statement)
            notes = self.origins([body, other])
            raise error("E304", f"a residual adds values of equal shape: {shapes}", span, hint=hint, notes=notes)
        name = place.names.of(statement, "add")
        return self.put_node("add", validate(OPERATORS["add"], {}), [body, other], place.scope, name, statement.span)

    def _shortcut_kind(self, statement: s.Residual, argument: s.CallArgument | None, env: Environment) -> str:
        if argument is None:
            return "auto"
        if statement.shortcut is not None:
            message = "a residual with a `shortcut { ... }` takes no `shortcut=`"
            raise error("E203", message, argument.span)
        kind = self.evaluator.evaluate(argument.value, env)
        word = kind.operator.name if isinstance(kind, OperatorValue) else kind
        if not isinstance(word, str) or word not in SHORTCUTS:
            hint = f"kinds: {', '.join(SHORTCUTS)}"
            raise error(
                "E205", f"`{argument.value.span.text[:40]}` is not a kind of shortcut", argument.span, hint=hint
            )
        return word


def _word(statement: s.Residual) -> Span:
    """The place of the word `residual`."""
    return Span(statement.span.source, statement.span.start, statement.span.start + len("residual"))


def _results(name: str, x: Flow, training_only: bool = False) -> list[Output]:
    """A result of the network, or one for each value of a list: `NAME.0`, `NAME.1`, ..."""
    if type(x) is GraphValue:
        return [Output(name, x.node, training_only)]
    return [Output(f"{name}.{k}", value.node, training_only) for k, value in enumerate(x)]


_RUN: dict[type, Callable[[Expander, Any, Place, Environment, Running], Running]] = {
    s.Apply: Expander._apply,
    s.Repeat: Expander._repeat,
    s.ForEach: Expander._for,
    s.If: Expander._condition,
    s.Split: Expander.split,
    s.Residual: Expander._residual,
}
