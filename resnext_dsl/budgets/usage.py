"""Checks a network against its budgets: its use of each limit, and the lines of the spec that cost most."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING

from resnext_dsl.budgets.limits import Limit
from resnext_dsl.budgets.measures import Measurable, Subject, members_of
from resnext_dsl.foundation.diagnostics import ArchError, BudgetError, Diagnostic, Note, Span
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape
from resnext_dsl.semantics.values import show_shape

if TYPE_CHECKING:
    from resnext_dsl.budgets.latency import Timing

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {"<=": le, "<": lt, ">=": ge, ">": gt, "==": eq}

COSTLIEST = 3
"""Lines of the spec that the error of an exceeded limit names."""


class Usage(NamedTuple):
    """One limit of a budget with its use by a network.

    Attributes:
        limit: The limit.
        used: The measure of the network in the base of its unit; None for a latency that was not measured.
        input: The input shape of the network.
        costliest: If an upper bound is exceeded, the lines of the spec that cost most, with their shares.
        timing: The measurement of a latency, with its machine.
        suggestion: A change of a parameter that meets the limit, or "".
    """

    limit: Limit
    used: int | float | None
    input: Shape
    costliest: tuple[Note, ...] = ()
    timing: Timing | None = None
    suggestion: str = ""

    @property
    def met(self) -> bool:
        """Whether the network meets the limit; True for a latency that was not measured."""
        return self.used is None or COMPARISONS[self.limit.comparison](self.used, self.limit.bound)

    def to_json(self) -> dict[str, object]:
        """The entry of a limit in `check --json`."""
        limit = self.limit
        return {
            "budget": limit.budget,
            "measure": limit.measure,
            "comparison": limit.comparison,
            "allowed": limit.bound,
            "used": self.used,
            "ok": self.met if self.used is not None else None,
            "line": limit.span.line,
            "part": limit.part,
            "arguments": dict(limit.arguments),
            "unit": limit.row.unit.base,
            "input": list(self.input),
            "dtype": limit.conditions.dtype,
            "suggestion": self.suggestion,
            "measured": self.timing.to_json() if self.timing is not None else None,
        }


def usage(limits: tuple[Limit, ...], network: Measurable, measure: bool = False) -> tuple[Usage, ...]:
    """The use of each limit by a network, in the order of the limits.

    Args:
        limits: Limits of the network's budgets.
        network: The network at its declared input.
        measure: Whether to measure latencies on this machine.

    Raises:
        ArchError: If the network cannot take the input shape of a budget, or this machine lacks the device of a
            latency.
    """
    networks: dict[Shape | None, Measurable] = {None: network}
    timings: dict[object, Timing] = {}
    lines: list[Usage] = []
    for limit in limits:
        at = limit.conditions.input
        if at not in networks:
            networks[at] = _at_input(network, limit)
        subject = Subject(networks[at], limit.part, limit.conditions.dtype, dict(limit.arguments))
        if limit.row.read is not None:
            lines.append(_used(limit, subject, limit.row.read(subject)))
        elif measure:
            key = (limit.subject, limit.conditions)
            timings[key] = timings.get(key) or _timed(limit, subject)
            lines.append(_used(limit, subject, timings[key].median)._replace(timing=timings[key]))
        else:
            lines.append(_used(limit, subject, None))
    return tuple(lines)


def _at_input(network: Measurable, limit: Limit) -> Measurable:
    """The network at the input shape of a budget; an error points at the budget."""
    conditions = limit.conditions
    assert conditions.input is not None
    try:
        return network.at(conditions.input)
    except ArchError as problem:
        raise ArchError(
            [_moved(diagnostic, conditions.input, conditions.span) for diagnostic in problem.diagnostics]
        ) from None


def _moved(diagnostic: Diagnostic, shape: Shape, span: Span | None) -> Diagnostic:
    message = f"with an input of {show_shape(shape)}, {diagnostic.message}"
    notes = (Note("it fails here", diagnostic.span), *diagnostic.notes)
    return diagnostic._replace(message=message, span=span, notes=notes)


def _timed(limit: Limit, subject: Subject) -> Timing:
    from resnext_dsl.budgets.latency import latency

    device, batch = subject.arguments["device"], subject.arguments["batch"]
    return latency(subject.network, device, batch, subject.dtype, limit.span)


def _used(limit: Limit, subject: Subject, used: int | float | None) -> Usage:
    line = Usage(limit, used, subject.network.ir.nodes[0].shape)
    above = used is not None and used > limit.bound
    return line._replace(costliest=_costliest(limit, subject)) if above and not line.met else line


def _costliest(limit: Limit, subject: Subject) -> tuple[Note, ...]:
    """The lines of the spec whose operators cost most, as notes."""
    share = limit.row.share
    if share is None:
        return ()
    spans: dict[tuple[str, int], Span] = {}
    costs: dict[tuple[str, int], int] = {}
    members = members_of(subject)
    for index, (node, cost) in enumerate(subject.network.cost().nodes):
        if index in members:
            line = node.span.source.name, node.span.line
            spans.setdefault(line, node.span)
            costs[line] = costs.get(line, 0) + share(cost)
    total = sum(costs.values())
    most = sorted((line for line in costs if costs[line]), key=lambda line: -costs[line])[:COSTLIEST]
    subject_text = limit.subject
    shares = [
        f"this line costs {costs[line]:,} ({100 * costs[line] / total:.1f}% of `{subject_text}`)" for line in most
    ]
    return tuple(Note(share, spans[line]) for share, line in zip(shares, most, strict=True))


def violations(report: tuple[Usage, ...]) -> BudgetError | None:
    """The error that lists every exceeded limit, or None."""
    exceeded = [_violation(line) for line in report if not line.met]
    return BudgetError(exceeded) if exceeded else None


def _violation(line: Usage) -> Diagnostic:
    limit = line.limit
    assert line.used is not None
    unit = limit.row.unit
    name = f" of budget `{limit.budget}`" if limit.budget else ""
    at = f" at {limit.conditions}" if str(limit.conditions) else ""
    over = line.used - limit.bound
    share = f" ({'+' if over >= 0 else ''}{100 * over / limit.bound:.1f}%)" if limit.bound else ""
    allowed = f"{limit.comparison} {unit.show(limit.bound)}"
    message = f"`{limit.subject}`{at} is {unit.show(line.used)}{share}; the limit{name} is {allowed}"
    return Diagnostic("E601", message, limit.span, hint=line.suggestion, notes=line.costliest)
