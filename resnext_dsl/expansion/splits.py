"""Expands splits: the paths that a split counts or lists, the slices that they take, and the merge."""

from __future__ import annotations

from resnext_dsl.expansion.graph_builder import Running, join, too_many
from resnext_dsl.expansion.shared_instances import InstanceExpander
from resnext_dsl.expansion.template_calls import Place
from resnext_dsl.foundation.diagnostics import Span, error
from resnext_dsl.operators import OPERATORS, validate
from resnext_dsl.operators.base import is_int
from resnext_dsl.semantics.values import (
    Environment,
    Flow,
    GraphValue,
    List,
    OperatorValue,
    show,
    values_of,
    values_text,
)
from resnext_dsl.syntax import nodes as s


class SplitExpander(InstanceExpander):
    """Expands splits; `Expander` adds the other statements."""

    def split(self, statement: s.Split, place: Place, env: Environment, x: Running) -> Running:
        """The merged value of the paths, or the list of their values."""
        merge = self._merge(statement, env)
        paths, widths = self._paths(statement, env)
        if x is None:
            return None
        scope = join(place.scope, place.names.of(statement, "paths"))
        self.put_scope(scope, "paths", place.names.of(statement, "paths"), statement.span)
        starts = self._starts(statement, scope, len(paths), widths, x)
        ends: list[Running] = []
        reserved = ("slice",) if statement.sliced else ()
        for k, ((body, inner), start) in enumerate(zip(paths, starts, strict=True)):
            place.frame.here = start
            ends.append(self._body(body, place.frame, inner, f"{scope}.{k}", start, reserved))
        self._frame = place.frame
        place.frame.here = x
        if merge is None:
            return self._list_of(statement, ends)
        name = place.names.of(statement, "merge")
        return self._operator(statement.merge, merge, place, env, ends, name)

    def _list_of(self, statement: s.Split, ends: list[Running]) -> Running:
        """The values of the paths as a list; a path that ends in a list adds all its values."""
        values = List(value for end in ends if end is not None for value in values_of(end))
        self.evaluator.step(statement.merge.span, len(values))
        return values if all(end is not None for end in ends) else None

    def _merge(self, statement: s.Split, env: Environment) -> OperatorValue | None:
        """The operator that merges the paths; None for `merge list`, which keeps them apart."""
        if statement.merge.callee.text == s.LIST:
            if statement.merge.arguments:
                message = "`merge list` takes no arguments"
                hint = "the list has the values of the paths; `use` adds others: `use value_here + [a]`"
                raise error("E203", message, statement.merge.arguments[0].span, hint=hint)
            return None
        merge = self._callee(statement.merge, env)
        if isinstance(merge, OperatorValue) and merge.operator.merges:
            return merge
        known = [*(name for name, operator in OPERATORS.items() if operator.merges), s.LIST]
        text = statement.merge.callee.text
        raise error(
            "E207", f"`{text}` does not merge values", statement.merge.callee.span, hint=f"merges: {', '.join(known)}"
        )

    def _paths(
        self, statement: s.Split, env: Environment
    ) -> tuple[list[tuple[s.Block, Environment]], tuple[int, ...] | None]:
        """The body of each path with its environment, and the widths of their slices if the split states them."""
        widths = self._widths(statement, env)
        if statement.body is None:
            paths: list[tuple[s.Block, Environment]] = []
            self._list(statement.paths, env, paths)
            if statement.times is not None and widths is None:
                message = "a split with listed paths takes no count"
                hint = "remove the count: the list gives the number of paths"
                raise error("E105", message, statement.times.span, hint=hint)
            if not paths:
                message = "a split needs at least one path; no condition of its paths holds"
                raise error("E205", message, statement.span, hint="add a path without a condition")
            if statement.times is not None and widths is not None and len(widths) != len(paths):
                message = f"the number of widths (={len(widths)}) must be the number of paths (={len(paths)})"
                raise error("E205", message, statement.times.span, hint="each path takes one slice")
            return paths, widths
        if statement.times is None:
            hint = "write `split N { ... }`, or list the paths: `split { path { ... } ... }`"
            raise error("E202", "a split needs the number of its paths", statement.span, hint=hint)
        if widths is not None:
            count = len(widths)
        else:
            hint = "" if statement.sliced else "`split WIDTHS slice` gives each path a slice of the channels"
            count = self.evaluator.whole(statement.times, env, "the number of paths", least=1, hint=hint)
        if count > self.options.max_nodes:
            raise too_many(statement.times.span, self.options.max_nodes)
        return [(statement.body, indexed(env, k, statement.counter)) for k in range(count)], widths

    def _list(
        self, paths: tuple[s.ListedPath, ...], env: Environment, bodies: list[tuple[s.Block, Environment]]
    ) -> None:
        """Adds the paths that a split lists, in order: the paths of each pass, and those of the branch that holds."""
        for path in paths:
            self.evaluator.step(path.span)
            if isinstance(path, s.Block):
                if len(bodies) >= self.options.max_nodes:
                    raise too_many(path.span, self.options.max_nodes)
                bodies.append((path, Environment(env)))
            elif isinstance(path, s.PathIf):
                for condition, branch in path.branches:
                    if self.evaluator.truth(condition, env):
                        self._list(branch, env, bodies)
                        break
                else:
                    self._list(path.otherwise or (), env, bodies)
            elif isinstance(path, s.PathRepeat):
                count = self.evaluator.whole(path.times, env, "the number of passes")
                for turn in range(count):
                    self.evaluator.step(path.span)
                    self._list(path.paths, turn_of(env, turn, count, path.counter), bodies)
            else:
                elements = self.evaluator.elements(path.iterable, env)
                for turn, element in enumerate(elements):
                    inner = turn_of(env, turn, len(elements), None)
                    self.evaluator.unpack(path.targets, element, path.iterable.span, inner)
                    self._list(path.paths, inner, bodies)

    def _widths(self, statement: s.Split, env: Environment) -> tuple[int, ...] | None:
        """The widths of the slices of a split, if it states them as a list."""
        if statement.times is None or not statement.sliced:
            return None
        widths = self.evaluator.evaluate(statement.times, env)
        if not isinstance(widths, List):
            return None
        wrong = next((width for width in widths if not is_int(width) or width < 1), None)
        if wrong is not None or not widths:
            seen = "an empty list" if wrong is None else show(wrong)
            message = f"the widths of slices must be ints of at least 1; found {seen}"
            raise error("E205", message, statement.times.span)
        return tuple(widths)

    def _starts(
        self, statement: s.Split, scope: str, count: int, widths: tuple[int, ...] | None, x: Flow
    ) -> list[Flow]:
        """The input value of each path: the running value, or its slice of the channels."""
        for k in range(count):
            self.put_scope(f"{scope}.{k}", "path", str(k), statement.span)
        if not statement.sliced:
            return [x] * count
        if type(x) is not GraphValue:
            span = Span(statement.span.source, statement.span.start, statement.span.start + len("split"))
            message = f"`slice` cuts the channels of one value; the running value is a list of {values_text(len(x))}"
            raise error("E204", message, span, hint="choose one, `use NAME[0]`, or merge them: `concat`")
        if widths is not None and sum(widths) != x.shape[0]:
            message = f"the widths of the slices must add up to `channels` (={x.shape[0]}); their sum is {sum(widths)}"
            span = statement.times.span if statement.times is not None else statement.span
            raise error("E302", message, span, notes=self.origins([x]))
        row, start = OPERATORS["slice"], 0
        starts: list[Flow] = []
        for k, width in enumerate(widths or self._equal_widths(statement, count, x)):
            attributes = validate(row, {"start": start, "stop": start + width})
            starts.append(self.put_node("slice", attributes, [x], f"{scope}.{k}", "slice", statement.span))
            start += width
        return starts

    def _equal_widths(self, statement: s.Split, count: int, x: GraphValue) -> list[int]:
        channels = x.shape[0]
        if channels % count:
            low, high = channels // count * count, -(-channels // count) * count
            span = statement.times.span if statement.times is not None else statement.span
            message = f"`channels` (={channels}) must be divisible by the number of paths (={count})"
            hint = f"nearest: {high if high - channels <= channels - low or low == 0 else low}"
            raise error("E302", message, span, hint=hint, notes=self.origins([x]))
        return [channels // count] * count


def turn_of(env: Environment, turn: int, turns: int, index: s.Name | None) -> Environment:
    """The environment of one pass of a repeat."""
    inner = indexed(env, turn, index)
    inner.turn = (turn, turns)
    return inner


def indexed(env: Environment, number: int, index: s.Name | None) -> Environment:
    """The environment of one path or pass, with its number under the name of the counter."""
    return Environment(env, {index.text: number} if index is not None else {})
