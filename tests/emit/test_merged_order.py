"""One order of names for several sequences, against networkx's reading of them as a graph."""

from __future__ import annotations

from itertools import pairwise

import networkx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from resnext_dsl.emit.blocks.module_block import MismatchError
from resnext_dsl.emit.patterns.unify import merged_order

sequences = st.lists(st.lists(st.sampled_from("abcdef"), unique=True, max_size=5), min_size=1, max_size=4)


@settings(max_examples=100)
@given(sequences)
@example([["a", "b"], ["b", "a"]])
@example([["a", "b"], ["b", "c"], ["c", "a"]])
def test_an_order_agrees_with_each_sequence_unless_they_contradict_each_other(names: list[list[str]]) -> None:
    graph = networkx.DiGraph()
    for sequence in names:
        graph.add_nodes_from(sequence)
        graph.add_edges_from(pairwise(sequence))
    if not networkx.is_directed_acyclic_graph(graph):
        with pytest.raises(MismatchError):
            merged_order(names)
        return
    order = merged_order(names)
    assert sorted(order) == sorted(graph)
    for sequence in names:
        assert [name for name in order if name in sequence] == sequence


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["xc", "abc"], "abxc"),  # the names of the longest sequence come first
        (["abc", "xc"], "abxc"),
        (["abcd", "acxd"], "abcxd"),
        (["ad", "abd", "acd"], "abcd"),
        (["ab", "bx", "by"], "abxy"),
    ],
)
def test_names_that_only_some_sequences_have_come_as_early_as_possible(names: list[str], expected: str) -> None:
    assert "".join(merged_order(names)) == expected
