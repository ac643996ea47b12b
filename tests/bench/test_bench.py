"""Variants are timed in processes of their own, which take turns and are gone afterwards."""

from __future__ import annotations

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from bench_examples import OTHER, SMALL
from interrupts import interrupted
from safetensors.torch import load_file
from timing_in_process import InThisProcess

import resnext_dsl as rx
from resnext_dsl.bench import backends, bench, rounds
from resnext_dsl.bench.backends import Ready, opened
from resnext_dsl.bench.peak_memory import Memory, of_process
from resnext_dsl.bench.subjects import module_of, save_weights
from resnext_dsl.bench.timing_processes import TimingProcess
from resnext_dsl.bench.timing_worker import MOST_QUEUED, TimingWorker
from resnext_dsl.bench.variants import BACKENDS, BenchSubject, Conditions
from resnext_dsl.devices.memory_format import layout_in
from resnext_dsl.export import TARGETS
from resnext_dsl.importing.libraries import library_module


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "small.arch").write_text(SMALL)
    (tmp_path / "other.arch").write_text(OTHER)
    return tmp_path


def children() -> set[str]:
    done = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True)
    return {line for line in done.stdout.splitlines() if "resnext_dsl.bench.timing_worker" in line}


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Variants are timed without processes of their own; tests of what is timed need none."""
    monkeypatch.setattr(rounds, "TimingProcess", InThisProcess)


def test_a_network_on_two_backends(folder: Path) -> None:
    told: list[tuple[str, int, int]] = []
    report = bench(
        "small.arch",
        backends=("eager", "onnxruntime"),
        settings={"width": "6"},
        conditions=Conditions(batch=2, threads=1),
        rounds=3,
        seconds=0.01,
        progress=lambda *step: told.append(step),
    )
    names = [(timed.variant.subject.name, timed.variant.backend) for timed in report.timed]
    assert names == [("small", "eager"), ("small", "onnxruntime")]
    for timed in report.timed:
        assert [len(times) >= 3 for times in timed.rounds] == [True] * 3
        assert 0 < timed.latency.low <= timed.latency.median <= timed.latency.high < 1
        assert 2e7 < timed.peak < 4e9
    # A backend that runs files does without torch.
    assert [sorted(timed.versions) for timed in report.timed] == [["torch"], ["onnxruntime"]]
    assert report.timed[1].peak < report.timed[0].peak
    assert report.conditions.threads == 1
    assert [done for _, done, _ in told] == list(range(1 + 2 + 6))
    assert {steps for *_, steps in told} == {1 + 2 + 6}
    json.dumps(report.to_json())
    assert list((folder / "temporary").iterdir()) == []
    assert children() == set()


def test_a_step_of_training_takes_longer_than_a_pass(tmp_path: Path) -> None:
    (tmp_path / "small.arch").write_text(SMALL)
    subject = BenchSubject("", "small", (3, 16, 16), str(tmp_path / "small.arch"))
    save_weights(subject, tmp_path / "weights.safetensors")
    medians = {}
    for mode in ("inference", "train"):
        asked = Conditions(batch=16, threads=1, mode=mode)
        ready = opened(subject, "eager", asked, tmp_path / "weights.safetensors", tmp_path)
        medians[mode] = statistics.median(ready.seconds() for _ in range(30))
    assert medians["train"] > 1.5 * medians["inference"]


@pytest.mark.usefixtures("in_this_process")
def test_a_network_of_torchvision(folder: Path) -> None:
    report = bench("resnet18", against=("torchvision",), shape=(3, 32, 32), rounds=1, seconds=0.01)
    assert [timed.variant.label for timed in report.timed] == ["resnet18 of torchvision on eager", "resnet18 on eager"]


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        ({"backends": ("opnvino",)}, "unknown backend `opnvino`", "E607"),
        ({"conditions": Conditions(dtype="int8")}, "unknown dtype `int8`", "E607"),
        ({"conditions": Conditions(mode="infer")}, "unknown mode `infer`", "E607"),
        ({"conditions": Conditions(device="tpu")}, "unknown device `tpu`", "E607"),
        ({"conditions": Conditions(layout="chanels_last")}, "unknown layout `chanels_last`", "E607"),
        (
            {"backends": ("compile-graphs",)},
            "torch.compile with CUDA graphs is timed with device cuda only, not cpu",
            "E607",
        ),
        ({"conditions": Conditions(device="cuda:7")}, "this machine has no device `cuda:7`", "E603"),
        (
            {"backends": ("openvino",), "conditions": Conditions(mode="train")},
            "OpenVINO is timed with mode inference only, not train",
            "E607",
        ),
        ({"against": ("unheard",)}, "`unheard` is neither a file nor a shipped network", "E505"),
        ({"against": ("torchvison",)}, "did you mean `torchvision`?", "E505"),
        ({"against": ("torchvision",)}, "has no network `small`", "E606"),
        ({"shape": (3, 1)}, "3x1", "E304"),
        ({"settings": {"wdth": "3"}}, "has no parameter `wdth`", "E201"),
    ],
)
def test_what_cannot_be_timed_is_one_error(options: dict[str, object], message: str, code: str, folder: Path) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        bench("small.arch", rounds=1, seconds=0.01, **options)  # type: ignore[arg-type]
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == [code]
    assert list((folder / "temporary").iterdir()) == []
    assert children() == set()


@pytest.mark.usefixtures("in_this_process")
def test_both_layouts_are_rows_of_their_own_and_shared_by_the_peer(folder: Path) -> None:
    asked = Conditions(threads=1, layout="both")
    report = bench("small.arch", against=("other.arch",), conditions=asked, rounds=1, seconds=0.01)
    rows = [(timed.variant.subject.name, timed.variant.layout) for timed in report.timed]
    assert rows == [(name, layout) for layout in ("contiguous", "channels_last") for name in ("other", "small")]
    assert [one.variant.layout for one, _ in report.pairs()] == ["contiguous", "channels_last"]
    assert report.to_json()["conditions"]["layout"] == "both"


@pytest.mark.parametrize(("library", "name"), [("", "small"), ("torchvision", "resnet18")])
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_networks_of_all_makers_have_the_layout_that_is_asked_for(
    library: str, name: str, layout: str, folder: Path
) -> None:
    subject = BenchSubject(library, name, (3, 16, 16), "" if library else "small.arch")
    save_weights(subject, folder / "weights.safetensors")
    model = module_of(subject, Conditions(layout=layout), folder / "weights.safetensors")
    assert layout_in(model) == layout


@pytest.mark.parametrize(
    ("mode", "device", "dtype", "layout"),
    [
        ("inference", "cpu", "float32", "channels_last"),
        ("train", "cpu", "float32", "contiguous"),
        ("inference", "cuda:1", "float16", "channels_last"),
        ("inference", "cuda:1", "float32", "contiguous"),
    ],
)
def test_the_layout_of_all_is_that_of_the_spec(mode: str, device: str, dtype: str, layout: str, folder: Path) -> None:
    asked = Conditions(device, dtype, mode=mode)
    assert rounds._layout("small.arch", asked, ("fastest",), {}, None) == layout


@pytest.mark.parametrize(
    ("name", "mode", "device", "dtype", "layout"),
    [
        ("resnext50_32x4d", "inference", "cuda", "bfloat16", "channels_last"),
        ("resnext50_32x4d", "train", "cuda", "bfloat16", "channels_last"),
        ("resnext50_32x4d", "train", "cpu", "float32", "contiguous"),
        ("regnetx_032", "inference", "cuda", "bfloat16", "contiguous"),
        ("resnet50", "train", "cuda", "bfloat16", "contiguous"),
    ],
)
def test_the_layout_follows_from_the_channels_a_group(
    name: str, mode: str, device: str, dtype: str, layout: str
) -> None:
    assert rounds._layout(name, Conditions(device, dtype, mode=mode), ("fastest",), {}, None) == layout


def test_a_turn_ends_with_its_caches_empty_and_runs_in_a_queue() -> None:
    done: list[str] = []

    def queued(count: int) -> float:
        done.append(f"{count} queued")
        return 0.5

    memory = Memory(lambda: None, lambda: 7, lambda: done.append("released"))
    worker = TimingWorker()
    worker.ready = Ready(lambda: 0.001, {}, memory, queued)
    answer = worker.answer({"do": "run", "seconds": 0.0, "least": 4})
    assert answer == {"times": [0.001] * 4, "queued": 0.5}
    assert done == ["4 queued", "released"]
    answer = worker.answer({"do": "run", "seconds": 0.0, "least": 400})
    assert done[2:] == [f"{MOST_QUEUED} queued", "released"]


def test_a_queue_waits_for_the_device_once_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda place: done.append("waits"))
    backends._queued(lambda: done.append("run"), torch.device("cuda"))(3)
    assert done == ["waits", "run", "run", "run", "waits"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # by torch's own pass that freezes
def test_a_frozen_module_keeps_no_weights_of_its_own(folder: Path) -> None:
    subject = BenchSubject("", "small", (3, 16, 16), "small.arch")
    asked = Conditions(batch=2, threads=1, layout="channels_last")
    save_weights(subject, folder / "weights.safetensors")
    model = module_of(subject, asked, folder / "weights.safetensors")
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(images)
        run = torch.compile(model, dynamic=False)
        backends._compile_frozen(run, images)
        torch.testing.assert_close(run(images), expected)
    assert {value.device.type for value in model.parameters()} == {"meta"}


def test_of_all_backends_those_that_can_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, left_out = rounds._chosen(("all",), Conditions(mode="train"))
    assert chosen == ["eager", "compile"]
    assert [left.name for left in left_out] == ["compile-graphs", "aoti", "onnxruntime", "openvino"]
    monkeypatch.setattr(rounds, "find_spec", lambda name: None)
    chosen, left_out = rounds._chosen(("all",), Conditions())
    assert chosen == ["eager", "compile", "aoti"]
    assert left_out[2] == ("openvino", "not installed (openvino): pip install 'resnext-dsl[export]'")


def test_backends_fit_the_targets_of_their_files() -> None:
    for backend in BACKENDS.values():
        if backend.target:
            target = TARGETS[backend.target]
            assert set(target.needs) == set(backend.needs)
            assert target.computes or set(backend.dtypes) <= set(target.dtypes)


@pytest.mark.usefixtures("in_this_process")
def test_one_that_fails_among_all_is_left_out_with_its_reason(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = ["eager", "openvino"]
    monkeypatch.setattr(rounds, "_chosen", lambda names, conditions: (chosen, []))
    (folder / "small.arch").write_text(SMALL.replace("conv(width, 3x3)", "conv(width, 3x3); upsample(2)"))
    ask = InThisProcess.ask

    def fails(process: InThisProcess, does: str, **request: object) -> dict[str, object]:
        if does == "open" and request["backend"] == "openvino":
            raise rounds.untimed("small on openvino: it fell over")
        return ask(process, does, **request)

    monkeypatch.setattr(InThisProcess, "ask", fails)
    report = bench("small.arch", backends=("all",), rounds=1, seconds=0.01)
    assert [timed.variant.backend for timed in report.timed] == ["eager"]
    assert report.left_out == (("small on openvino", "small on openvino: it fell over"),)


# --- processes ---


def test_a_worker_stands_still_between_turns(folder: Path) -> None:
    subject = BenchSubject("", "small", (3, 16, 16), "small.arch")
    fields = {"subject": subject._asdict(), "conditions": Conditions(threads=1)._asdict(), "folder": str(folder)}
    with TimingProcess("small", 1) as process:
        process.ask("prepare", **fields, backends=[])
        process.ask("open", **fields, backend="eager")
        process.suspend()
        await_state(process, "T")
        process.resume()
        assert len(process.ask("run", seconds=0.001, least=5)["times"]) >= 5
    process.close()  # once more does nothing


def await_state(process: TimingProcess, state: str) -> None:
    deadline = time.monotonic() + 10
    status = Path(f"/proc/{process._process.pid}/status")
    while status.read_text().partition("State:\t")[2][0] != state:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_worker_that_dies_says_how() -> None:
    with TimingProcess("small on eager") as process:
        process._process.kill()
        process._process.wait()
        with pytest.raises(rx.ArchError, match="small on eager: its process ended with signal 9"):
            process.ask("run", seconds=1, least=1)


def test_a_worker_answers_what_fails_in_one_line() -> None:
    with TimingProcess("small on eager") as process, pytest.raises(rx.ArchError) as caught:
        process.ask("fly")
    assert caught.value.diagnostics[0].message == "small on eager: KeyError: 'fly'"


def test_a_worker_takes_no_module_from_the_working_directory(folder: Path) -> None:
    (folder / "json.py").write_text("raise SystemExit('a module of the working directory was imported')")
    with TimingProcess("small") as process, pytest.raises(rx.ArchError, match="KeyError"):
        process.ask("fly")


@pytest.mark.skipif(sys.platform != "linux", reason="prctl is of Linux")
def test_a_stopped_worker_ends_with_the_one_who_asks() -> None:
    program = (
        "import os, signal\n"
        "from resnext_dsl.bench.timing_processes import TimingProcess\n"
        "process = TimingProcess('small')\n"
        "try:\n    process.ask('fly')\nexcept Exception:\n    pass\n"
        "process.suspend()\n"
        "print(process._process.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    worker = Path(f"/proc/{int(done.stdout)}")
    deadline = time.monotonic() + 10
    while worker.exists() and "Z (zombie)" not in (worker / "status").read_text() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.exists() or "Z (zombie)" in (worker / "status").read_text()


def test_an_interrupt_leaves_no_process_and_no_file(folder: Path) -> None:
    environment = os.environ | {"TMPDIR": str(folder / "temporary")}
    program = [sys.executable, "-m", "resnext_dsl", "bench", "small.arch", "--rounds", "9999"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    while not list((folder / "temporary").glob("resnext-dsl-bench-*/0/weights.safetensors")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    out, err = interrupted(process)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert list((folder / "temporary").iterdir()) == []


# --- what is timed ---


def test_weights_keep_values_in_range(tmp_path: Path) -> None:
    deep = SMALL.replace("stem {", "stem { repeat 60 { conv(16, 3x3); bn; relu };")
    (tmp_path / "deep.arch").write_text(deep)
    subject = BenchSubject("", "small", (3, 16, 16), str(tmp_path / "deep.arch"))
    save_weights(subject, tmp_path / "weights.safetensors")
    model = module_of(subject, Conditions(mode="train"), tmp_path / "weights.safetensors").eval()
    seen: list[float] = []
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.register_forward_hook(lambda module, taken, given: seen.append(given.std().item()))
    with torch.no_grad():
        model(torch.randn(4, 3, 16, 16))
    assert len(seen) == 61
    assert 0.1 < min(seen) < max(seen) < 10


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_peers_are_drawn_and_have_the_keys_of_their_library(library: str, tmp_path: Path) -> None:
    subject = BenchSubject(library, "resnet18", (3, 32, 32))
    save_weights(subject, tmp_path / "weights.safetensors")
    state = load_file(tmp_path / "weights.safetensors")
    assert state.keys() == library_module(library, "resnet18").state_dict().keys()
    assert all(value.isfinite().all() for value in state.values())
    model = module_of(subject, Conditions(dtype="bfloat16"), tmp_path / "weights.safetensors")
    assert not model.training
    assert {value.dtype for value in model.parameters()} == {torch.bfloat16}
    with torch.no_grad():
        assert model(torch.randn(2, 3, 32, 32, dtype=torch.bfloat16)).std() > 0


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_file_that_is_timed_gives_the_outputs_of_the_module(backend: str, folder: Path) -> None:
    subject = BenchSubject("", "small", (3, 16, 16), "small.arch", (("width", "5"),))
    worker = TimingWorker()
    fields = {"subject": subject._asdict(), "conditions": Conditions(batch=2, threads=1)._asdict()}
    made = worker.answer({"do": "prepare", **fields, "backends": [backend], "folder": str(folder)})
    assert made["failures"] == {}
    made = worker.answer({"do": "open", **fields, "backend": backend, "folder": str(folder)})
    assert len(made["warm"]) == 2
    assert list(made["versions"]) == [backend]
    assert worker.answer({"do": "peak"})["bytes"] > 1e7


def test_the_peak_is_that_since_it_was_forgotten() -> None:
    memory = of_process()
    torch.ones(30_000_000)  # 120 MB
    memory.forget()
    low = memory.peak()
    torch.ones(60_000_000)
    assert 2.3e8 < memory.peak() - low < 2.6e8
