"""Loads a written text again and compares its graph, node by node, with the graph that it was written for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from resnext_dsl.expansion.expand import errors_of, graph_of, report_of
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.ir import Graph, Node, commutes
from resnext_dsl.semantics.bind import Binder
from resnext_dsl.semantics.evaluate import Interpreter
from resnext_dsl.semantics.resolve import resolve
from resnext_dsl.semantics.scope import Scopes
from resnext_dsl.semantics.spec_files import Loader, text_source


class WrongTextError(Exception):
    """A written text gives another graph: a mistake of this package."""


def graph_of_text(text: str) -> Graph:
    """The graph of a text.

    Raises:
        WrongTextError: If the text has errors.
    """
    source: Source = text_source(text, "<text>", DEFAULTS)
    spec_file = Loader(None, DEFAULTS).load(source, shipped=False)
    evaluator = Interpreter(DEFAULTS)
    scopes = Scopes(evaluator)
    binder = Binder(evaluator, scopes)
    diagnostics = resolve(spec_file)
    bound = binder.bind(spec_file, {})
    diagnostics = [*diagnostics, *scopes.diagnostics, *binder.diagnostics]
    if errors_of(diagnostics):
        raise report_of(diagnostics, DEFAULTS)
    graph, of_graph = graph_of(bound, evaluator, before=diagnostics)
    if errors_of(of_graph):
        raise report_of(of_graph, DEFAULTS)
    return graph


def check_same(written: Graph, graph: Graph, order: Sequence[int], projections: bool = False) -> None:
    """Checks that the graph of a text is the graph that it was written for.

    Args:
        written: The graph of the text.
        graph: The graph that it was written for.
        order: For each node of the text's graph, its node in the other graph.
        projections: Whether a 1x1 convolution may have the padding 0 in the place of `same`.

    Raises:
        WrongTextError: If they differ; the message names the first node that does.
    """
    if len(written.nodes) != len(order):
        raise WrongTextError(f"the text has {len(written.nodes)} nodes, and {len(order)} were written")
    if len({*order}) != len(order):
        raise WrongTextError("a node is written twice")
    modules: dict[str, str] = {}
    for node, place in zip(written.nodes, order, strict=True):
        original = graph.nodes[place]
        problem = _difference(node, original, order, projections)
        if problem:
            raise WrongTextError(f"node `{node.name}` of the text is `{original.name}` of the graph, but {problem}")
        if modules.setdefault(original.module_name, node.module_name) != node.module_name:
            raise WrongTextError(f"node `{node.name}` does not share the module of `{original.name}`")
    if len({*modules.values()}) != len(modules):
        raise WrongTextError("two modules have become one")
    results = [(order[output.node], output.training_only) for output in written.outputs]
    expected = [(output.node, output.training_only) for output in graph.outputs]
    if results != expected:
        raise WrongTextError(f"the outputs are {results}, not {expected}")


def _difference(node: Node, original: Node, order: Sequence[int], projections: bool) -> str:
    if node.operator != original.operator:
        return f"it is `{node.operator}`, not `{original.operator}`"
    if not (_same_attributes(node.attributes, original.attributes) or (projections and _unpadded(node, original))):
        return f"its arguments are {node.attributes}, not {original.attributes}"
    if node.shape != original.shape:
        return f"its shape is {node.shape}, not {original.shape}"
    inputs = tuple([order[source] for source in node.inputs])
    if inputs != original.inputs and not (commutes(node) and sorted(inputs) == sorted(original.inputs)):
        return f"it reads {inputs}, not {original.inputs}"
    return ""


def _unpadded(node: Node, original: Node) -> bool:
    """Whether two 1x1 convolutions differ in the spelling of no padding only."""
    one, other = node.attributes, original.attributes
    if node.operator != "conv" or one is None or other is None or max(getattr(one, "kernel", ())) > 1:
        return False
    spelled = {getattr(one, "padding", ""), getattr(other, "padding", "")}
    zeros = (0,) * (len(node.shape) - 1)
    return spelled == {"same", zeros} and one == other.replaced(padding=getattr(one, "padding", ""))


def _same_attributes(one: Any, other: Any) -> bool:
    return one is other or (one is not None and other is not None and one == other)
