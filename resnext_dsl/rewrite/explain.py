"""A report of rewriting as text and as JSON."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any, TypeVar

from resnext_dsl.costs.closed_form import cost_of
from resnext_dsl.foundation.diagnostics import Span
from resnext_dsl.graph.ir import Graph
from resnext_dsl.rewrite.driver import Rewritten
from resnext_dsl.rewrite.rewrite_report import Fired, Left

Entry = TypeVar("Entry", Fired, Left)


def explain(before: Graph, rewritten: Rewritten) -> list[str]:
    """The rewritten places, the places left alone with the reasons, and the sizes as lines.

    Entries that differ only in their place share a line.
    """
    report = rewritten.report
    lines = []
    for fired in _alike(report.fired, lambda entry: (entry.rules, entry.number, _at(entry.span))):
        first = fired[0]
        count = f" ({first.number} into one)" if first.number > 1 else ""
        lines.append(f"rewritten: {_places(fired)} at {_at(first.span)}: {', '.join(first.rules)}{count}")
    for left in _alike(report.left.values(), lambda entry: (entry.reason, _at(entry.span), _at(entry.cause))):
        cause = f" ({_at(left[0].cause)})" if left[0].cause != left[0].span else ""
        lines.append(f"left alone: {_places(left)} at {_at(left[0].span)}: {left[0].reason}{cause}")
    if not report.fired:
        lines.append("nothing to rewrite")
    return [*lines, *_sizes(before, rewritten)]


def as_json(before: Graph, rewritten: Rewritten) -> dict[str, Any]:
    """The report as JSON: `fired`, `left`, and the sizes `before` and `after` with parameters and multiply-adds."""
    report = rewritten.report
    costs = cost_of(before), cost_of(rewritten.graph)
    return {
        "fired": [
            {"place": fired.place, "rules": list(fired.rules), "number": fired.number, **_span(fired.span)}
            for fired in report.fired
        ],
        "left": [
            {"place": left.place, "reason": left.reason, **_span(left.span), "cause": _span(left.cause)}
            for left in report.left.values()
        ],
        **{
            when: {**size._asdict(), "params": cost.params, "macs": cost.macs}
            for when, size, cost in zip(("before", "after"), (report.before, report.after), costs, strict=True)
        },
        "invertible": rewritten.weights.invertible,
    }


def _sizes(before: Graph, rewritten: Rewritten) -> list[str]:
    one, other = rewritten.report.before, rewritten.report.after
    costs = cost_of(before), cost_of(rewritten.graph)
    lines = [
        f"operators {one.nodes:,} -> {other.nodes:,}, kernel launches {one.launches:,} -> {other.launches:,}, "
        f"bytes read and written {one.bytes:,} -> {other.bytes:,} (float32, batch 1)"
    ]
    for name in ("params", "macs"):
        was, now = (getattr(cost, name) for cost in costs)
        lines.append(f"{name} {was:,}, unchanged" if was == now else f"{name} {was:,} -> {now:,}")
    return lines


def _alike(entries: Iterable[Entry], key: Any) -> list[list[Entry]]:
    """Groups of entries with equal keys, in the order of their first entries."""
    grouped: dict[Hashable, list[Entry]] = {}
    for entry in entries:
        grouped.setdefault(key(entry), []).append(entry)
    return list(grouped.values())


def _places(entries: list[Entry]) -> str:
    others = len(entries) - 1
    return f"`{entries[0].place}`" + (f" and {others} more" if others else "")


def _at(span: Span) -> str:
    return f"{span.source.name}:{span.line}:{span.column}"


def _span(span: Span) -> dict[str, Any]:
    return {"file": span.source.name, "line": span.line, "column": span.column}
