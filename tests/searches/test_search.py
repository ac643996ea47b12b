"""Searches: results, samplers, resuming, failures, several processes, and mistakes."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import search_evaluators
from interrupts import interrupted
from search_specs import SOMETIMES, SPACE
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.searches import Found, read
from resnext_dsl.searches.progress_display import Progress, answer
from resnext_dsl.searches.winners import write, written

HERE = Path(__file__).parent


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec in a working folder of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    (tmp_path / "space.arch").write_text(SPACE)
    return "space.arch"


def searched(spec: str, **more: Any) -> Found:
    given = {"evaluator": search_evaluators.accuracy, "maximize": "accuracy", "minimize": "flops", "budget": "small"}
    return rx.search(spec, **{**given, "trials": 12, **more})


def hold(found: Found, trials: int) -> None:
    """Results are of distinct architectures, in budget, with the metrics of the evaluator and the cost; the front is right."""
    assert len(found.trials) == trials
    prints = set()
    for trial in found.trials:
        network = found.space.bind(trial.candidate)
        network.check("small")
        prints.add(network.fingerprint)
        assert trial.metrics["flops"] == network.cost().flops
        assert trial.metrics["accuracy"] == search_evaluators.accuracy(network, trial.candidate)["accuracy"]
        assert trial.values == tuple(trial.metrics[name] for name in found.plan.objectives)
    assert len(prints) == trials
    best = {
        trial.number
        for trial in found.trials
        if not any(
            other.values != trial.values and other.values[0] >= trial.values[0] and other.values[1] <= trial.values[1]
            for other in found.trials
        )
    }
    assert {trial.number for trial in found.front} == best
    assert [trial.values[0] for trial in found.front] == sorted((t.values[0] for t in found.front), reverse=True)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random", "regularized-evolution"])
def test_every_sampler_stays_in_the_budget_and_repeats_nothing(spec: str, sampler: str) -> None:
    found = searched(spec, sampler=sampler, trials=16)
    hold(found, 16)
    again = searched(spec, sampler=sampler, trials=16, study="again")
    assert [trial.candidate for trial in again.trials] == [trial.candidate for trial in found.trials]
    other = searched(spec, sampler=sampler, trials=4, study="other", seed=1)
    assert [trial.candidate for trial in other.trials] != [trial.candidate for trial in found.trials[:4]]


def test_evolution_changes_one_value_of_an_earlier_candidate(spec: str) -> None:
    found = searched(spec, sampler="regularized-evolution", trials=28)
    rows = [
        {"w": c["width"], "a": c["act"], "d": c["depths"][0], "e": c["depths"][1]}
        for c in (t.candidate for t in found.trials)
    ]
    near = [
        any(sum(row[name] != other[name] for name in row) == 1 for other in rows[:place])
        for place, row in enumerate(rows)
        if place >= 10
    ]
    assert all(near)


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "random", "regularized-evolution"])
def test_dimensions_that_are_there_sometimes(spec: str, sampler: str) -> None:
    Path(spec).write_text(SOMETIMES)

    def evaluate(network: rx.Network, candidate: rx.spaces.Candidate) -> dict[str, float]:
        assert ("more" in candidate) == ("rate" in candidate) == candidate["deep"]
        return {"accuracy": candidate["width"] + candidate.get("more", 0) - candidate["_lr"]}

    found = rx.search(spec, maximize="accuracy", minimize="flops", evaluator=evaluate, trials=15, sampler=sampler)
    assert len(found.trials) == 15
    assert {trial.candidate["deep"] for trial in found.trials} == {False, True}
    for trial in found.trials:
        assert found.space.bind(trial.candidate).cost().flops == trial.metrics["flops"]
    assert searched_again(found).trials == found.trials
    for path, trial in zip(
        write(found.space, [t.candidate for t in found.front], Path("out")), found.front, strict=True
    ):
        assert rx.load(path).fingerprint == found.space.bind(trial.candidate).fingerprint


def searched_again(found: Found) -> Found:
    """What is read of a study."""
    return read(found.plan.spec)


def test_the_same_call_goes_on(spec: str) -> None:
    first = searched(spec, trials=5)
    more = searched(spec, trials=9)
    hold(more, 9)
    assert more.trials[:5] == first.trials
    assert searched(spec, trials=3).trials == more.trials


def test_an_exhausted_space_ends_the_search(spec: str) -> None:
    found = searched(spec, width=8, act="relu", trials=100, sampler="nsga2")
    assert found.exhausted
    hold(found, len(list(found.space.candidates("small"))))


def test_models_are_compiled_for_evaluators_that_want_them(spec: str) -> None:
    found = searched(spec, evaluator=search_evaluators.modelled, trials=2)
    for trial in found.trials:
        assert trial.metrics["weights"] == trial.metrics["params"]
        assert trial.metrics["accuracy"] == 10


def test_failures_are_kept_with_their_reason(spec: str) -> None:
    found = searched(spec, evaluator=search_evaluators.fragile, trials=40, minimize=())
    reasons = {failure.reason for failure in found.failures}
    assert reasons == {"MemoryError: no room", "EvaluationError: the metric `accuracy` is nan"}
    assert {failure.candidate["width"] for failure in found.failures} == {8, 16}
    assert len(found.trials) + len(found.failures) == 40


@pytest.mark.parametrize(
    ("evaluator", "reason"),
    [
        ("silent", "the evaluator gives no metric `accuracy`; it gives params, flops, macs, activations, loss"),
        ("nonsense", "an evaluator gives a dict of metrics; found str"),
        ("worded", "a metric is a name and a number; found 'accuracy': 'good'"),
    ],
)
def test_nonsense_is_a_failure(spec: str, evaluator: str, reason: str) -> None:
    found = searched(spec, evaluator=getattr(search_evaluators, evaluator), trials=2)
    assert [failure.reason for failure in found.failures] == [f"EvaluationError: {reason}"] * 2


def test_hopeless_trials_are_given_up(spec: str) -> None:
    found = searched(spec, evaluator=search_evaluators.pruned, minimize=(), trials=30, sampler="random")
    assert found.failures
    assert all("given up early: `accuracy` is" in failure.reason for failure in found.failures)
    assert found.front[0].values[0] == 5 * max(trial.candidate["width"] for trial in found.trials)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_evaluator_is_given_its_choices(spec: str, workers: int) -> None:
    asked = {"evaluator": "search_evaluators:scaled", "choices": {"scale": 2, "offset": 0.5}, "workers": workers}
    found = searched(spec, **asked, trials=3)
    for trial in found.trials:
        plain = search_evaluators.accuracy(None, trial.candidate)["accuracy"]
        assert trial.metrics["accuracy"] == 2 * plain + 0.5
    with pytest.raises(rx.ArchError, match="E723"):
        searched(spec, **asked | {"choices": {"scale": 3}}, trials=3)


def test_a_built_in_evaluator_is_given_its_choices(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # which torch does not find; `device=cpu` says that it need not
    fixed = ["--set", "width=4", "--set", "act=relu", "--choice", "epochs=1", "--choice", "batch_size=256"]
    more = ["--choice", "lr=0.05", "--choice", "augment=none", "--choice", "device=cpu", "--trials", "1", "--json"]
    status, out, err = run(spec, "--maximize", "accuracy", "--budget", "small", "--evaluator", "digits", *fixed, *more)
    assert status == 0, err
    (trial,) = json.loads(out)["trials"]
    assert 0 < trial["metrics"]["accuracy"] <= 1
    assert trial["device"] == "cpu"


def test_an_object_that_can_be_called_is_an_evaluator(spec: str) -> None:
    twice = functools.partial(search_evaluators.scaled, scale=2)
    found = searched(spec, evaluator=twice, trials=2)
    for trial in found.trials:
        assert trial.metrics["accuracy"] == 2 * search_evaluators.accuracy(None, trial.candidate)["accuracy"]
    assert found.plan.evaluator == "functools:partial"


CHOICES: list[tuple[str, dict[str, Any], str, str]] = [
    ("search_evaluators:scaled", {"scal": 2}, "E721", "the evaluator takes no choice `scal` did you mean `scale`?"),
    ("search_evaluators:accuracy", {"scale": 2}, "E721", "the evaluator takes no choice `scale` it takes none"),
    ("cost", {"epochs": 2}, "E721", "`cost` takes no choices; found `epochs`"),
    ("digits", {"epoch": 2}, "E711", "a recipe has no `epoch` did you mean `epochs`?"),
    ("digits", {"epochs": "many"}, "E711", "`epochs` must be a whole number from 1; found 'many'"),
    ("cifar10", {}, "E712", "say where it lies: --data-dir DIR, in a search --choice data_dir=DIR"),
    ("cifar10", {"data_dir": "nowhere"}, "E712", "nowhere"),
]


@pytest.mark.parametrize(("evaluator", "choices", "code", "message"), CHOICES, ids=[str(case[:2]) for case in CHOICES])
def test_choices_that_are_none(spec: str, evaluator: str, choices: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        searched(spec, evaluator=evaluator, choices=choices, maximize="params", minimize=(), trials=1)
    (found,) = caught.value.diagnostics
    assert (found.code, message in f"{found.file} {found.message} {found.hint}") == (code, True), found


def test_several_processes_share_the_work(spec: str) -> None:
    found = searched(spec, evaluator="search_evaluators:slow", workers=2, trials=12)
    hold(found, 12)


# --- results ---


def test_winners_are_specs(spec: str, tmp_path: Path) -> None:
    found = searched(spec)
    for path, trial in zip(
        write(found.space, [t.candidate for t in found.front], tmp_path / "out"), found.front, strict=True
    ):
        assert rx.load(path).fingerprint == found.space.bind(trial.candidate).fingerprint
        assert rx.space(path).size == found.space.size


def test_winners_of_derived_and_shipped_networks(tmp_path: Path) -> None:
    base = tmp_path / "base.arch"
    base.write_text(SPACE)
    derived = tmp_path / "derived.arch"
    derived.write_text('from "base.arch" import n\nnetwork m = n(width=12) { budget small { flops <= 20M } }\n')
    space = rx.space(derived)
    candidate = space.sample(1)[0]
    assert rx.load(write(space, [candidate], tmp_path)[0]).fingerprint == space.bind(candidate).fingerprint
    with pytest.raises(
        rx.ArchError, match=r"E502.*imports 'base.arch' by a relative path, so write it to the same folder"
    ):
        write(space, [candidate], tmp_path / "elsewhere")
    shipped = rx.space("resnext50_32x4d", resolution=64)
    candidate = shipped.sample(1)[0]
    text = written(shipped, candidate)
    assert rx.loads(text).fingerprint == shipped.bind(candidate).fingerprint
    assert "in 1..64" in text


def test_the_answer_is_json(spec: str) -> None:
    found = searched(spec, trials=6)
    read = json.loads(json.dumps(answer(found)))
    assert [trial["number"] for trial in read["trials"] if trial["on_front"]].sort() == read["front"].sort()
    assert read["objectives"] == {"accuracy": "maximize", "flops": "minimize"}
    assert all(found.space.candidate(trial["candidate"]) for trial in read["trials"])


def test_the_live_line_says_how_it_stands(spec: str) -> None:
    lines = []
    found = searched(
        spec, trials=4, evaluator="search_evaluators:accuracy", progress=lambda now, stages: lines.append(now)
    )
    shown = Progress(found.plan)
    line = shown.line(lines[-1])
    assert line.startswith(f"{len(lines[-1].done)}/4 trials")


# --- the command ---


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["search", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_command_searches_and_goes_on(spec: str, tmp_path: Path) -> None:
    asked = (
        spec,
        "--maximize",
        "accuracy",
        "--minimize",
        "flops",
        "--budget",
        "small",
        "--evaluator",
        "search_evaluators:accuracy",
    )
    status, out, err = run(*asked, "--trials", "6", "-o", "out", "--json")
    assert status == 0, err
    first = json.loads(out)
    assert len(first["trials"]) == 6
    assert [rx.load(path).name for path in first["files"]] == ["n"] * len(first["front"])
    status, out, err = run(*asked, "--trials", "7")
    assert status == 0, err
    assert "n: 7 results" in out
    assert "accuracy" in out
    assert (tmp_path / "n.search.db").exists()


def test_control_c_stops_cleanly_and_the_same_command_goes_on(spec: str, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "resnext_dsl", "search", spec, "--maximize", "accuracy", "--budget", "small"),
        *("--evaluator", "search_evaluators:slow", "--trials", "400", "--workers", "2", "--heartbeat", "5"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 90
    while _complete(tmp_path / "n.search.db") < 3 and time.monotonic() < end:
        time.sleep(0.2)
    out, err = interrupted(process)
    assert process.returncode == 0, err
    assert "stopped; the same command goes on" in out
    assert "Traceback" not in err
    before = _complete(tmp_path / "n.search.db")
    states = _states(tmp_path / "n.search.db")
    assert "RUNNING" not in states
    found = searched(spec, evaluator="search_evaluators:slow", minimize=(), trials=before + 2, workers=1, heartbeat=5)
    assert len(found.trials) >= before + 2


def _states(path: Path) -> list[str]:
    if not path.exists():
        return []
    connection = sqlite3.connect(path)
    try:
        return [state for (state,) in connection.execute("SELECT state FROM trials")]
    except sqlite3.OperationalError:
        return []
    finally:
        connection.close()


def _complete(path: Path) -> int:
    return _states(path).count("COMPLETE")


# --- mistakes ---

WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"maximize": (), "minimize": ()}, "E202", "the request has no goal"),
    ({"maximize": "flops"}, "E203", "`flops` is an objective twice"),
    ({"sampler": "nsag2"}, "E101", "unknown sampler `nsag2`"),
    ({"trials": 0}, "E205", "`trials` must be at least 1; found 0"),
    ({"workers": 2}, "E721", "a function can only run in this process; found 2 workers"),
    ({"evaluator": "search_evaluators:acuracy"}, "E721", "module `search_evaluators` has no function `acuracy`"),
    ({"evaluator": "no_such_module:f"}, "E721", "cannot import `no_such_module`: ModuleNotFoundError"),
    ({"evaluator": "search_evaluators:NUMBER"}, "E721", "`search_evaluators:NUMBER` is not a function; found int"),
    ({"evaluator": "search_evaluators:Kind"}, "E721", "is a class"),
    ({"budget": "smal"}, "E101", "unknown budget `smal`"),
    ({"storage": "nonsense"}, "E722", "cannot use the storage nonsense"),
    ({"storage": "sqlite:////no/such/folder/x.db"}, "E722", "there is no folder /no/such/folder"),
    ({"storage": "sqlite://"}, "E722", "a database in memory cannot be shared; give a file"),
    (
        {"storage": "postgresql+psycopg://me:secret@127.0.0.1:1/x"},
        "E722",
        "cannot use the storage postgresql+psycopg://me:***@",
    ),
    ({"storage": "nosuch://x"}, "E722", "Can't load plugin"),
    ({"score": "synflow", "screen": 3}, "E205", "the score `synflow` chooses 12 candidates, but only 3 are drawn"),
    ({"evaluator": "search_evaluators:accuracy", "budget": "none"}, "E604", "meets the budgets"),
]


@pytest.mark.parametrize(("change", "code", "message"), WRONG, ids=[str(change) for change, *_ in WRONG])
def test_mistakes_are_one_clear_error(spec: str, change: dict[str, Any], code: str, message: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        searched(spec, **change)
    (found,) = caught.value.diagnostics
    assert (found.code, message in f"{found.message} {found.hint}") == (code, True), found
    assert "secret" not in str(caught.value)


def test_a_space_without_domains_cannot_be_searched(spec: str, tmp_path: Path) -> None:
    (tmp_path / "one.arch").write_text("network n { input image: 3x8x8\n conv(4, 1x1) }")
    with pytest.raises(rx.ArchError, match=r"E202.*no parameter of `n` has a domain"):
        searched("one.arch", budget=())


@pytest.mark.parametrize(
    ("change", "different"),
    [
        ({"minimize": "params"}, "objectives"),
        ({"width": 8}, "fixed values"),
        ({"budget": ()}, "budgets"),
        ({"evaluator": search_evaluators.slow}, "evaluator"),
        ({"minimize": "params", "constrain": "accuracy >= 0.1"}, "objectives and constraints"),
    ],
    ids=["objectives", "settings", "budget", "evaluator", "two"],
)
def test_a_study_of_another_search_is_left_alone(spec: str, change: dict[str, Any], different: str) -> None:
    before = searched(spec, trials=3)
    if change == {"budget": ()}:
        Path(spec).write_text(SPACE.replace("    budget none { flops <= 1K }\n", ""))
    with pytest.raises(rx.ArchError, match=rf"E723.*a study `n`, of another search: the {different} differ"):
        searched(spec, **change)
    Path(spec).write_text(SPACE)
    assert searched(spec, trials=3).trials == before.trials


def test_a_study_of_another_program_is_left_alone(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import optuna

    monkeypatch.setattr("resnext_dsl.searches.studies.CREATION", 1.0)
    optuna.create_study(storage="sqlite:///n.search.db", study_name="n", directions=["maximize", "minimize"])
    with pytest.raises(rx.ArchError, match=r"E723.*which was not created by resnext-dsl"):
        searched(spec)
