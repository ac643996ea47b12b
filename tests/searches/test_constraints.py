"""Bounds on metrics, and latencies that are timed: what misses one is on no front, and samplers learn of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import optuna
import pytest
import search_evaluators
from search_specs import SPACE
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.searches import Found
from resnext_dsl.searches.constraints import Bound, bound_of, violations
from resnext_dsl.searches.progress_display import Progress, answer
from resnext_dsl.searches.trials import standing

HERE = Path(__file__).parent
LATENCY = (
    "    budget fast { latency(cpu, 1) <= 10000ms; flops <= 20M }\n    budget slow { latency(cpu, 1) <= 0.001us }\n}\n"
)


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    (tmp_path / "space.arch").write_text(SPACE.rstrip().removesuffix("}") + LATENCY)
    return "space.arch"


def searched(spec: str, **more: Any) -> Found:
    given = {"evaluator": search_evaluators.accuracy, "maximize": "accuracy", "minimize": "flops", "budget": "small"}
    return rx.search(spec, **{**given, "trials": 24, **more})


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("accuracy >= 0.9", Bound("accuracy", ">=", 0.9)),
        (" params<=1_000_000 ", Bound("params", "<=", 1e6)),
        ("latency(cpu, 1) <= 5e-3", Bound("latency(cpu, 1)", "<=", 0.005)),
    ],
)
def test_a_bound_is_read(text: str, bound: Bound) -> None:
    assert bound_of(text) == bound
    assert bound.violation(bound.bound) == 0
    assert (bound.violation(bound.bound + 1) > 0) == (bound.comparison == "<=")


@pytest.mark.parametrize(
    "text",
    ["accuracy", "accuracy > 0.9", "accuracy >= high", "<= 3", "a <= nan", "a <= 1 <= 2", "", f"{'a' * 200} <= 1"],
)
def test_what_is_no_bound_is_refused(spec: str, text: str) -> None:
    with pytest.raises(rx.ArchError, match=r"E205.*a constraint is `METRIC <= NUMBER` or `METRIC >= NUMBER`"):
        searched(spec, constrain=text)


@pytest.mark.parametrize(
    "sampler",
    ["nsga2", "tpe", *(pytest.param(name, marks=pytest.mark.slow) for name in ("random", "regularized-evolution"))],
)
def test_the_front_keeps_the_constraints(spec: str, sampler: str) -> None:
    found = searched(spec, constrain=["accuracy >= 4", "params <= 20000"], sampler=sampler, trials=18)
    assert len(found.trials) == 18
    for trial in found.trials:
        assert trial.feasible == (trial.metrics["accuracy"] >= 4 and trial.metrics["params"] <= 20000)
    kept = [trial for trial in found.trials if trial.feasible]
    assert 0 < len(kept) < 18
    best = {
        trial.number
        for trial in kept
        if not any(
            other.values != trial.values and other.values[0] >= trial.values[0] and other.values[1] <= trial.values[1]
            for other in kept
        )
    }
    assert {trial.number for trial in found.front} == best
    assert {entry["number"] for entry in answer(found)["trials"] if not entry["feasible"]} == {
        trial.number for trial in found.trials if not trial.feasible
    }


def test_optuna_knows_the_constraints(spec: str) -> None:
    found = searched(spec, constrain="accuracy >= 4")
    study = optuna.load_study(study_name="n", storage="sqlite:///n.search.db")
    named = {"accuracy >= 4": None}
    for trial, theirs in zip(found.trials, study.trials, strict=True):
        assert theirs.constraints.keys() == named.keys()
        assert theirs.constraints["accuracy >= 4"] == 4 - trial.metrics["accuracy"]
    assert {trial.number for trial in study.best_trials} == {trial.number for trial in found.front}
    study._storage.remove_session()
    study._storage._backend.engine.dispose()


def test_where_nothing_keeps_them_there_is_no_front(spec: str) -> None:
    found = searched(spec, constrain="accuracy >= 1e9", trials=5)
    assert (found.front, len(found.trials)) == ([], 5)
    study = optuna.load_study(study_name="n", storage="sqlite:///n.search.db")
    line = Progress(found.plan).line(standing(study.trials))
    assert line == "5/5 trials · 0 running · no result meets the constraints yet"
    study._storage.remove_session()
    study._storage._backend.engine.dispose()


def test_a_constraint_on_what_the_evaluator_does_not_give_fails_its_trials(spec: str) -> None:
    found = searched(spec, constrain="speed >= 1", trials=2)
    assert {failure.reason for failure in found.failures} == {
        "EvaluationError: the evaluator gives no metric `speed`; it gives params, flops, macs, activations, accuracy, extra"
    }


def test_a_study_with_other_constraints_is_left_alone(spec: str) -> None:
    searched(spec, constrain="accuracy >= 4", trials=2)
    with pytest.raises(rx.ArchError, match=r"E723.*the storage already has a study `n`"):
        searched(spec, trials=2)


# --- latencies ---


def test_latencies_are_timed_and_may_be_objectives(spec: str) -> None:
    found = searched(
        spec, budget="fast", measure=True, trials=2, minimize="latency(cpu, 1)", width=8, act="relu", workers=1
    )
    assert len(found.trials) == 2
    for trial in found.trials:
        assert 0 < trial.metrics["latency(cpu, 1)"] < 1
        assert trial.values[1] == trial.metrics["latency(cpu, 1)"]


def test_what_is_too_slow_is_not_evaluated(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(network: Any, candidate: Any) -> dict[str, float]:
        raise AssertionError("it was evaluated")

    found = searched(spec, budget="slow", measure=True, trials=2, evaluator=never, minimize=())
    assert (len(found.trials), len(found.failures)) == (0, 2)
    for failure in found.failures:
        assert re.fullmatch(r"`latency\(cpu, 1\)` is [\d.]+(us|ms|s); the limit is <= 1ns", failure.reason)


def test_a_device_that_is_not_there_is_one_error_at_its_limit(spec: str) -> None:
    text = Path(spec).read_text().replace("latency(cpu, 1) <= 0.001us", 'latency("cuda:99", 1) <= 1ms')
    Path(spec).write_text(text)
    with pytest.raises(rx.ArchError, match="this machine has no device `cuda:99`") as caught:
        searched(spec, budget="slow", measure=True)
    (found,) = caught.value.diagnostics
    assert (found.code, found.span.text) == ("E603", 'latency("cuda:99", 1) <= 1ms')


def test_bounds_that_differ_in_their_last_digit_are_two() -> None:
    bounds = [bound_of("params <= 1234567"), bound_of("params <= 1234568"), bound_of("params <= 0.1")]
    assert violations(bounds, {"params": 1234568}) == {
        "params <= 1234567": 1,
        "params <= 1234568": 0,
        "params <= 0.1": 1234567.9,
    }


def test_without_a_latency_there_is_nothing_to_measure(spec: str) -> None:
    with pytest.raises(rx.ArchError, match=r"E202.*no budget of `n` limits a latency"):
        searched(spec, measure=True)


def test_the_command_says_what_misses(spec: str) -> None:
    asked = ["search", spec, "--maximize", "params", "--budget", "small", "--evaluator", "cost", "--trials", "6"]
    result = CliRunner().invoke(app, [*asked, "--constrain", "flops <= 300000", "--sampler", "random"])
    assert result.exit_code == 0, result.output
    assert "of them miss flops <= 300000" in result.stdout
    result = CliRunner().invoke(app, [*asked, "--constrain", "flops <= 300000", "--sampler", "random", "--json"])
    read = json.loads(result.stdout)
    assert all(trial["feasible"] == (trial["metrics"]["flops"] <= 300000) for trial in read["trials"])
