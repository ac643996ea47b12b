"""Random networks and graphs without structure are written as texts that load to the same graph."""

from __future__ import annotations

import pytest
from hand_made_graphs import random_graph
from hypothesis import given, settings
from random_networks import drawn
from spec_strategies import Written, written_specs
from stripped_graphs import stripped
from test_texts_of_specs import check_text

import resnext_dsl as rx
from resnext_dsl.arch_text import arch_text
from resnext_dsl.graph.ir import Graph


def check(graph: Graph, joins: bool = True) -> None:
    text, order = arch_text(graph)
    check_text(graph, text, order, joins)


@pytest.mark.parametrize("seed", range(20))
def test_random_networks(seed: int) -> None:
    network = drawn(seed)
    check(network.ir)
    check(stripped(network.ir))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 320))
def test_more_random_networks(seed: int) -> None:
    network = drawn(seed)
    check(network.ir)
    check(stripped(network.ir))


def check_written(written: Written) -> None:
    try:
        network = written.load()
    except rx.ArchError:
        return
    check(network.ir)
    check(stripped(network.ir))


@settings(max_examples=25)
@given(written_specs())
def test_random_specs(written: Written) -> None:
    check_written(written)


@pytest.mark.slow
@settings(max_examples=300)
@given(written_specs())
def test_more_random_specs(written: Written) -> None:
    check_written(written)


@pytest.mark.parametrize("seed", range(25))
def test_graphs_without_structure(seed: int) -> None:
    check(random_graph(seed, 10 + seed), joins=False)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(25, 325))
def test_more_graphs_without_structure(seed: int) -> None:
    check(random_graph(seed, 10 + seed % 60), joins=False)
