"""Every shipped network, written as a text from its graph alone, loads to the same network."""

from __future__ import annotations

import re
import statistics

import arch_text_lines
import pytest
from arch_text_lines import NAMES, text_of
from stripped_graphs import stripped

import resnext_dsl as rx
from resnext_dsl.arch_text import arch_text
from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.ir import Graph, fingerprint
from resnext_dsl.rewrite import canonical

LARGEST = 4000
"""Forms with more nodes are written in the slow part."""


def check_text(graph: Graph, text: str, order: tuple[int, ...], joins: bool = True) -> rx.Network:
    """Checks a text against the graph by other means than the writer's own comparison.

    `joins` is whether the canonical forms are compared too. In a graph without structure they depend on the order of
    its nodes.
    """
    network = rx.loads(text)
    assert fingerprint(network.ir) == fingerprint(graph)
    assert network.fingerprint == fingerprint(canonical(graph)) or not joins
    assert [node.operator for node in network.ir.nodes] == [graph.nodes[index].operator for index in order]
    assert [node.shape for node in network.ir.nodes] == [graph.nodes[index].shape for index in order]
    assert sorted(order) == list(range(len(graph.nodes)))
    assert format_text(Source("text.arch", text)) == text
    return network


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_stripped_graph_loads_to_the_same_network(name: str) -> None:
    spec = rx.load(name)
    graph = stripped(spec.ir)
    text, order = arch_text(graph, name)
    network = check_text(graph, text, order)
    assert network.name == name
    assert network.fingerprint == spec.fingerprint
    assert network.cost() == spec.cost()


@pytest.mark.parametrize("name", NAMES)
def test_the_text_of_a_network_loads_to_the_same_network(name: str) -> None:
    spec = rx.load(name)
    text = spec.to_arch()
    assert rx.loads(text).fingerprint == spec.fingerprint
    assert rx.loads(text).to_arch() == text


def forms(largest: bool) -> list[tuple[str, str]]:
    """The rewritten forms of the shipped networks by name."""
    return [
        (name, form)
        for name in (NAMES if largest else ["resnext50_32x4d_a", "resnext50_32x4d_b", "googlenet"])
        for form in "abc"
    ]


def check_form(name: str, form: str, largest: int) -> None:
    spec = rx.load(name)
    try:
        graph = spec.rewrite(form).graph
    except rx.ArchError as refused:
        assert refused.diagnostics[0].code == "E608"  # noqa: PT017
        return
    for one in (graph, stripped(graph)) if len(graph.nodes) <= largest else ():
        text, order = arch_text(one, name)
        check_text(one, text, order)


@pytest.mark.parametrize(("name", "form"), forms(largest=False))
def test_a_rewritten_form_is_written(name: str, form: str) -> None:
    check_form(name, form, LARGEST)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "form"), forms(largest=True))
def test_every_rewritten_form_is_written(name: str, form: str) -> None:
    check_form(name, form, 20000)


def test_texts_are_about_as_long_as_the_shipped_specs() -> None:
    ratios = [row[0] for row in arch_text_lines.table()]
    assert len(ratios) == len(NAMES)
    assert statistics.median(ratios) <= 1.5
    assert max(ratios) <= 3


NUMBER = re.compile(r"\d+(x\d+)*|true|false|first\([^()]*\)|channels_in( [*/]+ \d+)?")


@pytest.mark.parametrize("name", NAMES)
def test_no_block_is_written_twice(name: str) -> None:
    """No two bodies of several lines differ in numbers only."""
    bodies: dict[str, str] = {}
    lines = text_of(name).splitlines()
    for start, line in enumerate(lines):
        if not line.rstrip().endswith("{") or line.startswith("network"):
            continue
        indent = len(line) - len(line.lstrip())
        end = next(k for k in range(start + 1, len(lines)) if len(lines[k]) - len(lines[k].lstrip()) == indent)
        body = "\n".join(one.strip() for one in lines[start + 1 : end])
        if sum(body.count(word) for word in ("conv(", "linear(")) > 1:
            key = NUMBER.sub("#", body)
            assert key not in bodies, body
            bodies[key] = body
