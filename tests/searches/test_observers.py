"""The progress of a search: lines on standard error, the line on a terminal, outages, and the table of the results."""

from __future__ import annotations

import io
import os
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
import search_evaluators
from rich.console import Console
from search_specs import SPACE
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.searches import observers, patience
from resnext_dsl.searches.progress_display import Progress

HERE = Path(__file__).parent


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    (tmp_path / "space.arch").write_text(SPACE)
    return "space.arch"


def searched(spec: str, **more: Any) -> rx.searches.Found:
    given = {"evaluator": search_evaluators.accuracy, "maximize": "accuracy", "minimize": "flops", "budget": "small"}
    return rx.search(spec, **{**given, "trials": 3, **more})


def test_a_function_writes_a_line_for_each_step_and_trial(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = searched(spec)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert lines[:2] == [
        "reading space.arch and the evaluator `search_evaluators:accuracy`",
        "opening sqlite:///n.search.db",
    ]
    for place, (line, trial) in enumerate(zip(lines[2:], found.trials, strict=True), 1):
        accuracy, flops = trial.values
        assert re.fullmatch(
            rf"{place}/3 trial {trial.number}: accuracy {accuracy:.5g}, flops {flops:,.0f} \(\d+\.\d s\)", line
        ), line
    searched(spec, trials=4)
    again = capsys.readouterr().err.splitlines()
    assert again[2] == "3 of 4 trials are there from earlier runs"
    assert again[3].startswith("4/4 trial 3: accuracy ")


def test_progress_may_be_silent_or_a_function(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[Any] = []
    searched(spec, progress=False)
    searched(spec, trials=4, progress=lambda now, stages: calls.append(now))
    assert capsys.readouterr() == ("", "")
    assert len(calls[-1].done) == 4


def test_a_failure_has_its_reason_in_its_line(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    searched(spec, evaluator=search_evaluators.silent)
    assert (
        "1/3 trial 0 failed: EvaluationError: the evaluator gives no metric `accuracy`; it" in capsys.readouterr().err
    )


def test_a_missed_bound_is_named(spec: str, capsys: pytest.CaptureFixture[str]) -> None:
    searched(spec, constrain="accuracy >= 1000")
    assert ", accuracy >= 1000 missed (" in capsys.readouterr().err


def test_workers_are_announced_and_their_trials_are_lines(spec: str) -> None:
    asked = ["search", spec, "--maximize", "accuracy", "--budget", "small", "--trials", "4", "--workers", "2"]
    result = CliRunner().invoke(app, [*asked, "--evaluator", "search_evaluators:accuracy"])
    assert result.exit_code == 0, result.stderr
    lines = result.stderr.splitlines()
    assert lines[2] == "starting 2 workers; each imports the evaluator `search_evaluators:accuracy` first"
    assert [line.split()[0] for line in lines[3:]] == ["1/4", "2/4", "3/4", "4/4"]


def test_the_line_on_a_terminal_has_steps_events_and_trials(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = searched(spec)
    shown = Progress(found.plan)
    stream = io.StringIO()
    monkeypatch.setattr(shown._live, "console", Console(file=stream))
    shown.step("opening the storage")
    assert shown._text().plain == "opening the storage"
    shown.note("worker 0 ended with status 7")
    assert stream.getvalue() == "worker 0 ended with status 7\n"
    monkeypatch.setattr("resnext_dsl.searches.progress_display.silence", lambda: "the database does not answer")
    assert shown._text().plain == "the database does not answer · opening the storage"


def test_an_outage_is_reported_with_its_beginning_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENT", 0.2)
    monkeypatch.setattr(observers, "LOOK", 0.05)
    notes: list[str] = []
    outage = observers.Outage(notes.append)
    outage.start()
    begin = time.monotonic()

    def operation() -> str:
        if time.monotonic() - begin < 1:
            raise sqlite3.OperationalError("database is locked")
        return "done"

    assert patience.patient(operation) == "done"
    time.sleep(0.3)
    outage.stop()
    assert [re.sub(r"[0-9:]+", "#", note) for note in notes] == [
        "the database does not answer since # (# s)",
        "the database answers again",
    ]
    assert patience.silent_since() is None
    assert patience.answers_again(30)


def test_a_search_that_ends_soon_after_an_outage_reports_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "SILENT", 0.2)
    monkeypatch.setattr(observers, "LOOK", 0.05)
    notes: list[str] = []
    outage = observers.Outage(notes.append)
    outage.start()

    def operation() -> str:
        if notes:
            monkeypatch.setattr(observers, "LOOK", 60.0)
            time.sleep(0.2)  # the thread begins its long wait
            return "done"
        raise sqlite3.OperationalError("database is locked")

    assert patience.patient(operation) == "done"
    assert len(notes) == 1
    begin = time.monotonic()
    outage.stop()
    assert time.monotonic() - begin < 1
    assert notes[1:] == ["the database answers again"]


def test_patience_ends_and_can_be_hurried() -> None:
    def operation() -> None:
        raise sqlite3.OperationalError("unable to open database file")

    for limited in (lambda: patience.patient(operation, 0.3), lambda: hurried(operation)):
        begin = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="unable to open"):
            limited()
        assert time.monotonic() - begin < 5


def hurried(operation: Any) -> None:
    with patience.hurried(0.3):
        patience.patient(operation)


# --- the results as text ---


def test_printed_results_are_a_short_table(spec: str) -> None:
    found = searched(spec, trials=30)
    lines = str(found).splitlines()
    assert lines[0] == "n: 30 results"
    assert lines[1].startswith("evaluated on cpu")
    assert lines[2] == "front"
    assert lines[3].split() == ["trial", "accuracy", "flops", "width", "depths", "act"]
    first = found.front[0]
    values = [str(first.number), f"{first.values[0]:.5g}", f"{first.values[1]:,.0f}", str(first.candidate["width"])]
    assert lines[4].split()[:4] == values
    assert len(lines) == 4 + len(found.front)
    assert repr(found) == f"<Found n: 30 results, {len(found.front)} on the front>"


def test_the_rest_of_a_long_front_is_named(spec: str) -> None:
    found = searched(spec, trials=30, maximize=("params", "accuracy"), minimize="flops")
    front = found.trials[:25]
    text = str(found._replace(front=front))
    assert text.endswith("and 5 more on the front: `--json` lists all of it, `-o DIR` writes it as specs")


def test_a_password_is_in_no_text_of_the_plan(spec: str) -> None:
    from resnext_dsl.searches.passwords import masked, without_password

    url = "postgresql+psycopg://me:topsecret@host/x?sslpassword=hidden1"
    found = searched(spec)
    plan = found.plan._replace(storage=url)
    for text in (repr(plan), str(plan), repr(plan.stored()), repr(found._replace(plan=plan))):
        assert "topsecret" not in text
        assert "hidden1" not in text
    assert without_password(url) == "postgresql+psycopg://me:***@host/x?sslpassword=***"
    assert without_password("sqlite:///n.db") == "sqlite:///n.db"
    assert without_password("postgresql://me@host/x") == "postgresql://me@host/x"
    assert (
        masked("connection of me with topsecret and hidden1 failed", url) == "connection of me with *** and *** failed"
    )
    assert plan.from_json(plan.to_json()).storage == url  # a worker needs it


# --- the folder of the front ---


def test_a_shorter_front_leaves_no_old_winners(spec: str, tmp_path: Path) -> None:
    from resnext_dsl.searches.winners import write

    found = searched(spec, trials=12)
    candidates = [trial.candidate for trial in found.trials]
    folder = tmp_path / "out"
    first = write(found.space, candidates[:6], folder)
    edited = first[5].read_text().replace("linear(10)", "linear(11)")
    first[5].write_text(edited)
    (folder / "n-best.arch").write_text(SPACE)
    (folder / "n-9.arch").write_text("my notes")
    second = write(found.space, candidates[6:8], folder)
    names = {path.name for path in folder.iterdir()}
    assert names == {"n-1.arch", "n-2.arch", "n-6.arch", "n-best.arch", "n-9.arch"}
    assert first[5].read_text() == edited
    for path, candidate in zip(second, candidates[6:8], strict=True):
        assert rx.load(path).fingerprint == found.space.bind(candidate).fingerprint


# --- streams of random numbers ---


def test_commands_have_streams_of_their_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from resnext_dsl.searches import machines

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    here = machines.machine()
    with machines.stream("a study", here) as first, machines.stream("a study", here) as second:
        assert (first, second) == ((), (0, 1))
        with machines.stream("another study", here) as other, machines.stream("a study", "") as third:
            assert (other, third) == ((), (0, 2))
    with machines.stream("a study", here) as again, machines.stream("a study", "another machine") as elsewhere:
        assert again == ()
        assert elsewhere == (int(here[:8], 16), 1)
