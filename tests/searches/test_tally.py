"""Repeated counts of a growing study: the same as a count of all trials at once, without a second look at ended ones."""

from __future__ import annotations

import random
from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from resnext_dsl.searches import trials as module
from resnext_dsl.searches.trials import REASON, STOPPED, VOID, Tally

MARKS = [{}, {}, {REASON: "no room"}, {STOPPED: True}, {VOID: "same architecture as trial 0"}]


def trial(source: random.Random, state: str) -> Any:
    """A trial of one of four architectures."""
    marks = source.choice(MARKS) if state == "FAIL" else {}
    kept = {"architecture": {"key": f"k{source.randrange(4)}", "candidate": {}, "cost": {}}, **marks}
    return create_trial(state=TrialState[state], values=[1.0] if state == "COMPLETE" else None, user_attrs=kept)


def numbers(now: Any, trials: list[Any]) -> list[Any]:
    """The places of the trials of each kind."""
    places = {id(each): place for place, each in enumerate(trials)}
    kinds = [[places[id(each)] for each in kind] for kind in now[:-1]]
    return [*map(sorted, kinds), {key: places[id(each)] for key, each in now.keys.items()}]


@pytest.mark.parametrize("seed", range(20))
def test_a_tally_of_a_growing_study_is_that_of_all_trials_at_once(seed: int) -> None:
    source, tally, trials = random.Random(seed), Tally(), list[Any]()
    for _ in range(25):
        for place, each in enumerate(trials):
            if not each.state.is_finished() and source.random() < 0.4:
                trials[place] = trial(source, source.choice(("COMPLETE", "FAIL", "RUNNING")))
        trials.append(trial(source, source.choice(("COMPLETE", "FAIL", "RUNNING", "WAITING"))))
        assert numbers(tally.standing(trials), trials) == numbers(Tally().standing(trials), trials)


def test_an_ended_trial_with_only_ended_ones_before_it_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Any] = []
    known_key = module.known_key
    monkeypatch.setattr(module, "known_key", lambda each: looked.append(each) or known_key(each))
    source = random.Random(0)
    trials = [trial(source, state) for state in ("COMPLETE", "FAIL", "RUNNING", "COMPLETE")]
    tally = Tally()
    tally.standing(trials)
    assert looked == trials
    looked.clear()
    tally.standing(trials)
    assert looked == trials[2:]
