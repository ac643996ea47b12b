"""Random networks compute what their graphs say, under every name that their graphs give."""

from __future__ import annotations

import ast
import random

import pytest
from emit_oracle import check_equal, network
from random_networks import Writer

from resnext_dsl.diagnostics import ArchError
from resnext_dsl.emit import emit
from resnext_dsl.graph import Graph

LARGEST = 600


def drawn(seed: int) -> Graph:
    """A random network; drawn again until its shapes fit and it is small."""
    source = random.Random(seed)
    while True:
        try:
            graph = network(Writer(source).network())
        except ArchError:
            continue
        widest = max(node.shape[0] for node in graph.nodes)
        if len(graph.nodes) <= LARGEST and widest <= LARGEST:
            return graph


def check(seed: int) -> None:
    graph = drawn(seed)
    check_equal(graph)
    source = emit(graph)
    assert max(map(len, source.splitlines())) <= 120
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(set(classes)) == len(classes)


@pytest.mark.parametrize("seed", range(20))
def test_a_random_network_is_its_graph(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 600))
def test_many_random_networks_are_their_graphs(seed: int) -> None:
    check(seed)
