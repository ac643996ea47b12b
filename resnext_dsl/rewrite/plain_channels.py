"""The pass of the canonical form that removes operators which keep or only select the channels of another one."""

from __future__ import annotations

from resnext_dsl.operators import OPERATORS
from resnext_dsl.rewrite.rewrite_report import Fired, RewriteReport
from resnext_dsl.rewrite.workspace import Workspace


def plain_channels(work: Workspace, report: RewriteReport) -> None:
    """Removes slices of all channels and shuffles that keep their order, and makes one slice of a slice of a slice."""
    for index in list(work.live()):
        if not work.alive[index] or index in work.shared:
            continue
        node = work.nodes[index]
        if node.operator in ("slice", "shuffle") and _keeps_channels(work, index):
            report.fire(Fired.of(work, index, (f"{node.operator}_of_all",), 1))
            work.replace(index, node.inputs[0])
        elif node.operator == "slice" and work.nodes[node.inputs[0]].operator == "slice":
            _join_slices(work, report, index)


# slice(x, 0, c)  ->  x  where x has c channels;   shuffle(x, groups=1)  ->  x;   shuffle(x, groups=c)  ->  x
def _keeps_channels(work: Workspace, index: int) -> bool:
    known, channels = dict(work.nodes[index].attributes or ()), work.shapes(index)[0][0]
    if work.nodes[index].operator == "slice":
        return bool((known["start"], known["stop"]) == (0, channels))
    return known["groups"] in (1, channels // known["unit"])


# slice(slice(x, a, b), c, d)  ->  slice(x, a + c, a + d)
def _join_slices(work: Workspace, report: RewriteReport, index: int) -> None:
    inner = work.nodes[index].inputs[0]
    outer, known = dict(work.nodes[index].attributes or ()), dict(work.nodes[inner].attributes or ())
    bounds = {name: known["start"] + outer[name] for name in ("start", "stop")}
    report.fire(Fired.of(work, index, ("nested_slice",), 2))
    joined = work.make(
        "slice", OPERATORS["slice"].attributes.construct(bounds), [work.nodes[inner].inputs[0]], index, index
    )
    work.replace(index, joined)
