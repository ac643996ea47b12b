"""The driver of the passes checks the graph around each, bounds the work and names a pass that fails."""

from __future__ import annotations

import pytest
import torch

import resnext_dsl as rx
from resnext_dsl.graph.invariants import InvariantError
from resnext_dsl.rewrite import driver, rewrite
from resnext_dsl.rewrite.carry import FORMULAS, carry
from resnext_dsl.rewrite.driver import Pass
from resnext_dsl.rewrite.rewrite_report import Fired, RewriteReport
from resnext_dsl.rewrite.steps import INVERSE
from resnext_dsl.rewrite.workspace import Workspace

TEXT = "network n { input image: 8x4x4; stage s { split 2 { conv(4, 1x1); relu } merge concat }; relu }"


def broken(work: Workspace, report: RewriteReport) -> None:
    index = len(work.nodes) - 1
    report.fire(Fired.of(work, index, ("shrink",), 1))
    work.nodes[index] = work.nodes[index]._replace(shape=(1, 1, 1))


def endless(work: Workspace, report: RewriteReport) -> None:
    report.fire(Fired.of(work, 1, ("again",), 1))


def test_a_pass_that_breaks_the_graph_is_named_with_its_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_stages", lambda *_: iter([[Pass("broken", broken)]]))
    with pytest.raises(InvariantError, match=r"pass `broken` \(shrink\): node `relu` has the shape"):
        rewrite(rx.loads(TEXT).ir)


def test_a_pass_that_never_ends_is_stopped_after_eight_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "_stages", lambda *_: iter([[Pass("endless", endless)]]))
    assert len(rewrite(rx.loads(TEXT).ir).report.fired) == 8


def test_nothing_to_do_gives_the_same_graph_and_the_map_that_changes_nothing() -> None:
    network = rx.load("resnet18")
    rewritten = network.rewrite()
    assert rewritten.graph is network.ir
    assert rewritten.weights.invertible
    assert not rewritten.weights.steps
    state = network.compile(seed=0).state_dict()
    carried = carry(rewritten.weights, state)
    assert list(carried) == list(state)
    assert all(torch.equal(carried[key], state[key]) for key in state)
    assert not any(carried[key].data_ptr() == state[key].data_ptr() for key in state)


def test_the_same_rewriting_in_every_run() -> None:
    names = [[node.name for node in rx.load("resnext50_32x4d_a").rewrite("b").graph.nodes] for _ in range(2)]
    assert names[0] == names[1]


def test_rewriting_twice_changes_nothing_more() -> None:
    once = rx.load("resnext50_32x4d_a").rewrite()
    assert rewrite(once.graph).graph is once.graph


def test_every_kind_of_step_can_be_carried() -> None:
    assert set(INVERSE) <= set(FORMULAS)
    assert {INVERSE[INVERSE[kind]] for kind in INVERSE} == set(INVERSE)


def test_there_is_no_way_back_from_a_folded_norm() -> None:
    weights = rx.load("resnet18").rewrite(mode="inference").weights
    assert not weights.invertible
    with pytest.raises(ValueError, match="the map has no inverse: it computes with weights or drops some"):
        weights.inverse()
