"""Prints a graph as a text of the language that reads as if it were written by hand.

    graph -> units (module_units) -> bodies (dataflow) -> templates -> parts (stage_plan) -> text -> loaded and compared

`arch_text` runs all of it.
"""

from __future__ import annotations

from resnext_dsl.arch_text.network_page import page_of
from resnext_dsl.arch_text.text_check import check_same, graph_of_text
from resnext_dsl.foundation.diagnostics import internal_error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.graph.ir import Graph


class ArchText(NamedTuple):
    """A graph as a text.

    Attributes:
        text: The text; the formatter leaves it as it is.
        order: For each node of the graph that the text expands to, the index of the node of the original graph.
    """

    text: str
    order: tuple[int, ...]


def arch_text(graph: Graph, name: str | None = None, comment: str = "", *, projections: bool = False) -> ArchText:
    """A graph as a readable text, with the nodes of the graph in the order of the text.

    The text is loaded again and compared with the graph, so a wrong text is never returned.

    Args:
        graph: The graph. Nodes that no output depends on are left out.
        name: The name of the network; that of the graph if None.
        comment: The first lines of the text, without `#`.
        projections: Whether 1x1 convolutions of shortcuts may get the padding of `residual`, which is 0 in the place of
            `same`. Both compute the same, but fingerprints tell them apart.

    Raises:
        ArchError: E801 if the text does not give the graph, which is an internal error.
    """
    try:
        written = page_of(graph, name or graph.name, comment, projections)
        check_same(graph_of_text(written.text), graph, written.order, projections)
    except Exception as problem:
        raise internal_error(problem) from problem
    return ArchText(written.text, tuple(written.order))
