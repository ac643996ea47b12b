"""Estimates the size of a network before it is expanded.

The estimate follows the statements as expansion does, but without shapes and nodes; calls with equal arguments are
counted once. If a size depends on shapes, its smallest value counts, so the estimate is a lower bound. A spec whose
estimate exceeds the limits is refused at once; expansion itself holds the exact limit.
"""

from __future__ import annotations

from typing import Any

from resnext_dsl.expansion.graph_builder import too_many
from resnext_dsl.expansion.splits import turn_of
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.semantics.bound_network import BoundNetwork
from resnext_dsl.semantics.evaluate import CONTEXT, Interpreter
from resnext_dsl.semantics.signature import bind, signature_of
from resnext_dsl.semantics.values import (
    MISSING,
    SCALARS,
    UNKNOWN,
    Environment,
    List,
    OperatorValue,
    TemplateValue,
    UnsettledError,
)
from resnext_dsl.syntax import nodes as s

CONCRETE_PASSES = 2000
"""The number of passes that are counted one by one; after that, a pass counts with its smallest size."""


class SizeEstimate:
    """A lower bound on operators and on steps."""

    __slots__ = ("nodes", "steps")

    def __init__(self, nodes: int = 0, steps: int = 0) -> None:
        self.nodes = nodes
        self.steps = steps

    def __add__(self, other: SizeEstimate) -> SizeEstimate:
        return SizeEstimate(self.nodes + other.nodes, self.steps + other.steps)

    def times(self, count: int) -> SizeEstimate:
        """The size of `count` passes, each of which is a step too."""
        return SizeEstimate(self.nodes * count, (self.steps + 1) * count)


