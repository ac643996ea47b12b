"""Attempts of a trial: the death of a worker counts, a stopped search and void trials do not."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import TrialState, create_trial

from resnext_dsl.searches.trials import ATTEMPTS, REASON, STOPPED, VOID, standing


def trial(state: str, **attributes: Any) -> Any:
    """A trial of the one architecture of these tests."""
    values = [1.0] if state == "COMPLETE" else None
    kept = {"architecture": {"key": "k", "candidate": {}, "cost": {}}, **attributes}
    return create_trial(state=TrialState[state], values=values, user_attrs=kept)


def counts(*trials: Any) -> tuple[int, int, int]:
    """Results, given-up trials, and trials to try again."""
    now = standing(list(trials))
    return len(now.done), len(now.failed), len(now.dead)


@pytest.mark.parametrize(
    ("deaths", "stops", "expected"),
    [
        (1, 0, (0, 0, 1)),
        (ATTEMPTS - 1, 0, (0, 0, 1)),
        (ATTEMPTS, 0, (0, 1, 0)),
        (0, ATTEMPTS, (0, 0, 1)),
        (ATTEMPTS - 1, ATTEMPTS, (0, 0, 1)),
        (ATTEMPTS, 1, (0, 1, 0)),
    ],
)
def test_a_stopped_trial_is_no_attempt(deaths: int, stops: int, expected: tuple[int, int, int]) -> None:
    stopped = [trial("FAIL", **{STOPPED: True}) for _ in range(stops)]
    assert counts(*[trial("FAIL") for _ in range(deaths)], *stopped) == expected
    assert counts(*stopped, *[trial("FAIL") for _ in range(deaths)]) == expected


def test_a_trial_that_does_not_count_is_no_attempt() -> None:
    assert counts(*[trial("FAIL", **{VOID: True}) for _ in range(ATTEMPTS)]) == (0, 0, 0)


def test_a_result_or_a_failure_ends_the_attempts() -> None:
    assert counts(trial("FAIL"), trial("COMPLETE")) == (1, 0, 0)
    assert counts(trial("FAIL"), trial("FAIL", **{REASON: "no room"})) == (0, 1, 0)
    assert counts(*[trial("FAIL") for _ in range(ATTEMPTS)], trial("COMPLETE")) == (1, 0, 0)
