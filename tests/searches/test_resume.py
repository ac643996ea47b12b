"""A study whose domains have changed: its trials stay if they are candidates of the new space."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import optuna
import pytest
import search_evaluators
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.searches import Found, read

HERE = Path(__file__).parent


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    path = tmp_path / "space.arch"
    path.write_text(SPACE)
    return path


def searched(**more: Any) -> Found:
    given = {"evaluator": search_evaluators.accuracy, "maximize": "accuracy", "minimize": "flops", "budget": "small"}
    return rx.search("space.arch", **{**given, "trials": 12, **more})


WIDER = {
    "range": ("8 in 4..64 step 4", "8 in 4..96 step 4"),
    "set": ("{relu, silu}", "{relu, silu, hardswish}"),
    "list": ("[1..4, 1..4]", "[1..5, 1..4]"),
    "default": ("width  = 8", "width  = 12"),
}


SAMPLERS = ("nsga2", "tpe", "random", "regularized-evolution")
QUICK = set(zip(WIDER, SAMPLERS, strict=True))
"""Every change once, and every sampler once."""


@pytest.mark.parametrize(
    ("change", "sampler"),
    [
        pytest.param(change, sampler, marks=() if (change, sampler) in QUICK else pytest.mark.slow)
        for change in WIDER
        for sampler in SAMPLERS
    ],
)
def test_trials_stay_in_wider_domains(
    spec: Path, sampler: str, change: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = searched(sampler=sampler, trials=10)
    capsys.readouterr()
    spec.write_text(SPACE.replace(*WIDER[change]))
    more = searched(sampler=sampler, trials=18)
    assert (
        "the domains have changed: all 10 trials are candidates of the new ones and are kept\n"
        in capsys.readouterr().err
    )
    assert more.trials[:10] == first.trials
    assert len(more.trials) == 18
    assert len({more.space.bind(trial.candidate).fingerprint for trial in more.trials}) == 18
    if change == "set":
        assert "hardswish" in {trial.candidate["act"] for trial in more.trials[10:]}
    assert len(read("space.arch").trials) == 18
    processes = {"workers": 2, "evaluator": "search_evaluators:accuracy"} if change == "set" else {}
    again = searched(sampler=sampler, trials=20, **processes)
    assert again.trials[:18] == more.trials
    assert "the domains have changed" not in capsys.readouterr().err
    study = optuna.load_study(study_name="n", storage="sqlite:///n.search.db")
    assert len([trial for trial in study.trials if trial.values]) == 20


def test_trials_outside_narrower_domains_are_refused(spec: Path) -> None:
    first = searched(trials=20, sampler="random")
    narrow = SPACE.replace("4..64 step 4", "4..32 step 4")
    outside = [trial for trial in first.trials if trial.candidate["width"] > 32]
    assert outside
    spec.write_text(narrow)
    values = ", ".join(f"{name}={value}" for name, value in outside[0].candidate.to_json().items())
    with pytest.raises(rx.ArchError) as caught:
        searched(trials=30)
    (found,) = caught.value.diagnostics
    assert (found.code, found.message) == (
        "E723",
        "the storage already has a study `n`, whose domains differ, and "
        f"{len(outside)} of its 20 trials are no candidates any more (trial {outside[0].number}: {values}); "
        "nothing is changed",
    )
    spec.write_text(SPACE)
    assert searched(trials=20).trials == first.trials


def test_trials_of_another_network_are_refused(spec: Path) -> None:
    searched(trials=3)
    spec.write_text(SPACE.replace("linear(10)", "linear(11)"))
    with pytest.raises(rx.ArchError, match=r"E723.*whose network differ, and 3 of its 3 trials are no candidates"):
        searched(trials=5)


def test_a_study_without_the_parts_of_its_identity_is_continued_and_not_widened(spec: Path) -> None:
    first = searched(trials=3)
    connection = sqlite3.connect("n.search.db")
    with connection:
        connection.execute("DELETE FROM study_user_attributes WHERE key IN ('parts', 'machine', 'evaluator_versions')")
    connection.close()
    assert searched(trials=4).trials[:3] == first.trials
    spec.write_text(SPACE.replace("4..64", "4..96"))
    with pytest.raises(rx.ArchError, match=r"E723.*of another search space, or for other objectives"):
        searched(trials=5)
