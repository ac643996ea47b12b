"""Holds a network's cost against the budgets that its file states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import eq, ge, gt, le, lt
from typing import NamedTuple

from resnext_dsl.bind import Limit
from resnext_dsl.cost import NetworkCost
from resnext_dsl.diagnostics import BudgetError, Diagnostic

COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {"<=": le, "<": lt, ">=": ge, ">": gt, "==": eq}


class Usage(NamedTuple):
    """One limit of a budget, and what the network uses of it."""

    limit: Limit
    used: int

    @property
    def met(self) -> bool:
        """Whether the network keeps the limit."""
        return COMPARISONS[self.limit.comparison](self.used, self.limit.bound)

    def to_json(self) -> dict[str, object]:
        """The line of `check --json`."""
        limit = self.limit
        return {
            "budget": limit.budget,
            "measure": limit.measure,
            "comparison": limit.comparison,
            "allowed": limit.bound,
            "used": self.used,
            "ok": self.met,
            "line": limit.span.line,
        }


def usage(limits: tuple[Limit, ...], cost: NetworkCost) -> tuple[Usage, ...]:
    """What a network uses of each limit, in the order of the text."""
    return tuple(Usage(limit, getattr(cost, limit.measure)) for limit in limits)


def violations(report: tuple[Usage, ...]) -> BudgetError | None:
    """The error that lists every limit that is not kept, or None."""
    exceeded = [_violation(line) for line in report if not line.met]
    return BudgetError(exceeded) if exceeded else None


def _violation(line: Usage) -> Diagnostic:
    limit = line.limit
    name = f" of budget `{limit.budget}`" if limit.budget else ""
    over = line.used - limit.bound
    share = f" ({'+' if over >= 0 else ''}{100 * over / limit.bound:.1f}%)" if limit.bound else ""
    message = f"`{limit.measure}` is {line.used:,}{share}; the limit{name} is {limit.comparison} {limit.bound:,}"
    return Diagnostic("E601", message, limit.span)