class Counter:
    """Estimates the size of one network."""

    def __init__(self, network: BoundNetwork, options: Options) -> None:
        self.network = network
        self.options = options
        self.evaluator = Interpreter(options, _nothing_flows, quiet=True)
        self._counted: dict[Any, SizeEstimate] = {}
        self._passes = 0
        self._depth = 0
        self._open: list[s.Template] = []  # the templates whose calls are counted
        self._unsettled = 0  # conditions around the current statement whose truth depends on shapes

    def check(self) -> None:
        """Refuses a network that is too large.

        Raises:
            ArchError: E405 with the estimated number of operators.
        """
        env = Environment(self.network.environment)
        total = SizeEstimate()
        for entry in self.network.entries:
            total += self._entry(entry, env)
            if total.nodes > self.options.max_nodes:
                raise too_many(entry.span, self.options.max_nodes, total.nodes)
            if total.steps > self.options.max_steps:
                message = f"the spec needs about {total.steps} steps; at most {self.options.max_steps} are allowed"
                raise error("E405", message, entry.span, hint="the option `max_steps` sets the limit")

    def _entry(self, entry: s.Entry, env: Environment) -> SizeEstimate:
        declared, env = env, self.network.names_of(entry, env)
        if env is not declared:
            env = Environment(env, dict(declared.names))
        if isinstance(entry, s.PartDeclaration):
            if entry.times is None:
                return self._block(entry.body, env)
            return self._repeated(entry.times, entry.counter, entry.body, env)
        if isinstance(entry, s.OutputDeclaration):
            return self._block(entry.body, env) if entry.body is not None else SizeEstimate()
        return self._statement(entry, env)  # type: ignore[arg-type]

    def _block(self, block: s.Block, env: Environment) -> SizeEstimate:
        if self._depth >= self.options.max_calls:
            return SizeEstimate()
        self._depth += 1
        inner = Environment(env)
        total = SizeEstimate()
        for statement in block.statements:
            total += self._statement(statement, inner)
        self._depth -= 1
        return total

    def _statement(self, statement: s.Statement, env: Environment) -> SizeEstimate:
        try:
            if isinstance(statement, s.Let):
                env.names[statement.name.text] = UNKNOWN
                env.names[statement.name.text] = self.evaluator.evaluate(statement.value, env)
            elif isinstance(statement, s.Shared):
                self._declare(statement, env)
            elif isinstance(statement, s.Apply):
                return self._apply(statement, env)
            elif isinstance(statement, s.Repeat):
                return self._repeated(statement.times, statement.counter, statement.body, env)
            elif isinstance(statement, s.ForEach):
                return self._for(statement, env)
            elif isinstance(statement, s.If):
                return self._condition(statement, env)
            elif isinstance(statement, s.Split):
                return self._split(statement, env)
            elif isinstance(statement, s.Residual):
                body = self._block(statement.body, env)
                always = not any(one.name is not None and one.name.text == "when" for one in statement.arguments)
                if statement.shortcut is None or not always:
                    return body
                return body + self._block(statement.shortcut, env)
        except (ArchError, UnsettledError):
            pass  # expansion reports it
        return SizeEstimate()

    def _declare(self, statement: s.Shared, env: Environment) -> None:
        """A use of a shared instance has the size of a call with its arguments."""
        env.names[statement.name.text] = UNKNOWN
        callee = self.evaluator.find(statement.call.callee, env)
        if isinstance(callee, OperatorValue | TemplateValue):
            env.names[statement.name.text] = self.evaluator.fill_in(callee, statement.call.arguments, env)

    def _apply(self, call: s.Apply, env: Environment) -> SizeEstimate:
        callee = self.evaluator.find(call.callee, env)
        if isinstance(callee, OperatorValue):
            return SizeEstimate(1 - callee.operator.merges, 1)
        if not isinstance(callee, TemplateValue):
            return SizeEstimate()
        inner = self._arguments(call, callee, env)
        for value in inner.names.values():
            if type(value) not in SCALARS:
                self.evaluator.walk(value, call.span)
        key = (id(callee.template), tuple(inner.names.items()))
        if key not in self._counted:
            if self._unsettled and callee.template in self._open:
                return SizeEstimate()  # the condition may end the recursion here
            self._counted[key] = SizeEstimate()
            self._open.append(callee.template)
            self._counted[key] = SizeEstimate(0, 1) + self._block(callee.template.body, inner)
            self._open.pop()
        return self._counted[key]

    def _arguments(self, call: s.Apply, callee: TemplateValue, env: Environment) -> Environment:
        bound = bind(signature_of(callee), call.arguments).named
        filled = dict(callee.arguments)
        inner = Environment(callee.environment)
        inner.turn = None
        for formal in callee.template.parameters:
            name = formal.name.text
            if name in bound:
                inner.names[name] = self._known(bound[name].value, env)
            elif name in filled:
                inner.names[name] = filled[name]
            elif formal.default is not None:
                inner.names[name] = self._known(formal.default, inner)
        return inner

    def _known(self, expression: s.Expression, env: Environment) -> Any:
        try:
            return self.evaluator.evaluate(expression, env)
        except (ArchError, UnsettledError):
            return UNKNOWN

    def _repeated(self, count: s.Expression, index: s.Name | None, body: s.Block, env: Environment) -> SizeEstimate:
        try:
            passes = self.evaluator.whole(count, env, "the number of passes")
        except (ArchError, UnsettledError):
            return SizeEstimate()
        return self._turns(passes, index, body, env)

    def _turns(self, passes: int, index: s.Name | None, body: s.Block, env: Environment) -> SizeEstimate:
        """The size of all passes: counted one by one if they are few, else the smallest size of one, multiplied."""
        if passes <= 0:
            return SizeEstimate()
        if passes > 4 and self._passes + passes > CONCRETE_PASSES:
            return self._pass(body, env, None, passes, index).times(passes)
        self._passes += passes
        total = SizeEstimate(0, passes)
        for turn in range(passes):
            total += self._pass(body, env, turn, passes, index)
            if total.nodes > self.options.max_nodes:
                left = passes - turn - 1
                return total + self._pass(body, env, None, passes, index).times(left)
        return total

    def _pass(
        self, body: s.Block, env: Environment, turn: int | None, passes: int, index: s.Name | None
    ) -> SizeEstimate:
        inner = Environment(env)
        # Without a known pass, `first` and `last` give their second argument: pass 1 of 3 is neither the first nor the
        # last.
        inner.turn = (turn, passes) if turn is not None else (1, 3)
        if index is not None:
            inner.names[index.text] = turn if turn is not None else UNKNOWN
        return self._block(body, inner)

    def _for(self, statement: s.ForEach, env: Environment) -> SizeEstimate:
        elements = self.evaluator.elements(statement.iterable, env)
        total = SizeEstimate(0, len(elements))
        for turn, element in enumerate(elements):
            inner = Environment(env)
            inner.turn = (turn, len(elements))
            self.evaluator.unpack(statement.targets, element, statement.iterable.span, inner)
            total += self._block(statement.body, inner)
        return total

    def _condition(self, statement: s.If, env: Environment) -> SizeEstimate:
        least: SizeEstimate | None = None
        outer = self._unsettled
        try:
            for condition, block in statement.branches:
                try:
                    holds = self.evaluator.truth(condition, env)
                except (ArchError, UnsettledError):
                    self._unsettled += 1
                    least = _least(least, self._block(block, env))
                    continue
                if holds:
                    return _least(least, self._block(block, env))
            otherwise = self._block(statement.otherwise, env) if statement.otherwise is not None else SizeEstimate()
            return _least(least, otherwise)
        finally:
            self._unsettled = outer

    def _split(self, statement: s.Split, env: Environment) -> SizeEstimate:
        merges = statement.merge.callee.text != s.LIST
        if statement.body is None:
            listed = all(isinstance(path, s.Block) for path in statement.paths)
            total = SizeEstimate(1 if listed and merges else 0, 1)
            for path in statement.paths:
                total += self._listed(path, env)
            return total
        if statement.times is None:
            return SizeEstimate()
        widths = self.evaluator.evaluate(statement.times, env) if statement.sliced else None
        if isinstance(widths, List):
            count = len(widths)
        else:
            count = self.evaluator.whole(statement.times, env, "the number of paths")
        merge = SizeEstimate(1 if count > 1 and merges else 0, 1)
        slices = SizeEstimate(count if statement.sliced else 0, 0)
        if statement.counter is None:  # paths without a number are alike
            return merge + slices + self._block(statement.body, env).times(count)
        return merge + slices + self._turns(count, statement.counter, statement.body, env)

    def _listed(self, path: s.ListedPath, env: Environment) -> SizeEstimate:
        """The size of the paths that an item of a list of paths stands for."""
        if isinstance(path, s.Block):
            return self._block(path, env)
        total = SizeEstimate()
        try:
            if isinstance(path, s.PathIf):
                for condition, branch in path.branches:
                    if self.evaluator.truth(condition, env):
                        return self._all_listed(branch, Environment(env))
                return self._all_listed(path.otherwise or (), Environment(env))
            if isinstance(path, s.PathRepeat):
                passes = self.evaluator.whole(path.times, env, "the number of passes")
                if passes > 4 and self._passes + passes > CONCRETE_PASSES:
                    inner = turn_of(env, 1, 3, None)  # neither the first pass nor the last
                    inner.names.update({path.counter.text: UNKNOWN} if path.counter is not None else {})
                    return self._all_listed(path.paths, inner).times(passes)
                self._passes += passes
                for turn in range(passes):
                    total += SizeEstimate(0, 1) + self._all_listed(path.paths, turn_of(env, turn, passes, path.counter))
                return total
            elements = self.evaluator.elements(path.iterable, env)
            for turn, element in enumerate(elements):
                inner = turn_of(env, turn, len(elements), None)
                self.evaluator.unpack(path.targets, element, path.iterable.span, inner)
                total += SizeEstimate(0, 1) + self._all_listed(path.paths, inner)
        except (ArchError, UnsettledError):
            pass  # expansion reports it
        return total

    def _all_listed(self, paths: tuple[s.ListedPath, ...], env: Environment) -> SizeEstimate:
        return sum((self._listed(path, env) for path in paths), SizeEstimate())


def _least(left: SizeEstimate | None, right: SizeEstimate) -> SizeEstimate:
    return right if left is None else SizeEstimate(min(left.nodes, right.nodes), min(left.steps, right.steps))


def _nothing_flows(name: str) -> Any:
    if name in CONTEXT:
        raise UnsettledError
    return MISSING


def check_size(network: BoundNetwork, options: Options) -> None:
    """Refuses a network that would expand beyond the bounds (`Counter.check`)."""
    Counter(network, options).check()
