"""Devices of workers: which a worker sees and uses, and that an evaluation shares them."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import search_evaluators
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.searches import processes
from resnext_dsl.searches.evaluator import Evaluator
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.progress_display import answer
from resnext_dsl.searches.session import sees_gpus
from resnext_dsl.searches.supervisor import engine_of
from resnext_dsl.searches.worker import devices_of

HERE = Path(__file__).parent


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the locks of a test lie."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"resnext-dsl-{os.getuid()}"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    (tmp_path / "space.arch").write_text(SPACE)
    return "space.arch"


def test_an_evaluation_shares_its_devices(folder: Path, spec: str) -> None:
    free = []

    def evaluate(network: Any, candidate: Any) -> dict[str, float]:
        with open(folder / "cpu.lock", "wb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                free.append(False)
            else:
                free.append(True)
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return {"accuracy": 1.0}

    rx.search(spec, maximize="accuracy", budget="small", trials=2, evaluator=evaluate)
    assert free == [False, False]


def plan(**more: Any) -> Plan:
    given = Plan("n", {}, None, ("accuracy",), (), (), 5, 2, "", "", "random", "m:f", 0, 0, "", 20)
    return given._replace(**more)


@pytest.mark.parametrize(
    ("visible", "choices", "own", "expected"),
    [
        ("", {}, None, ["cpu"]),
        ("4,6", {}, None, ["cpu", "cuda:0", "cuda:1"]),
        ("4,6", {}, "1", ["cpu", "cuda:1"]),
        ("4,6", {"device": "cuda:1"}, None, ["cpu", "cuda:1"]),
        ("4,6", {"device": "cpu"}, None, ["cpu"]),
    ],
)
def test_devices_that_an_evaluation_keeps_busy(
    visible: str, choices: dict[str, str], own: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    if own is not None:
        monkeypatch.setenv("RESNEXT_DSL_GPU", own)
    takes_it = Evaluator(search_evaluators.sees)
    assert devices_of(takes_it, plan(choices=choices)) == expected
    assert devices_of(Evaluator(None), plan(choices=choices)) == []


# --- which GPU a worker sees ---


@pytest.mark.parametrize(
    ("timed", "choices", "expected"),
    [
        ([], {}, {"CUDA_VISIBLE_DEVICES": "7"}),
        (["cuda", "cpu"], {}, {"CUDA_VISIBLE_DEVICES": "7"}),
        (["cpu", "cuda:1"], {}, {"RESNEXT_DSL_GPU": "1"}),
        (["cuda:0"], {"device": "cuda:1"}, {}),
    ],
)
def test_a_gpu_that_a_budget_names_is_not_hidden(
    timed: list[str], choices: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    started: list[dict[str, str]] = []
    monkeypatch.setattr(processes, "Process", lambda plan, number, environment: started.append(environment))
    session: Any = SimpleNamespace(plan=plan(choices=choices), timed_devices=timed)
    engine_of(session).start(3)
    assert started == [{"RESNEXT_DSL_GPUS": "2", **expected}]


def test_a_worker_trains_on_its_own_of_several_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    from resnext_dsl.train.evaluators import EVALUATORS

    monkeypatch.setenv("RESNEXT_DSL_GPU", "1")
    assert [EVALUATORS["digits"](device=name)._settled() for name in ("auto", "cuda", "cuda:0", "cpu")] == [
        "cuda:1",
        "cuda:1",
        "cuda:0",
        "cpu",
    ]


def test_training_does_not_fall_back_to_the_cpu_unasked(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")  # and torch finds no such GPU
    asked: Any = {"maximize": "accuracy", "budget": "small", "evaluator": "digits", "trials": 1, "width": 4}
    words = "the search sees 1 GPU and this worker cannot use any, so `device=auto` would train on the CPU"
    with pytest.raises(rx.ArchError, match=rf"E724.*{words}.*--choice device=cpu"):
        rx.search(spec, **asked)


def test_the_device_of_each_result_is_kept(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    asked: Any = {"maximize": "accuracy", "budget": "small", "trials": 2, "evaluator": "search_evaluators:sees"}
    found = rx.search(spec, **asked, choices={"device": "cuda:1"})
    assert found.devices == {"cuda:7": 2}
    assert {entry["device"] for entry in answer(found)["trials"]} == {"cuda:7"}
    assert rx.search(spec, maximize="params", budget="small", trials=2, evaluator="cost", study="cost").devices == {}


@pytest.mark.parametrize(
    ("visible", "is_available", "expected"), [("", True, False), ("0", True, True), ("0", False, False)]
)
def test_torch_is_asked_for_a_gpu_only_if_one_may_be_there(
    visible: str, is_available: bool, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    found = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: is_available))
    monkeypatch.setitem(sys.modules, "torch", found if visible else None)  # None: an import fails
    assert sees_gpus() is expected
