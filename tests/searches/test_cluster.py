"""Searches whose trials run on a Ray cluster: the real thing, of one node or two, on this machine."""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from interrupts import interrupted
from ray_clusters import ray_cluster
from search_specs import SPACE
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.searches import Found

ray = pytest.importorskip("ray")

# What an evaluator of a user's own looks like; it lies in the working folder only.
EVALUATORS = """
import os, time

def accuracy(network, candidate):
    import ray
    began = time.time()
    time.sleep(0.3)
    needs = ray.get_runtime_context().get_assigned_resources() if ray.is_initialized() else {}
    found = {"accuracy": candidate.get("width", 8) / (1 + sum(candidate.get("depths", [1]))), "began": began, "ended": time.time()}
    on = {"cpu": needs.get("CPU", 0), "slot": needs.get("slot", 0), "gpu": needs.get("GPU", 0)}
    return {**found, **on, "copied": float("_ray_pkg_" in os.getcwd())}

def leaves(network, candidate):
    if candidate["width"] % 8:
        os._exit(7)
    return {"accuracy": 1.0}

def crashes(network, candidate):
    try:
        open("crashed", "x").close()
    except FileExistsError:
        return {"accuracy": 1.0}
    os.kill(os.getpid(), 9)

def endless(network, candidate):
    open(f"began-{os.getpid()}", "w").close()
    time.sleep(600)
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A spec in a working folder of its own, beside an evaluator."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "space.arch").write_text(SPACE)
    (tmp_path / "mine.py").write_text(EVALUATORS)
    return "space.arch"


def searched(spec: str, **more: Any) -> Found:
    asked = {"maximize": "accuracy", "budget": "small", "evaluator": "mine:accuracy", "heartbeat": 5, "engine": "ray"}
    return rx.search(spec, **{**asked, **more})


def test_trials_run_with_their_resources_and_any_engine_goes_on(
    spec: str, one_node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    first = searched(spec, trials=3, engine="processes")
    found = searched(spec, trials=16, workers=5, resources={"cpu": 3, "slot": 0.25})
    assert found.trials[:3] == first.trials
    assert len({found.space.bind(trial.candidate).fingerprint for trial in found.trials}) == len(found.trials) == 16
    on_cluster = [trial.metrics for trial in found.trials[3:]]
    assert {(metrics["cpu"], metrics["slot"], metrics["copied"]) for metrics in on_cluster} == {(3, 0.25, 0)}
    # Five at a time were asked for, of which eight CPUs hold two.
    at_once = [sum(a["began"] <= b["began"] < a["ended"] for a in on_cluster) for b in on_cluster]
    assert max(at_once) == 2
    again = searched(spec, trials=18, engine="processes")
    assert again.trials[:16] == found.trials
    assert len(again.trials) == 18


def test_an_exhausted_space_ends_the_search_on_a_connection_of_the_program(spec: str, one_node: str) -> None:
    environment = {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
    ray.init(one_node, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
    try:
        hold_an_exhausted_space(spec)
        assert ray.is_initialized()
    finally:
        ray.shutdown()


def hold_an_exhausted_space(spec: str) -> None:
    found = searched(spec, width=8, depths=[1, 1], trials=100, workers=2)
    assert found.exhausted
    assert len(found.trials) == len(list(found.space.candidates("small"))) == 2


def test_a_server_gets_the_working_folder_to_the_whole_cluster(
    spec: str, one_node: str, postgresql: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    (tmp_path / "old.db").write_text("not to be copied")
    found = searched(str(tmp_path / spec), trials=4, workers=2, storage=postgresql, study="copied")
    assert [trial.metrics["copied"] for trial in found.trials] == [1] * 4
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(rx.ArchError, match=r"E724.*space.arch is outside the working folder; the nodes"):
        searched(str(tmp_path / spec), trials=5, storage=postgresql, study="copied")


@pytest.mark.slow
def test_trials_run_on_another_node(
    spec: str, postgresql: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with ray_cluster("2", "2:gpu") as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        more = {"trials": 6, "workers": 2, "resources": {"cpu": 1, "gpu": 0.5}}
        with pytest.raises(
            rx.ArchError, match=r"E722.*a SQLite file works on one machine only; the cluster has 2 nodes"
        ):
            searched(spec, **more)
        found = searched(spec, **more, storage=postgresql, study="another")
        assert [(trial.metrics["gpu"], trial.metrics["copied"]) for trial in found.trials] == [(0.5, 1)] * 6
        # The evaluator would train on the CPU, since nothing asks for the GPU of the cluster.
        words = r"E724.*\(status 2\).*the search sees 1 GPU and this worker cannot use any.*--resources gpu=1"
        with pytest.raises(rx.ArchError, match=words):
            searched(spec, trials=1, evaluator="digits", width=4, storage=postgresql, study="trained")
        # What every worker finds impossible ends the search with their words, not with an endless try.
        (tmp_path / ".gitignore").write_text("mine.py\n")
        with pytest.raises(rx.ArchError, match=r"E724.*\(status 2\).*cannot import `mine`: ModuleNotFoundError"):
            searched(spec, **{**more, "trials": 9}, storage=postgresql, study="another")


def test_control_c_leaves_nothing_running_and_the_same_command_goes_on(
    spec: str, one_node: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    command = [
        *(sys.executable, "-m", "resnext_dsl", "search", spec, "--maximize", "accuracy", "--budget", "small"),
        *("--evaluator", "mine:endless", "--trials", "40", "--workers", "3", "--engine", "ray"),
        *("--resources", "cpu=4"),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    end = time.monotonic() + 60
    while len(list(tmp_path.glob("began-*"))) < 2 and time.monotonic() < end:
        time.sleep(0.1)
    began = time.monotonic()
    out, err = interrupted(process)
    assert time.monotonic() - began < 10  # it does not wait for evaluators that sleep
    assert process.returncode == 0, err
    assert "n: 0 results (stopped; the same command goes on)" in out
    connection = sqlite3.connect("n.search.db")
    states = [state for (state,) in connection.execute("SELECT state FROM trials")]
    stopped = connection.execute("SELECT COUNT(*) FROM trial_user_attributes WHERE key = 'stopped'").fetchone()
    connection.close()
    assert states == ["FAIL", "FAIL"]
    assert stopped == (2,)


def test_an_evaluator_that_ends_its_process_fails_its_trial_at_once(
    spec: str, one_node: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    more = {"sampler": "random", "depths": [1, 1], "act": "relu", "heartbeat": 20}
    found = searched(spec, evaluator="mine:leaves", trials=5, **more)
    assert found.failures
    assert {failure.reason for failure in found.failures} == {"the evaluator ended its process with status 7"}
    assert all(failure.candidate["width"] % 8 for failure in found.failures)
    assert len(found.failures) + len(found.trials) == 5
    capsys.readouterr()
    again = searched(spec, evaluator="mine:crashes", trials=3, study="crashes", **more)
    assert [trial.number for trial in again.trials] == [1, 2, 3]
    assert re.search(r"worker 0 ended with status 1; trial 0 is tried again: The worker died", capsys.readouterr().err)


# --- mistakes ---


def test_a_cluster_that_is_not_there(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(rx.ArchError) as caught:
        searched(spec, trials=1)
    (found,) = caught.value.diagnostics
    assert found.code == "E724"
    assert found.message == "cannot use a Ray cluster at 127.0.0.1:1: [Errno 111] Connection refused"
    assert found.hint == "start one with `ray start --head`, or name one: RAY_ADDRESS=HOST:6379"
    monkeypatch.setenv("RAY_ADDRESS", "ray://127.0.0.1:1")
    with pytest.raises(rx.ArchError, match=r"E724.*at ray://127.0.0.1:1: this is the address of a Ray client"):
        searched(spec, trials=1)


def test_resources_that_no_node_has(spec: str, one_node: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    with pytest.raises(rx.ArchError) as caught:
        searched(spec, trials=1, resources={"cpu": 9, "gpu": 0.5})
    (found,) = caught.value.diagnostics
    assert found.code == "E724"
    assert found.message == "no node of the cluster has cpu=9, gpu=0.5; the most that one has: cpu=8, gpu=0"
    with pytest.raises(rx.ArchError, match=r"E724.*Ray refuses these resources: The precision of"):
        searched(spec, trials=1, resources={"slot": 0.00001})


def test_only_a_cluster_needs_ray(spec: str) -> None:
    program = (
        "import sys; sys.modules['ray'] = None; import resnext_dsl as rx; from resnext_dsl.cli import main; "
        "rx.search('space.arch', maximize='params', evaluator='cost', budget='small', trials=1, progress=False); main()"
    )
    asked = ["search", spec, "--maximize", "params", "--evaluator", "cost", "--budget", "small", "--engine", "ray"]
    done = subprocess.run([sys.executable, "-c", program, *asked], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.endswith(
        "opening sqlite:///n.search.db\n"
        "--engine: error[E724]: searching on a cluster needs ray, which is not installed\n"
        "  help: pip install 'resnext-dsl[ray]'\n"
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--engine", "rya"], "unknown engine `rya`"),
        (["--resources", "cpu=2"], "processes of this machine share its resources; only `ray` reserves them per trial"),
        (["--engine", "ray", "--resources", "gpu=-1"], "`gpu` must be 0 or more; found -1"),
        (["--engine", "ray", "--resources", "gpu=half"], "`--resources gpu=half` is not a number"),
        (["--engine", "ray", "--resources", "gpu"], "`--resources gpu` is not NAME=VALUE"),
    ],
    ids=lambda given: given[-1] if isinstance(given, list) else "",
)
def test_mistakes_are_one_clear_error(spec: str, given: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["search", spec, "--maximize", "params", "--evaluator", "cost", *given])
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_function_stays_in_this_process(spec: str) -> None:
    with pytest.raises(rx.ArchError, match=r"E721.*a function can only run in this process; found engine `ray`"):
        searched(spec, evaluator=lambda network, candidate: {"accuracy": 1.0})


def test_a_new_turn_of_a_stopped_worker_has_the_usual_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnext_dsl.searches import cluster, patience, worker

    monkeypatch.setattr(patience._state, "limit", patience.AWAY)
    turn = cluster.Turn.__new__(cluster.Turn)
    turn._evaluating = False
    turn.begin("first")
    turn.stop()
    assert (turn.is_over, patience._state.limit) == (False, worker.STOPPING)
    turn.begin("second")
    assert (turn.name, turn.is_over, turn.had_trial) == ("second", True, False)
    assert patience._state.limit == patience.AWAY
