"""What is done before anything is evaluated: many candidates ranked by their cost, or by a score in several processes."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.study._multi_objective import _fast_non_domination_rank
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import Stage, best, non_dominated
from resnext_dsl.searches.progress_display import Progress
from resnext_dsl.searches.scoring import scores
from resnext_dsl.searches.trials import standing

ROWS = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(st.integers(0, 9), min_size=width, max_size=width), min_size=1, max_size=60)
)


def plan(spec: Path, **more: object) -> Plan:
    names = ("params",), ("flops",), ("small",)
    given = Plan(str(spec), {}, None, *names, 5, 1, "", "", "random", "cost", 0, 20, "", 20)
    return given._replace(**more)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "space.arch"
    path.write_text(SPACE)
    return path


@settings(deadline=None)
@given(ROWS)
def test_layers_are_those_of_optuna(rows: list[list[int]]) -> None:
    ranks = np.array(rows, dtype=np.int64)
    theirs = _fast_non_domination_rank(ranks.astype(np.float64))
    assert non_dominated(ranks).tolist() == np.flatnonzero(theirs == 0).tolist()
    order = best(list(ranks.T), len(rows))
    assert sorted(order) == list(range(len(rows)))
    assert [theirs[place] for place in order] == sorted(theirs)


def test_of_a_layer_that_does_not_fit_rows_are_taken_evenly() -> None:
    columns = [np.arange(101), 100 - np.arange(101)]
    assert best(columns, 5) == [0, 25, 50, 75, 100]


def test_numbers_beyond_floats_are_told_apart() -> None:
    large = 2**60
    assert best([np.array([large + 1, large, large + 2])], 1) == [1]


def test_many_are_ranked_by_their_cost(spec: Path) -> None:
    found = rx.search(
        str(spec), maximize="params", minimize="flops", evaluator="cost", budget="small", trials=8, screen=300
    )
    assert [stage.name for stage in found.stages] == ["keep the budgets", "ranked by params, flops"]
    whole = list(found.space.candidates("small"))
    assert found.stages[1].came == min(300, len(whole))
    assert found.stages[1].went == len(found.trials) == 8
    costs = [found.space.bind(candidate).cost() for candidate in whole]
    for trial in found.trials:
        params, flops = trial.metrics["params"], trial.metrics["flops"]
        beaten = [
            c for c in costs if (c.params > params and c.flops <= flops) or (c.params >= params and c.flops < flops)
        ]
        assert not beaten


def test_scores_are_the_same_in_several_processes(spec: Path) -> None:
    asked = plan(spec, score="gradient_norm", trials=2)
    space = asked.space({"width": 8})
    candidates = list(itertools.islice(space.candidates("small"), 5))
    told: list[int] = []
    alone = scores(space, candidates, asked, told.append)
    assert len(set(alone)) > 1
    assert scores(space, candidates, asked._replace(workers=2), told.append) == pytest.approx(alone, rel=1e-4)
    assert told == [1, 2, 3, 4, 5] * 2


def test_a_process_that_cannot_score_is_one_error(spec: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = plan(spec, score="gradient_norm", trials=2, workers=2)
    space = asked.space()
    candidates = list(itertools.islice(space.candidates("small"), 4))
    spec.write_text("network n { input image: 3x8x8 }")
    with pytest.raises(rx.ArchError, match=r"E724.*a scoring process ended with status 1"):
        scores(space, candidates, asked, lambda done: None)


def test_an_interrupt_while_scoring_stops_cleanly_and_the_same_call_goes_on(spec: Path) -> None:
    def stop(now: object, stages: list[Stage]) -> None:
        if stages and stages[-1].name == "scored by gradient_norm" and stages[-1].went == 2:
            raise KeyboardInterrupt

    asked = {"maximize": "params", "evaluator": "cost", "budget": "small", "width": 8, "act": "relu", "trials": 2}
    found = rx.search(str(spec), **asked, screen=6, score="gradient_norm", progress=stop)
    assert (found.stopped, found.trials, found.stages) == (True, [], [])
    again = rx.search(str(spec), **asked, screen=6, score="gradient_norm")
    assert (len(again.trials), again.stages[-1].went) == (2, 2)


def test_the_live_line_shows_a_stage(spec: Path) -> None:
    line = Progress(plan(spec)).line(standing([]), [Stage("scored by naswot", 2000, 120)])
    assert line == "scored by naswot: 120 of 2,000"


def test_a_score_chooses_what_is_evaluated(spec: Path) -> None:
    asked = {"maximize": "params", "evaluator": "cost", "budget": "small", "width": 8, "act": "relu"}
    found = rx.search(str(spec), **asked, trials=2, screen=6, score="gradient_norm")
    assert [stage.name for stage in found.stages] == ["keep the budgets", "ranked by gradient_norm"]
    sample = found.space.sample(6, 0, "small")
    known = scores(found.space, sample, found.plan, lambda done: None)
    two = sorted(range(6), key=lambda place: -known[place])[:2]
    assert [trial.candidate for trial in found.trials] == [sample[place] for place in two]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"maximize": ("accuracy",)},
            "candidates are ranked before `accuracy` is known, because it is not a measure of cost",
        ),
        ({"screen": 3}, "the screen chooses 5 candidates, but only 3 are drawn"),
    ],
)
def test_what_cannot_be_ranked_is_refused(spec: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(rx.ArchError, match=f"E205.*{message}"):
        plan(spec, **change).check()
