"""Runs of `python -m benchmarks.gpu`: parts apart from one another, their time, interrupts, machines without a GPU."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import main
from benchmarks.gpu.plan import COMMANDS, Part, chosen
from benchmarks.gpu.record import Record, of_kind, read
from benchmarks.gpu.supervise import ROOT, Supervisor

PARTS = """
import os, signal, time
import torch

def good(run):
    run.check("it runs", True, str(os.getpid()))

def bad(run):
    with run.item("an item that fails"):
        raise KeyError("gone")
    run.check("the next item", True)
    raise ValueError("all of it\\nis wrong")

def broken(run):
    with run.item("an item that breaks the context"):
        raise RuntimeError("CUDA error: device-side assert triggered")
    run.check("never", True)

def dead(run):
    os.kill(os.getpid(), signal.SIGSEGV)

def slow(run):
    run.check("before", True)
    time.sleep(600)

def late(run):
    time.sleep(max(0, run.left()))
    run.time_for("an item", 1.0)

def flags(run):
    torch.backends.cudnn.allow_tf32 = not torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.benchmark = True

def flags_after(run):
    run.check("benchmark is off again", not torch.backends.cudnn.benchmark)
    run.check("TF32 is as torch has it", torch.backends.cudnn.allow_tf32)
"""


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of parts that workers import as `benchmarks.gpu.written_parts`, from another folder."""
    package = tmp_path / "paths"
    package.mkdir()
    (package / "sitecustomize.py").write_text(
        "import importlib.util, sys\n"
        f"spec = importlib.util.spec_from_file_location('benchmarks.gpu.written_parts', {str(package / 'p.py')!r})\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        return spec if name == 'benchmarks.gpu.written_parts' else None\n"
        "sys.meta_path.append(Finder())\n"
    )
    (package / "p.py").write_text(PARTS)
    monkeypatch.setenv("PYTHONPATH", str(package))


def supervised(folder: Path, *names: str, seconds: float = 240.0, part_seconds: float = 60.0) -> tuple[int, list[dict]]:
    """The exit status and the entries of a dry run of some parts."""
    listed = [Part(name, f"written_parts:{name}", part_seconds) for name in names]
    record = Record(folder / "run.jsonl")
    status = Supervisor(record, listed, seconds, True, folder).run(
        {"kind": "header", "command": "truth", "dry": True, "began": ""}
    )
    return status, read(record.path)


def lines(entries: list[dict]) -> list[tuple[str, str, str]]:
    return [(line["part"], line["what"], line["state"]) for line in of_kind(entries, "line")]


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_a_part_that_fails_is_a_line_and_the_rest_goes_on(tmp_path: Path) -> None:
    status, entries = supervised(tmp_path, "bad", "good")
    assert status == 1
    assert [(line["what"], line["state"], line["figure"]) for line in of_kind(entries, "line")[:3]] == [
        ("an item that fails", "not ok", "KeyError: 'gone'"),
        ("the next item", "ok", ""),
        ("the whole part", "not ok", "ValueError: all of it"),
    ]
    assert lines(entries)[3] == ("good", "it runs", "ok")
    assert entries[-1] == {"kind": "end", "status": 1, "reason": "", "missing": []}


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_a_broken_context_and_a_dead_process_cost_their_part_only(tmp_path: Path) -> None:
    status, entries = supervised(tmp_path, "good", "broken", "dead")
    assert status == 1
    assert lines(entries) == [
        ("good", "it runs", "ok"),
        ("broken", "an item that breaks the context", "not ok"),
        ("dead", "the rest of the part", "not ok"),
    ]
    assert of_kind(entries, "line")[2]["figure"] == "its process died: signal SIGSEGV"


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_parts_share_a_process_unless_one_is_alone(tmp_path: Path) -> None:
    listed = [Part("one", "written_parts:good", 60), Part("two", "written_parts:good", 60)]
    listed += [Part("three", "written_parts:good", 60, alone=True), Part("four", "written_parts:good", 60)]
    record = Record(tmp_path / "run.jsonl")
    assert (
        Supervisor(record, listed, 120, True, tmp_path).run(
            {"kind": "header", "command": "truth", "dry": True, "began": ""}
        )
        == 0
    )
    processes = [line["figure"] for line in of_kind(read(record.path), "line")]
    assert processes[0] == processes[1]
    assert len(set(processes)) == 3


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_a_part_that_hangs_is_stopped_and_the_next_one_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.gpu.supervise.GRACE", 0.5)
    status, entries = supervised(tmp_path, "slow", "good", part_seconds=20.0)
    assert status == 0
    assert lines(entries) == [
        ("slow", "before", "ok"),
        ("slow", "the rest of the part", "left out"),
        ("good", "it runs", "ok"),
    ]
    assert of_kind(entries, "line")[1]["figure"] == "stopped: its 20 s are over"


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_a_part_leaves_out_what_it_has_no_time_for(tmp_path: Path) -> None:
    status, entries = supervised(tmp_path, "late", part_seconds=1.0)
    assert status == 0
    assert lines(entries) == [("late", "an item", "left out")]
    assert of_kind(entries, "line")[0]["figure"] == "the time of this part is over"


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_the_time_of_the_command_bounds_all_parts(tmp_path: Path) -> None:
    status, entries = supervised(tmp_path, "slow", "good", seconds=25.0)
    assert status == 0
    assert lines(entries)[-2:] == [("slow", "the rest of the part", "left out"), ("good", "the whole part", "left out")]
    figures = [line["figure"] for line in of_kind(entries, "line")[-2:]]
    assert figures == ["stopped: the time of the command is over", "not reached: its time was over"]
    assert entries[-1]["missing"] == ["good"]
    seconds = [line["seconds"] for line in of_kind(entries, "line")]
    assert seconds[1] > 1 > seconds[0]  # each line has the time since the one before it
    assert seconds[2] == 0
    assert [entry["part"] for entry in of_kind(entries, "part")] == ["imports"]


