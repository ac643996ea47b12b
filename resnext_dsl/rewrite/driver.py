"""Runs the passes of a form and a mode to a fixed point, and verifies the graph after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from resnext_dsl.foundation.diagnostics import Note, error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.invariants import InvariantError, check_invariants
from resnext_dsl.graph.ir import Graph
from resnext_dsl.rewrite.fold import fold, remove_training
from resnext_dsl.rewrite.merges import join_paths
from resnext_dsl.rewrite.plain_channels import plain_channels
from resnext_dsl.rewrite.rewrite_report import GraphSize, RewriteReport, size_of
from resnext_dsl.rewrite.siblings import join_siblings
from resnext_dsl.rewrite.spread import spread_paths
from resnext_dsl.rewrite.steps import WeightMap
from resnext_dsl.rewrite.workspace import Workspace

FORMS = ("written", "a", "b", "c", "fastest")
"""The forms of a network: as written, the three forms of Xie et al., CVPR 2017, Figure 3, or the fastest.

The fastest is (c) for all paths that can be one.
"""

MODES = ("train", "inference")

ROUNDS = 8
"""The most rounds of the passes of a stage; each round leaves fewer operators, and few graphs need more than two."""

Run = Callable[[Workspace, RewriteReport], None]


class Pass(NamedTuple):
    """A pass: its name, for reports and failures, and the function that changes the workspace."""

    name: str
    run: Run


class Rewritten(NamedTuple):
    """A graph in another form.

    Attributes:
        graph: The graph; the same object if nothing was rewritten.
        weights: The map from the state_dict of the graph as written to that of this graph.
        report: The rewritten places, and the places that stayed with the reasons.
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
        mode: "train" applies rules that only move parameters, so that training stays the same. "inference" also
            applies rules that compute with parameters, and drops outputs that exist in training only.
        max_nodes: The most operators that the result may have.
        siblings: Whether convolutions that read one value become one, although their results are used separately.

    Raises:
        ValueError: If the form or the mode is unknown.
        ArchError: E608 if no part of the network can be spelled in form (a) or (b).
        InvariantError: If a pass breaks the graph (an internal error); names the rules that the pass applied.
    """
    for name, value, known in (("form", form, FORMS), ("mode", mode, MODES)):
        if value not in known:
            raise ValueError(f"{name} {value!r} is none of {', '.join(known)}")
    size = size_of(graph)
    work, report = Workspace(graph), RewriteReport(size, size)
    rewritten = graph
    for stage in _stages(form, mode == "inference", max_nodes, siblings):
        rewritten = _settled(stage, work, report, rewritten)
        if stage[0].name == "spread":
            _check_spread(graph, form, report)
    report.after = size_of(rewritten)
    return Rewritten(rewritten, work.weight_map(), report)


def canonical(graph: Graph) -> Graph:
    """The canonical form: one graph for all spellings of an architecture that the rules can make equal.

    Operators move below concatenations even if the concatenations stay. That form is rarely faster.
    """
    size = GraphSize(0, 0, 0)
    work, report = Workspace(graph), RewriteReport(size, size)
    passes = [Pass("channels", plain_channels), Pass("join", partial(join_paths, partial=True))]
    return _settled(passes, work, report, graph)


def _stages(form: str, inference: bool, max_nodes: int, siblings: bool) -> Iterator[list[Pass]]:
    """The stages of rewriting: lists of passes that run together until none of them changes the graph."""
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
    """The graph after the passes of a stage have run until none of them changes it."""
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
    message = f"the network cannot be spelled in form ({form}): no grouped convolution can become paths"
    raise error("E608", message, graph.scopes[""].span, hint="forms: written, c, fastest", notes=notes)
