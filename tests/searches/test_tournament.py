"""Evolution: the parent is the best of a tournament of distinct results among the youngest."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState, create_trial

from resnext_dsl.searches import propose
from resnext_dsl.searches.propose import POPULATION, TOURNAMENT, Proposer


def results(*values: float) -> list[Any]:
    return [create_trial(state=TrialState.COMPLETE, values=[value]) for value in values]


def parents(trials: list[Any], monkeypatch: pytest.MonkeyPatch, times: int = 40) -> set[str]:
    """The values of the parents of some proposals, or "even" for a candidate without a parent."""
    chosen: list[str] = []
    monkeypatch.setattr(propose, "candidate_of", lambda trial: f"{trial.values[0]:g}")
    proposer: Any = Proposer.__new__(Proposer)
    proposer.space = SimpleNamespace(candidate=lambda value: value, mutate=lambda parent, *_: chosen.append(parent))
    proposer._budget, proposer._directions = None, ["minimize"]
    proposer._proposal = lambda candidate: candidate
    proposer._even = lambda: chosen.append("even")
    proposer._rng = np.random.default_rng(0)
    for _ in range(times):
        proposer._evolved(trials)
    return set(chosen)


def test_a_tournament_of_as_many_as_there_are_has_each_of_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = [float(value) for value in range(TOURNAMENT)]
    assert parents(results(*values[::-1]), monkeypatch) == {"0"}
    assert parents(results(*values[1:]), monkeypatch) == {"even"}


def test_a_tournament_of_some_is_won_by_one_of_the_best(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * TOURNAMENT
    chosen = {int(value) for value in parents(results(*map(float, range(count))), monkeypatch)}
    assert len(chosen) > 1
    assert max(chosen) <= count - TOURNAMENT  # as many others compete


def test_only_the_youngest_compete(monkeypatch: pytest.MonkeyPatch) -> None:
    old = results(*[-1.0] * 200)
    assert "-1" not in parents([*old, *results(*map(float, range(POPULATION)))], monkeypatch)
