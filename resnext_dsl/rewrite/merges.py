"""The pass that makes one path of several: it tries the rules of `join` at every merge."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from resnext_dsl.operators import OPERATORS
from resnext_dsl.rewrite.join import CONCAT, Blocked, Lift, sum_of_convolutions, weight_layout
from resnext_dsl.rewrite.rewrite_report import Fired, Left, RewriteReport
from resnext_dsl.rewrite.workspace import Workspace

FLAT = ("concat", "add")
"""Merges of merges that are one merge in the canonical form."""


def join_paths(work: Workspace, report: RewriteReport, partial: bool = False, inference: bool = False) -> None:
    """Rewrite every merge whose operands can become one value, inner merges first.

    Args:
        work: The graph.
        report: Takes an entry for each merge that was rewritten, or that stayed.
        partial: Whether operators may move below a concatenation that stays, as in the canonical form of a graph. That
            saves launches but is rarely faster.
        inference: Whether parameters may be summed.
    """
    for index in list(work.live()):
        node = work.nodes[index]
        if work.alive[index] and len(node.inputs) > 1 and index not in work.shared:
            _merge(work, report, index, partial, inference)


def _merge(work: Workspace, report: RewriteReport, index: int, partial: bool, inference: bool) -> None:
    operator = work.nodes[index].operator
    if partial and operator in FLAT:
        index = _flat(work, report, index)
    if operator == "concat":
        reason = _concat(work, report, index, partial)
    elif operator in ("add", "mean"):
        reason = _sum(work, report, index, inference)
    else:
        reason = Blocked(f"no rule joins paths that `{operator}` merges", index)
    if reason is not None and _is_split(work, index):
        report.leave(Left.of(work, index, reason.reason, reason.node))


# concat(concat(x1, x2), x3)  ->  concat(x1, x2, x3);   add(add(x1, x2), x3)  ->  add(x1, x2, x3)
# where nothing else reads the inner one
def _flat(work: Workspace, report: RewriteReport, index: int) -> int:
    """Make one merge of a merge of merges of its operator; return its node."""
    node = work.nodes[index]
    operands, operator = node.inputs, node.operator
    inner = {value for value in operands if work.nodes[value].operator == operator and work.reader(value) == index}
    if not inner:
        return index
    values = [each for value in operands for each in (work.nodes[value].inputs if value in inner else (value,))]
    report.fire(Fired.of(work, index, (f"nested_{operator}",), len(inner) + 1))
    assert node.attributes is not None
    whole = work.make(operator, node.attributes, values, index, index)
    work.replace(index, whole)
    return whole


# concat(values)  ->  the one value that `Lift` makes of them
def _concat(work: Workspace, report: RewriteReport, index: int, partial: bool) -> Blocked | None:
    """Make one value of all operands, or of each run of equal ones; return the first reason for those that stay."""
    operands = work.nodes[index].inputs
    runs = _runs(work, operands)
    if len(runs) == len(operands):
        runs = [list(operands)]
    reason, operands_left = None, []
    for run in runs:
        result = _attempt(work, report, index, run, partial) if len(run) > 1 else run[0]
        if isinstance(result, Blocked):
            reason = reason or result
            operands_left += run
        else:
            operands_left.append(result)
    if len(operands_left) == 1:
        work.replace(index, operands_left[0])
    elif len(operands_left) < len(operands):
        work.replace(index, work.make("concat", CONCAT, operands_left, index, index))
    return reason


def _runs(work: Workspace, operands: Sequence[int]) -> list[list[int]]:
    """Runs of adjacent operands of the same operator; slices must be of the same value."""
    return [list(run) for _, run in groupby(operands, lambda value: _kind(work, value))]


def _kind(work: Workspace, value: int) -> object:
    node = work.nodes[value]
    if node.operator == "slice":
        return node.operator, node.inputs
    return node.operator


def _attempt(work: Workspace, report: RewriteReport, index: int, run: list[int], partial: bool) -> int | Blocked:
    mark = work.mark()
    lift = Lift(work, index, partial)
    try:
        result = lift.lift(run)
        lift.check_closed()
    except Blocked as blocked:
        work.undo(mark)
        return blocked
    report.fire(Fired.of(work, index, tuple(lift.fired), len(run)))
    return result


# add(conv(x1), conv(x2), y)  ->  add(conv(concat(x1, x2)), y);   mean(...)  ->  scale(add(...), 1 / n)
def _sum(work: Workspace, report: RewriteReport, index: int, inference: bool) -> Blocked | None:
    """Make one of the operands that are convolutions; return the reason if they stay."""
    node = work.nodes[index]
    operands = node.inputs
    once = [value for value in operands if operands.count(value) == 1]
    terms = [value for value in once if weight_layout(work.nodes[value].operator) is not None]
    others = [value for value in operands if value not in terms]
    mark, lift = work.mark(), Lift(work, index, inference=inference)
    try:
        total = sum_of_convolutions(lift, terms if len(terms) > 1 else operands)
        lift.check_closed()
    except Blocked as blocked:
        work.undo(mark)
        return blocked
    report.fire(Fired.of(work, index, lift.fired, len(terms)))
    if others:
        total = work.make("add", OPERATORS["add"].attributes.construct({}), [total, *others], index, index)
    if node.operator == "mean":
        factor = OPERATORS["scale"].attributes.construct({"factor": 1 / len(operands)})
        total = work.make("scale", factor, [total], index, index)
    work.replace(index, total)
    return None


def _is_split(work: Workspace, index: int) -> bool:
    """Whether a merge joins the paths of a split: an operand lies in `paths` in the scope of the merge."""
    scope = work.nodes[index].scope
    start = f"{scope}." if scope else ""
    for value in work.nodes[index].inputs:
        inside = work.nodes[value].scope
        if inside.startswith(start):
            container = start + inside[len(start) :].partition(".")[0]
            if container in work.scopes and work.scopes[container].kind == "paths":
                return True
    return False
