"""Devices that workers share: their names, their locks, and which a worker sees and uses."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import search_evaluators
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.devices.device_locks import exclusive, gpus, identity, name_on_machine, shared
from resnext_dsl.searches import processes
from resnext_dsl.searches.evaluator import Evaluator
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.progress_display import answer
from resnext_dsl.searches.supervisor import engine_of
from resnext_dsl.searches.worker import devices_of

HERE = Path(__file__).parent


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """What the driver lists on a machine with three GPUs."""
    for place, uuid in enumerate(("GPU-aa11", "GPU-bb22", "GPU-cc33")):
        folder = tmp_path / f"0000:0{place}:00.0"
        folder.mkdir()
        (folder / "information").write_text(f"Model: \t\t H100\nGPU UUID: \t {uuid}\nDevice Minor: \t {place}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "device", "name", "key"),
    [
        ({}, "cpu", "cpu", "cpu"),
        ({}, "mps", "mps", "mps"),
        ({}, "cuda", "cuda:0", "GPU-aa11"),
        ({}, "cuda:2", "cuda:2", "GPU-cc33"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, "cuda", "cuda:2", "GPU-cc33"),
        ({"CUDA_VISIBLE_DEVICES": "2,0"}, "cuda:1", "cuda:0", "GPU-aa11"),
        ({"CUDA_VISIBLE_DEVICES": "GPU-bb"}, "cuda:0", "cuda:GPU-bb", "GPU-bb22"),
        ({"CUDA_VISIBLE_DEVICES": "MIG-77"}, "cuda:0", "cuda:MIG-77", "MIG-77"),
        ({"RESNEXT_DSL_GPU": "1"}, "cuda", "cuda:1", "GPU-bb22"),
    ],
)
def test_all_processes_have_one_name_for_a_device(
    environment: dict[str, str], device: str, name: str, key: str, listed: Path
) -> None:
    assert name_on_machine(device, environment, listed) == name
    assert identity(device, environment, listed) == key


def test_without_the_drivers_list_the_index_is_the_name(tmp_path: Path) -> None:
    assert identity("cuda:1", {"CUDA_VISIBLE_DEVICES": "4,6"}, tmp_path / "none") == "cuda:6"
    assert gpus({}, tmp_path / "none") == []


# --- locks ---


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the locks of a test lie."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"resnext-dsl-{os.getuid()}"


class Holder:
    """A thread that holds a lock until it is told to let go."""

    def __init__(self, lock: Callable[[], Any]) -> None:
        self.has, self._let_go = threading.Event(), threading.Event()
        self._lock = lock
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._lock():
            self.has.set()
            self._let_go.wait(60)

    def end(self) -> None:
        self._let_go.set()
        self._thread.join(60)


def test_who_times_is_alone_and_is_not_overtaken(folder: Path) -> None:
    first, second = (Holder(lambda: shared(["cpu", "cuda:0"])) for _ in range(2))
    assert first.has.wait(10)
    assert second.has.wait(10)
    timing = Holder(lambda: exclusive("cpu"))
    assert not timing.has.wait(0.3)
    late = Holder(lambda: shared(["cpu"]))
    elsewhere = Holder(lambda: shared(["cuda:1"]))
    assert elsewhere.has.wait(10)
    first.end()
    assert not late.has.wait(0.3)
    assert not timing.has.is_set()
    second.end()
    assert timing.has.wait(10)
    assert not late.has.wait(0.3)
    timing.end()
    assert late.has.wait(10)
    late.end()
    elsewhere.end()
    assert {path.stat().st_mode & 0o777 for path in (folder,)} == {0o700}


HOLDS = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from resnext_dsl.devices.device_locks import exclusive
with exclusive("cpu"):
    print("has it", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_process(folder: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(folder.parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    waiting = Holder(lambda: shared(["cpu"]))
    assert not waiting.has.wait(0.3)
    process.send_signal(signal.SIGKILL)
    assert waiting.has.wait(10)
    waiting.end()
    process.communicate()


def test_the_folder_of_another_is_refused(folder: Path) -> None:
    folder.symlink_to(folder.parent)
    words = "must be a folder of this user, since it holds the locks of the devices"
    with pytest.raises(PermissionError, match=words), shared(["cpu"]):
        pass


def test_a_latency_is_timed_alone(folder: Path, tmp_path: Path) -> None:
    spec = tmp_path / "n.arch"
    spec.write_text("network n { input image: 3x8x8\n conv(4, 1x1)\n budget b { latency(cpu, 1) <= 10000ms } }")
    network = rx.load(spec)
    training = Holder(lambda: shared(["cpu"]))
    assert training.has.wait(10)
    timed = threading.Event()

    def time_it() -> None:
        network.check("b", measure=True)
        timed.set()

    thread = threading.Thread(target=time_it, daemon=True)
    thread.start()
    assert not timed.wait(1)
    training.end()
    assert timed.wait(60)
    thread.join()


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
    found = rx.search(spec, **asked, choices={"device": "cpu", "epochs": 1}, study="on purpose")
    assert [trial.device for trial in found.trials] == ["cpu"]


def test_the_device_of_each_result_is_kept(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    asked: Any = {"maximize": "accuracy", "budget": "small", "trials": 2, "evaluator": "search_evaluators:sees"}
    found = rx.search(spec, **asked, choices={"device": "cuda:1"})
    assert found.devices == {"cuda:7": 2}
    assert {entry["device"] for entry in answer(found)["trials"]} == {"cuda:7"}
    assert rx.search(spec, maximize="params", budget="small", trials=2, evaluator="cost", study="cost").devices == {}
