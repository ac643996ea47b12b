"""Binds the budgets of a network: evaluates the bounds, parts and conditions of their limits.

`measures` has the table of measures. `usage` computes how much of each limit a network uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from resnext_dsl.budgets.measures import DTYPE, MEASURES, Measure, MeasureArgument
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, Note, Span, did_you_mean, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.units import UNITS
from resnext_dsl.graph.ir import Graph
from resnext_dsl.operators.base import REQUIRED, Shape
from resnext_dsl.semantics.bound_network import BoundNetwork, input_shape
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.naming import safe
from resnext_dsl.semantics.signature import Signature
from resnext_dsl.semantics.signature import bind as bind_arguments
from resnext_dsl.semantics.values import Environment, UnsettledError, show, show_shape
from resnext_dsl.syntax import nodes as s

SIDES = {"<=": ("upper",), "<": ("upper",), ">=": ("lower",), ">": ("lower",), "==": ("upper", "lower")}
"""Comparison -> the sides on which it bounds a measure."""

MOST_NAMED = 8
"""Most names that a hint lists if none of them is similar to the written one."""


class LimitConditions(NamedTuple):
    """The conditions under which a budget holds.

    Attributes:
        input: The input shape without batch; None for the declared one.
        dtype: The type of numbers, for the measures that depend on it.
        span: The place of the input shape in the spec.
    """

    input: Shape | None = None
    dtype: str = DTYPE.default
    span: Span | None = None

    def __str__(self) -> str:
        stated = [show_shape(self.input)] if self.input is not None else []
        return ", ".join([*stated, self.dtype] if self.dtype != DTYPE.default else stated)


class Limit(NamedTuple):
    """One bound of a budget: a measure of a network, or of a part of it, compared with a number.

    Attributes:
        budget: The name of the budget; "" for the budget without a name.
        measure: The name of its row in the table of measures.
        comparison: "<=", "<", ">=", ">" or "==".
        bound: The bound, in the base of the measure's unit.
        span: The place of the limit in the spec.
        part: The part, scope or operator that it limits; "" for the network.
        part_span: The place of the part's name in the spec.
        arguments: The arguments of the measure, in order.
        conditions: The conditions of the budget.
    """

    budget: str
    measure: str
    comparison: str
    bound: int | float
    span: Span
    part: str = ""
    part_span: Span | None = None
    arguments: tuple[tuple[str, Any], ...] = ()
    conditions: LimitConditions = LimitConditions()

    @property
    def row(self) -> Measure:
        """The row of its measure."""
        return MEASURES[self.measure]

    @property
    def subject(self) -> str:
        """The measure as a spec writes it: `conv3.flops`, `latency(cpu, 1)`."""
        name = f"{self.part}.{self.measure}" if self.part else self.measure
        return f"{name}({', '.join(str(value) for _, value in self.arguments)})" if self.arguments else name


def bind_limits(bound: BoundNetwork, evaluator: Interpreter) -> tuple[tuple[Limit, ...], list[Diagnostic]]:
    """The limits of a network in the order of the text, and the errors of limits that do not bind."""
    binder = _Binder(evaluator, bound.budget_names)
    for budget in bound.budgets:
        binder.budget(budget)
    return tuple(binder.limits), binder.diagnostics


def picked(limits: Sequence[Limit], declared: Iterable[str], names: Sequence[str], file: str) -> tuple[Limit, ...]:
    """The limits of the named budgets; of all budgets if none is named.

    Args:
        limits: All limits of a network.
        declared: The names of its budgets.
        names: The names to pick.
        file: The name of the spec file, for errors.

    Raises:
        ArchError: E101 for each name that no budget has.
    """
    known = [name for name in declared if name]
    listed = f"budgets: {', '.join(known)}" if known else "no budget has a name"
    wrong = [
        Diagnostic("E101", f"unknown budget `{name}`", hint=did_you_mean(name, known) or listed, file=file)
        for name in dict.fromkeys(names)
        if name not in known
    ]
    if wrong:
        raise ArchError(wrong)
    return tuple(limit for limit in limits if not names or limit.budget in names)


def misplaced(limits: Sequence[Limit], graph: Graph) -> list[Diagnostic]:
    """Diagnostics for the limits of parts that a graph does not have."""
    known = {node.name for node in graph.nodes} | {part.name for part in graph.parts} | set(graph.scopes)
    known |= {node.module_name for node in graph.nodes} | {scope.module_name for scope in graph.scopes.values()}
    wrong: list[Diagnostic] = []
    for limit in limits:
        if limit.part and limit.part not in known:
            parent = limit.part.rpartition(".")[0]
            near = sorted(name for name in known if name and name.rpartition(".")[0] == parent)
            inside = f"`{parent}` contains: " if parent and near else "parts: "
            listed = ", ".join(near[:MOST_NAMED] if parent and near else [part.name for part in graph.parts])
            hint = did_you_mean(limit.part, near) or did_you_mean(limit.part, known) or inside + listed
            message = f"network `{graph.name}` has no part `{limit.part}`"
            wrong.append(Diagnostic("E101", message, limit.part_span, hint=hint))
    return wrong


class _Binder:
    """Binds the budgets of one network; an error in one limit leaves the others intact."""

    def __init__(self, evaluator: Interpreter, env: Environment) -> None:
        self.evaluator = evaluator
        self.env = env
        self.limits: list[Limit] = []
        self.diagnostics: list[Diagnostic] = []
        self._budgets: dict[str, Span] = {}

    def budget(self, budget: s.Budget) -> None:
        """Binds the limits of a budget."""
        name = budget.name.text if budget.name is not None else ""
        try:
            self._declare(name, budget)
            conditions = self._conditions(budget)
        except ArchError as problem:
            self.diagnostics += problem.diagnostics
            conditions = LimitConditions()
        except UnsettledError:
            conditions = LimitConditions()
        stated: dict[tuple[Any, ...], Span] = {}
        for limit in budget.limits:
            try:
                self.limits += self._limit(name, limit, conditions, stated)
            except ArchError as problem:
                self.diagnostics += problem.diagnostics
            except UnsettledError:
                pass

    def _declare(self, name: str, budget: s.Budget) -> None:
        span = (
            budget.name.span if budget.name is not None else budget.span._replace(end=budget.span.start + len("budget"))
        )
        if name in self._budgets:
            message = f"budget `{name}` is declared twice" if name else "a second budget without a name"
            note = Note("the first one is here", self._budgets[name])
            raise error("E102", message, span, notes=(note,), hint="give it another name, or write one budget")
        self._budgets[name] = span

    def _conditions(self, budget: s.Budget) -> LimitConditions:
        signature = Signature("budget", ("input", "dtype"), frozenset())
        arguments = bind_arguments(signature, budget.arguments).named
        shape, span = None, None
        if "input" in arguments:
            value = arguments["input"].value
            shape, span = input_shape(self.evaluator.walked(value, self.env), value.span), value.span
        dtype = self._argument(DTYPE, arguments["dtype"].value) if "dtype" in arguments else DTYPE.default
        return LimitConditions(shape, dtype, span)

    def _limit(
        self, budget: str, limit: s.LimitDeclaration, conditions: LimitConditions, stated: dict[tuple[Any, ...], Span]
    ) -> list[Limit]:
        row = self._row(limit.measure)
        part = ".".join(safe(word.text) for word in limit.measure.part)
        words = limit.measure.part
        part_span = words[0].span.to(words[-1].span) if words else None
        arguments = self._arguments(row, limit.measure)
        measure = limit.measure.name.text
        for comparison, _ in limit.bounds:
            for side in SIDES.get(comparison, ()):
                self._once((part, measure, arguments, side), limit, stated)
        return [
            Limit(budget, measure, comparison, value, limit.span, part, part_span, arguments, conditions)
            for comparison, value in self._bounds(measure, row, limit)
        ]

    def _row(self, measure: s.MeasureReference) -> Measure:
        name = measure.name
        row = MEASURES.get(name.text)
        if row is None:
            hint = did_you_mean(name.text, MEASURES) or f"measures: {', '.join(MEASURES)}"
            raise error("E208", f"unknown measure `{name.text}`", name.span, hint=hint)
        if measure.part and not row.of_parts:
            message = f"`{name.text}` is a measure of the whole network, not of a part"
            raise error("E105", message, measure.span, hint=f"write `{_call(name.text, row)}`")
        return row

    def _arguments(self, row: Measure, measure: s.MeasureReference) -> tuple[tuple[str, Any], ...]:
        name = measure.name
        required = frozenset(argument.name for argument in row.arguments if argument.default is REQUIRED)
        signature = Signature(name.text, tuple(argument.name for argument in row.arguments), required)
        arguments = bind_arguments(signature, measure.arguments or (), callee_span=name.span).named
        return tuple(
            (argument.name, self._argument(argument, arguments[argument.name].value))
            if argument.name in arguments
            else (argument.name, argument.default)
            for argument in row.arguments
        )

    def _argument(self, argument: MeasureArgument, written: s.Expression) -> Any:
        """The value of an argument; a word such as `float16` is a value if no declaration has that name."""
        if isinstance(written, s.Name) and written.text not in self.env.all_names():
            if written.text in argument.words:
                return written.text
            message = f"unknown {argument.name} `{written.text}`"
            hint = did_you_mean(written.text, argument.words) or f"use {argument.expected}"
            raise error("E101", message, written.span, hint=hint)
        value = self.evaluator.walked(written, self.env)
        right = value.__class__ is argument.type
        if not right or not argument.fits(value):
            message = f"`{argument.name}` must be {argument.expected}; found {show(value)}"
            raise error("E205" if right else "E204", message, written.span)
        return argument.type(value)  # a plain value, also if many candidates are bound at once

    def _once(self, key: tuple[Any, ...], limit: s.LimitDeclaration, stated: dict[tuple[Any, ...], Span]) -> None:
        if key in stated:
            measure = limit.measure.span.text
            message = f"`{measure}` has {'an upper' if key[-1] == 'upper' else 'a lower'} bound already in this budget"
            raise error("E102", message, limit.span, notes=(Note("the first one is here", stated[key]),))
        stated[key] = limit.span

    def _bounds(self, measure: str, row: Measure, limit: s.LimitDeclaration) -> list[tuple[str, int | float]]:
        """The comparisons of a limit with their bounds; a range has two."""
        bounds = [(comparison, self._bound(measure, row, bound)) for comparison, bound in limit.bounds]
        if len(bounds) == 2 and bounds[0][1] > bounds[1][1]:
            (_, first), (_, last) = limit.bounds
            low, high = first.span.text, last.span.text
            hint = f"did you mean `{high}..{low}`?"
            raise error("E205", f"the range {low}..{high} is empty", first.span.to(last.span), hint=hint)
        return bounds

    def _bound(self, measure: str, row: Measure, written: s.Expression | s.Amount) -> int | float:
        if isinstance(written, s.Amount):
            return _amount(measure, row, written)
        value = self.evaluator.walked(written, self.env)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise error("E204", f"a bound must be a number; found {show(value)}", written.span)
        if value < 0:
            raise error("E205", f"a bound must be at least 0; found {show(value)}", written.span)
        if row.unit.needed:
            units = ", ".join(row.unit.sizes)
            message = f"the bound of `{measure}` needs a unit, because `{measure}` is {row.unit.name}"
            raise error("E210", message, written.span, hint=f"units: {units}")
        return value


def _amount(measure: str, row: Measure, written: s.Amount) -> int | float:
    """Converts an amount to the base of a measure's unit; exact until the last division."""
    sizes = row.unit.sizes
    if written.unit not in sizes:
        message = f"`{measure}` is {row.unit.name}; found `{written.span.text}`, {UNITS[written.unit].name}"
        hint = f"units: {', '.join(sizes)}" if sizes else "write a plain number; K, M, G, T are powers of 1000"
        raise error("E210", message, written.span, hint=hint)
    numerator, denominator = written.numerator * sizes[written.unit], written.denominator * row.unit.per_base
    return (
        numerator // denominator if row.unit.base == "B" and numerator % denominator == 0 else numerator / denominator
    )


def _call(name: str, row: Measure) -> str:
    return f"{name}({', '.join(argument.name for argument in row.arguments)})" if row.arguments else name
