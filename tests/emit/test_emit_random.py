"""Emitted source of random networks computes their graphs, with the names of the graphs in the state_dict."""

from __future__ import annotations

import ast

import pytest
from emit_oracle import check_equal
from random_networks import drawn

from resnext_dsl.emit import emit


def check(seed: int) -> None:
    graph = drawn(seed).ir
    check_equal(graph)
    source = emit(graph)
    assert max(map(len, source.splitlines())) <= 120
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert len(set(classes)) == len(classes)


@pytest.mark.parametrize("seed", range(14))
def test_a_random_network_is_its_graph(seed: int) -> None:
    check(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(14, 600))
def test_many_random_networks_are_their_graphs(seed: int) -> None:
    check(seed)
