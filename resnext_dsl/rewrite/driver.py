"""Runs the passes that a form and a mode ask for, to a fixed point, each between two verified graphs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from resnext_dsl.foundation.diagnostics import Note, error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.invariants import InvariantError, check_invariants
from resnext_dsl.graph.ir import Graph
from resnext_dsl.rewrite.fold import fold, remove_training, without_idle
from resnext_dsl.rewrite.merges import join_paths
from resnext_dsl.rewrite.rewrite_report import GraphSize, RewriteReport, size_of
from resnext_dsl.rewrite.siblings import join_siblings
from resnext_dsl.rewrite.spread import spread_paths
from resnext_dsl.rewrite.steps import WeightMap
from resnext_dsl.rewrite.workspace import Workspace

FORMS = ("written", "a", "b", "c", "fastest")
"""Spellings that a network can be compiled in: as written, in one of the three forms of Xie et al., CVPR 2017,
Figure 3, or whichever runs fastest, which is (c) wherever paths can be one."""

MODES = ("train", "inference")

ROUNDS = 8
"""Times that the passes of a stage are run at most; each leaves fewer operators, and few graphs take more than two."""

Run = Callable[[Workspace, RewriteReport], None]


class Pass(NamedTuple):
    """A pass: its name for reports and failures, and what it does to a graph."""

    name: str
    run: Run


class Rewritten(NamedTuple):
    """A graph in another form.

    Attributes:
        graph: The graph; the same object where nothing was rewritten.
        weights: From the state_dict of the graph as written to that of this one.
        report: What was done and what was not.
    """

    graph: Graph
    weights: WeightMap
    report: RewriteReport


def rewrite(
    graph: Graph,
    form: str = "fastest",
    mode: str = "train",
    max_nodes: int = DEFAULTS.max_nodes,
    siblings: bool = False,
) -> Rewritten:
    """The same function in another spelling.

    Args:
        graph: A verified graph.
        form: One of `FORMS`.
        mode: "train": rules that only move parameters, so that training goes the same way; "inference": also those
            that compute with them, and outputs that exist in training only are dropped.
        max_nodes: The most operators that the result may have.
        siblings: Also make one of convolutions that read one value and go different ways (see `siblings`).

    Raises:
        ValueError: For an unknown form or mode.
        ArchError: E608 where no part of the network can be spelled in form (a) or (b).
        InvariantError: Where a pass breaks the graph, with the rules that it applied: a mistake of ours.
    """
    for what, value, known in (("form", form, FORMS), ("mode", mode, MODES)):
        if value not in known:
            raise ValueError(f"{what} {value!r} is none of {', '.join(known)}")
    size = size_of(graph)
    work, report = Workspace(graph), RewriteReport(size, size)
    made = graph
    for stage in _stages(form, mode == "inference", max_nodes, siblings):
        made = _settled(stage, work, report, made)
        if stage[0].name == "spread":
            _check_spread(graph, form, report)
    report.after = size_of(made)
    return Rewritten(made, work.weight_map(), report)


def canonical(graph: Graph) -> Graph:
    """The graph that all spellings of one architecture have in common, as far as rules lead there.

    Operators stand below concatenations also where these stay, which says the same and is rarely faster.
    """
    size = GraphSize(0, 0, 0)
    work, report = Workspace(graph), RewriteReport(size, size)
    idle = Pass("idle", without_idle)
    return _settled([idle, Pass("join", partial(join_paths, partial=True))], work, report, graph)


def _stages(form: str, inference: bool, max_nodes: int, siblings: bool) -> Iterator[list[Pass]]:
    """Passes that are run together, again and again while they find something."""
    if form != "written":
        yield [Pass("join", join_paths)]
    if form in ("a", "b"):
        yield [Pass("spread", partial(spread_paths, summed=form == "a", limit=max_nodes))]
    if inference:
        yield [Pass("outputs", remove_training)]
        folding = Pass("fold", fold)
        yield [folding, Pass("join", partial(join_paths, inference=True))] if form in ("c", "fastest") else [folding]
    if siblings:
        yield [Pass("siblings", join_siblings)]


def _settled(stage: list[Pass], work: Workspace, report: RewriteReport, graph: Graph) -> Graph:
    """The graph when the passes of a stage find nothing more."""
    for _ in range(ROUNDS):
        before = graph
        for each in stage:
            graph = _passed(each, work, report, graph)
        if graph is before:
            break
    return graph


def _passed(each: Pass, work: Workspace, report: RewriteReport, before: Graph) -> Graph:
    fired = len(report.fired)
    try:
        each.run(work, report)
        return check_invariants(work.graph()) if len(report.fired) > fired else before
    except InvariantError as broken:
        rules = ", ".join(dict.fromkeys(rule for entry in report.fired[fired:] for rule in entry.rules))
        raise InvariantError(f"pass `{each.name}` ({rules}): {broken}") from None


def _check_spread(graph: Graph, form: str, report: RewriteReport) -> None:
    if any("groups_as_paths" in entry.rules for entry in report.fired):
        return
    notes = tuple(Note(f"`{left.place}`: {left.reason}", left.span) for left in list(report.left.values())[:4])
    message = f"the network cannot be spelled in form ({form}): no convolution of several groups can be paths"
    raise error("E608", message, graph.scopes[""].span, hint="forms: written, c, fastest", notes=notes)
