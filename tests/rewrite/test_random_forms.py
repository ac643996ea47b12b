"""Random splits: every form computes the same function, trains the same way, and returns the checkpoint."""

from __future__ import annotations

import pytest
from forms_oracle import Reference, compare, is_the_way_back
from split_graphs import drawn

from resnext_dsl.costs.closed_form import cost_of
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.graph.ir import Graph

CLOSE = 1e-10
CHUNK = 25
FORMS = (("fastest", "train"), ("fastest", "inference"), ("b", "train"), ("a", "train"))


QUICK = 2
"""Chunks of the tests that are not slow."""


@pytest.mark.parametrize(
    "chunk", [*range(QUICK), *(pytest.param(chunk, marks=pytest.mark.slow) for chunk in range(QUICK, 20))]
)
def test_forms_of_random_splits_agree(chunk: int) -> None:
    check_forms(range(chunk * CHUNK, (chunk + 1) * CHUNK), 2)


@pytest.mark.parametrize("rank", [1, 3])
def test_forms_of_random_splits_of_signals_and_clips_agree(rank: int) -> None:
    check_forms(range(1000, 1010), rank)


@pytest.mark.slow
@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("chunk", range(6))
def test_forms_of_many_random_splits_of_signals_and_clips_agree(chunk: int, rank: int) -> None:
    check_forms(range(1010 + chunk * CHUNK, 1010 + (chunk + 1) * CHUNK), rank)


def check_forms(seeds: range, rank: int) -> None:
    """Compares the forms of random splits with the networks as written."""
    rewritten = 0
    for seed in seeds:
        network = drawn(seed, rank)
        reference = Reference(network)
        for form, mode in FORMS if seed % 5 == 0 else FORMS[:2]:
            if form in ("a", "b") and not _has_groups(network.rewrite("c").graph):
                with pytest.raises(ArchError, match="E608"):
                    network.rewrite(form)
                continue
            difference, other = compare(reference, form, mode)
            assert max(difference) <= CLOSE, (seed, form, mode, difference)
            rewritten += other.graph is not network.ir
            if mode == "train":
                assert _learned(network.ir) == _learned(other.graph), (seed, form)
                assert is_the_way_back(other.weights, reference.state), (seed, form)
    assert rewritten > len(seeds) // 2


def _learned(graph: Graph) -> tuple[int, int]:
    """Parameters, and the multiply-adds with learned weights: two equal blurs of one value may become one."""
    cost = cost_of(graph)
    fixed = sum(each.macs for node, each in cost.nodes if node.operator in ("blur_pool", "fixed_conv"))
    return cost.params, cost.macs - fixed


def _has_groups(graph: Graph) -> bool:
    """Whether a convolution has several groups of more than one channel."""
    return any(
        1 < getattr(node.attributes, "groups", 1) < graph.nodes[node.inputs[0]].shape[0]
        for node in graph.nodes
        if node.operator == "conv"
    )
