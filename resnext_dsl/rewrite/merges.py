"""The pass that makes one path of several: tries, for every merge, the rules that end in a single value."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from resnext_dsl.operators import OPERATORS
from resnext_dsl.rewrite.join import MULTIPLIERS, Blocked, Lift, sum_of_convolutions
from resnext_dsl.rewrite.report import Fired, Left, Report
from resnext_dsl.rewrite.workspace import Workspace


def join_paths(work: Workspace, report: Report, partial: bool = False, inference: bool = False) -> None:
    """Rewrites every merge whose operands can be one value, inner ones first.

    Args:
        work: The graph.
        report: What happens is added to it.
        partial: Whether operators may move below a concatenation that stays: never slower to count, and more launches
            saved, but rarely faster. What the canonical form of a graph does.
        inference: Whether parameters may be summed.
    """
    for index in list(work.live()):
        node = work.nodes[index]
        if not work.alive[index] or node.operator == "input" or not OPERATORS[node.operator].merges:
            continue
        _merge(work, report, index, partial, inference)


def _merge(work: Workspace, report: Report, index: int, partial: bool, inference: bool) -> None:
    operands = work.nodes[index].inputs
    if len(operands) == 1:
        _single(work, report, index)
    elif work.nodes[index].operator == "concat":
        _concat(work, report, index, partial)
    elif work.nodes[index].operator == "add":
        _sum(work, report, index, inference)
    elif _is_split(work, index):
        report.leave(Left.of(work, index, f"paths that `{work.nodes[index].operator}` merges stay apart", index))


# merge(x)  ->  x
def _single(work: Workspace, report: Report, index: int) -> None:
    """A merge of one value is that value."""
    if work.pinned(index) and work.nodes[work.nodes[index].inputs[0]].scope != work.nodes[index].scope:
        return  # it is the result of a part, which has to hold it
    fired = Fired.of(work, index, ("merge_of_one",), 1)
    work.replace(index, work.nodes[index].inputs[0])
    report.fire(fired)


# concat(values)  ->  the one value that they are side by side
def _concat(work: Workspace, report: Report, index: int, partial: bool) -> None:
    operands = work.nodes[index].inputs
    reasons = []
    runs = _runs(work, operands)
    if not any(len(run) > 1 for run in runs):
        runs = [list(operands)]
    made: list[int] = []
    for run in runs:
        result = _attempt(work, report, index, run, partial) if len(run) > 1 else None
        if isinstance(result, Blocked):
            reasons.append(result)
        made += [result] if isinstance(result, int) else run
    if len(made) == 1:
        work.replace(index, made[0])
    elif len(made) < len(operands):
        work.replace(index, work.make("concat", work.nodes[index].attributes, made, index, index))  # type: ignore[arg-type]
    elif reasons and _is_split(work, index):
        report.leave(Left.of(work, index, str(reasons[0]), reasons[0].node))


def _runs(work: Workspace, operands: Sequence[int]) -> list[list[int]]:
    """Neighbours that the same operator of the same attributes makes, channels aside."""
    return [list(run) for _, run in groupby(operands, lambda value: _kind(work, value))]


def _kind(work: Workspace, value: int) -> object:
    node = work.nodes[value]
    if node.operator == "slice":
        return node.operator, node.inputs
    return node.operator


def _attempt(work: Workspace, report: Report, index: int, run: list[int], partial: bool) -> int | Blocked:
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


# add(conv(x1), conv(x2), y)  ->  add(conv(concat(x1, x2)), y)
def _sum(work: Workspace, report: Report, index: int, inference: bool) -> None:
    operands = work.nodes[index].inputs
    terms = [value for value in dict.fromkeys(operands) if work.nodes[value].operator in MULTIPLIERS]
    others = [value for value in operands if value not in terms]
    reason: Blocked | None = None
    mark, lift = work.mark(), Lift(work, index, inference=inference)
    try:
        made = sum_of_convolutions(lift, terms if len(terms) > 1 else operands)
        lift.check_closed()
    except Blocked as blocked:
        work.undo(mark)
        reason = blocked
    if reason is not None:
        if _is_split(work, index):
            report.leave(Left.of(work, index, str(reason), reason.node))
        return
    report.fire(Fired.of(work, index, tuple(lift.fired), len(terms)))
    rest = [made, *others]
    work.replace(index, work.make("add", work.nodes[index].attributes, rest, index, index) if others else made)  # type: ignore[arg-type]


def _is_split(work: Workspace, index: int) -> bool:
    """Whether a merge joins the paths of a split: some operand lies in paths beside it."""
    scope = work.nodes[index].scope
    start = f"{scope}." if scope else ""
    for value in work.nodes[index].inputs:
        inside = work.nodes[value].scope
        if inside.startswith(start):
            container = start + inside[len(start) :].partition(".")[0]
            if container in work.scopes and work.scopes[container].kind == "paths":
                return True
    return False
