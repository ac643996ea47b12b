"""Evaluators between two runs of one study, evaluators that fork or end their process, and metrics that they do not give."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.searches.evaluator import _built_in
from resnext_dsl.searches.versions import version_of

HERE = Path(__file__).parent

MINE = '''
import os, sys, time

def helper(candidate):
    return float(candidate["width"])

def accuracy(network, candidate):
    """Grows with the width."""
    return {"accuracy": helper(candidate)}

def forks(network, candidate):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return {"accuracy": 1.0 if child else 2.0}

def leaves(network, candidate):
    if candidate["width"] % 8:
        os._exit(7)
    return {"accuracy": 1.0}

def exits(network, candidate):
    if candidate["width"] % 8:
        sys.exit(5)
    return {"accuracy": 1.0}

def crashes_once(network, candidate):
    try:
        open("crashed", "x").close()
    except FileExistsError:
        return {"accuracy": 1.0}
    os.kill(os.getpid(), 11)
'''


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    (tmp_path / "space.arch").write_text(SPACE)
    (tmp_path / "mine.py").write_text(MINE)
    return "space.arch"


def command(spec: str, evaluator: str, *more: str) -> subprocess.CompletedProcess[str]:
    asked = ["--maximize", "accuracy", "--budget", "small", "--evaluator", evaluator, "--sampler", "random", *more]
    arguments = [sys.executable, "-m", "resnext_dsl", "search", spec, *asked]
    return subprocess.run(arguments, capture_output=True, text=True, timeout=240)


# --- another source ---


def test_an_evaluator_with_another_body_is_named_and_its_results_stay(spec: str, tmp_path: Path) -> None:
    asked = "mine:accuracy", "--trials"
    first = command(spec, *asked, "2", "--json")
    assert (first.returncode, "W903" in first.stderr) == (0, False)
    commented = MINE.replace("    return float", "    # the width alone\n    return float")
    (tmp_path / "mine.py").write_text(commented)
    assert "W903" not in command(spec, *asked, "3").stderr
    (tmp_path / "mine.py").write_text(MINE.replace('float(candidate["width"])', '2 * float(candidate["width"])'))
    again = command(spec, *asked, "4", "--json")
    assert again.returncode == 0
    warning = "--evaluator: warning[W903]: the results of the study come from 2 versions of the evaluator"
    assert warning in again.stderr
    answer = json.loads(again.stdout)
    metrics = [[trial["metrics"] for trial in one["trials"]] for one in (answer, json.loads(first.stdout))]
    assert metrics[0][:2] == metrics[1]


def test_a_version_is_that_of_the_function_and_of_what_it_uses() -> None:
    scope: dict[str, Any] = {}
    exec("def f(network, candidate):\n    return {}", scope)
    assert version_of(scope["f"]) == ""  # there is no source
    assert version_of(None) == ""
    assert version_of(local) == version_of(partial(local, scale=2)) != ""
    assert version_of(local) != version_of(helped)
    assert version_of(rx.search) == ""
    assert version_of(Evaluates()) != ""


def local(network: Any, candidate: Any, scale: int = 1) -> dict[str, float]:
    return {"accuracy": scale}


def helped(network: Any, candidate: Any) -> dict[str, float]:
    return local(network, candidate)


class Evaluates:
    def __call__(self, network: Any, candidate: Any) -> dict[str, float]:
        return local(network, candidate)


# --- processes ---


@pytest.mark.parametrize("workers", [pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_forked_child_records_nothing(spec: str, workers: int) -> None:
    done = command(spec, "mine:forks", "--trials", "4", "--workers", str(workers), "--json")
    assert done.returncode == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert [trial["metrics"]["accuracy"] for trial in trials] == [1.0] * 4
    assert [trial["number"] for trial in trials] == [0, 1, 2, 3]


def test_a_forked_child_of_a_function_records_nothing(spec: str) -> None:
    import mine

    parent = os.getpid()
    found = rx.search(spec, maximize="accuracy", budget="small", evaluator=mine.forks, trials=3)
    assert os.getpid() == parent
    assert [trial.values for trial in found.trials] == [(1.0,)] * 3


@pytest.mark.parametrize(("evaluator", "status"), [("leaves", 7), pytest.param("exits", 5, marks=pytest.mark.slow)])
def test_an_evaluator_that_ends_its_process_fails_its_trial_at_once(spec: str, evaluator: str, status: int) -> None:
    began = time.monotonic()
    done = command(spec, f"mine:{evaluator}", "--trials", "4", "--set", "depths=[1, 1]", "--set", "act=relu", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["failures"]
    assert len(answer["failures"]) + len(answer["trials"]) == 4
    for failure in answer["failures"]:
        assert failure["candidate"]["width"] % 8
        assert failure["reason"] == f"the evaluator ended its process with status {status}"
        assert f"trial {failure['number']} failed: {failure['reason']}" in done.stderr
    if evaluator == "leaves":
        assert f"worker 0 ended with status 7; trial {answer['failures'][0]['number']} failed: no output" in done.stderr
    assert time.monotonic() - began < 60 * len(answer["failures"])  # a heartbeat of 20 s would need a minute for each


def test_a_function_that_calls_exit_fails_its_trial(spec: str) -> None:
    import mine

    found = rx.search(spec, maximize="accuracy", budget="small", evaluator=mine.exits, trials=6)
    assert {failure.reason for failure in found.failures} == {"the evaluator ended its process with status 5"}
    assert len(found.failures) + len(found.trials) == 6


def test_a_trial_whose_worker_crashes_is_tried_again_at_once(spec: str) -> None:
    done = command(spec, "mine:crashes_once", "--trials", "2", "--json")
    assert done.returncode == 0, done.stderr
    assert "worker 0 was killed by signal 11; trial 0 is tried again: no output" in done.stderr
    assert [trial["number"] for trial in json.loads(done.stdout)["trials"]] == [1, 2]


# --- metrics ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluator": "cost"}, "`cost` gives no metric `accuracy` it gives params, flops, macs, activations"),
        ({"evaluator": "digits", "maximize": "acuracy"}, "the evaluator gives no metric `acuracy` did you mean"),
        (
            {"evaluator": "cost", "maximize": "params", "constrain": "loss <= 1"},
            "`cost` gives no metric `loss` it gives",
        ),
    ],
)
def test_a_metric_that_the_evaluator_does_not_give_is_refused_at_once(
    spec: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.search(spec, **{"maximize": "accuracy", "budget": "small", "trials": 2, **change})
    (found,) = caught.value.diagnostics
    assert (found.code, message in f"{found.message} {found.hint}") == ("E721", True), found
    assert not (tmp_path / "n.search.db").exists()


def test_a_function_may_name_its_metrics(spec: str) -> None:
    def evaluate(network: Any, candidate: Any) -> dict[str, float]:
        return {"accuracy": 1.0}

    evaluate.metrics = ("accuracy",)  # type: ignore[attr-defined]
    with pytest.raises(rx.ArchError, match=r"E721.*the evaluator gives no metric `loss`"):
        rx.search(spec, minimize="loss", evaluator=evaluate, budget="small", trials=1)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("digit", "did you mean `digits`?"),
        ("costs", "did you mean `cost`?"),
        ("nothing_like_these", "built in: cost, digits, cifar10, cifar100, folder; your own: `module:function`"),
    ],
)
def test_an_unknown_evaluator_is_told_the_nearest_or_all(name: str, hint: str) -> None:
    with pytest.raises(ArchError, match=f"unknown evaluator `{name}`") as caught:
        _built_in(name, {})
    assert caught.value.diagnostics[0].hint == hint