@pytest.mark.slow
@pytest.mark.usefixtures("parts")
def test_flags_of_torch_are_restored_after_each_part(tmp_path: Path) -> None:
    status, entries = supervised(tmp_path, "flags", "flags_after")
    assert status == 0
    assert [state for _, _, state in lines(entries)] == ["ok", "ok"]


def started(output: Path, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.gpu", "truth", "--dry", "-o", str(output), *words]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for_lines(output: Path, count: int) -> None:
    until = time.monotonic() + 120
    while not output.exists() or output.read_text().count('"kind": "line"') < count:
        assert time.monotonic() < until, "the run has written nothing"
        time.sleep(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_killed_leaves_whole_lines(tmp_path: Path, number: signal.Signals) -> None:
    output = tmp_path / "truth.jsonl"
    run = started(output, "--only", "seeds", "--only", "layouts", "--only", "forms")
    try:
        wait_for_lines(output, 4)
        workers = subprocess.run(["pgrep", "-P", str(run.pid)], capture_output=True, text=True).stdout.split()
        run.send_signal(number)
        run.communicate(timeout=60)
    finally:
        run.kill()
    entries = read(output)
    assert output.read_bytes().endswith(b"\n")
    assert len(of_kind(entries, "line")) >= 4
    assert workers
    until = time.monotonic() + 30
    while any(Path(f"/proc/{worker}").exists() for worker in workers):
        assert time.monotonic() < until, "a worker outlives its run"
        time.sleep(0.1)
    if number == signal.SIGTERM:
        assert run.returncode == 128 + signal.SIGTERM
        assert entries[-1]["reason"] == "stopped by SIGTERM"
        assert "- stopped by SIGTERM" in output.with_suffix(".md").read_text()
    else:
        assert not of_kind(entries, "end")


def test_without_a_gpu_one_line_says_so(tmp_path: Path) -> None:
    output = tmp_path / "truth.jsonl"
    command = [sys.executable, "-m", "benchmarks.gpu", "tax", "-o", str(output)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    )
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("benchmarks.gpu: there is no CUDA device: ")
    assert line.endswith("; `--dry` runs the same code on the CPU")
    assert list(tmp_path.iterdir()) == []


def test_every_part_of_a_command_is_a_function_of_its_module() -> None:
    from importlib import import_module

    for parts in COMMANDS.values():
        assert len({part.name for part in parts}) == len(parts)
        for part in parts:
            module, _, function = part.function.partition(":")
            assert callable(getattr(import_module(f"benchmarks.gpu.{module}"), function)), part.function


def test_an_unknown_part_is_an_error_that_lists_the_parts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tax", "--dry", "--only", "layer"]) == 2
    parts = "environment, networks, compiled, floors, layers, other networks, batch 1, max-autotune"
    expected = f"`tax` has no part `layer`; it has {parts}"
    assert capsys.readouterr().err == f"benchmarks.gpu: {expected}\n"


def test_the_environment_is_part_of_every_choice() -> None:
    assert [part.name for part in chosen("tax", ["layers"])] == ["environment", "layers"]


def test_a_result_file_has_its_suffix(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["truth", "--dry", "-o", "truth.json"]) == 2
    assert capsys.readouterr().err == "benchmarks.gpu: the result file must end in `.jsonl`; found `truth.json`\n"


@pytest.mark.slow
def test_a_dry_run_keeps_no_figures(capfd: pytest.CaptureFixture[str]) -> None:
    results = ROOT / "benchmarks" / "gpu" / "results"
    before = set(results.glob("*")) if results.exists() else set()
    assert main(["tax", "--dry", "--only", "floors"]) == 0
    assert "1 ok, 0 not ok" in capfd.readouterr().out
    assert (set(results.glob("*")) if results.exists() else set()) == before
