"""Errors of a device: its trial is tried again, and a process whose device is broken ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import Diagnostic
from resnext_dsl.searches.trials import ATTEMPTS
from resnext_dsl.searches.trouble import BROKEN, MEMORY, trouble_of

HERE = Path(__file__).parent

ERRORS: list[tuple[BaseException, str]] = [
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of"), MEMORY),
    (RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"), MEMORY),
    (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), MEMORY),
    (RuntimeError("CUDA error: an illegal memory access was encountered"), BROKEN),
    (RuntimeError("CUDA error: device-side assert triggered\nCUDA kernel errors might be"), BROKEN),
    (RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"), BROKEN),
    (RuntimeError("CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx(...)`"), BROKEN),
    (RuntimeError("Triton Error [CUDA]: an illegal memory access was encountered"), BROKEN),
    (RuntimeError("Given groups=1, weight of size [4, 3, 1, 1], expected input[1, 4, 8, 8] to have 3 channels"), ""),
    (ValueError("CUDA error: only the words"), ""),
    (MemoryError("no room"), ""),
]
if hasattr(torch, "AcceleratorError"):
    ERRORS.append((torch.AcceleratorError("unspecified launch failure"), BROKEN))


@pytest.mark.parametrize(("problem", "expected"), ERRORS, ids=lambda case: str(case)[:50])
def test_the_trouble_of_an_error(problem: BaseException, expected: str) -> None:
    assert trouble_of(problem) == expected
    with pytest.raises(rx.ArchError) as caught:
        told_otherwise(problem)
    assert trouble_of(caught.value) == expected


def told_otherwise(problem: BaseException) -> None:
    """As a latency tells that a network does not run."""
    try:
        raise problem
    except BaseException:
        raise rx.ArchError([Diagnostic("E603", "batch 1 does not run", file="n.arch")]) from None


def test_torch_is_not_imported_to_tell() -> None:
    program = (
        "import sys; from resnext_dsl.searches.trouble import allocations, release, trouble_of; release(); "
        "print(trouble_of(RuntimeError('CUDA error: unknown error')), allocations(), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "broken {} False\n"


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    (tmp_path / "space.arch").write_text(SPACE)
    return "space.arch"


def searched(spec: str, evaluator: Any, **more: Any) -> rx.searches.Found:
    return rx.search(spec, maximize="accuracy", budget="small", evaluator=evaluator, **{"trials": 3, **more})


def full(text: str = "CUDA out of memory. Tried to allocate 2.00 GiB.") -> Exception:
    return torch.OutOfMemoryError(text)


def test_out_of_memory_is_tried_once_more_at_once(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    def evaluate(network: Any, candidate: Any) -> dict[str, float]:
        calls.append(candidate)
        if len(calls) == 2:
            raise full()
        return {"accuracy": 1.0}

    found = searched(spec, evaluate)
    assert (len(found.trials), found.failures) == (3, [])
    assert [trial.number for trial in found.trials] == [0, 1, 2]
    assert calls[1] == calls[2]


def test_what_is_always_out_of_memory_fails_in_the_end(spec: str) -> None:
    calls: list[int] = []

    def evaluate(network: Any, candidate: Any) -> dict[str, float]:
        calls.append(candidate["width"])
        if candidate["width"] == calls[0]:
            raise full()
        return {"accuracy": 1.0}

    found = searched(spec, evaluate, trials=4, depths=[1, 1], act="relu")
    (failure,) = found.failures
    expected = f"out of memory, {ATTEMPTS} times: OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB."
    assert failure.reason == expected
    assert calls.count(calls[0]) == 2 * ATTEMPTS
    assert len(found.trials) == 3


def test_a_process_whose_device_is_broken_is_replaced(spec: str, tmp_path: Path) -> None:
    found = searched(spec, "search_evaluators:breaks_once", trials=4, workers=2)
    assert (len(found.trials), found.failures) == (4, [])
    broken = [path.read_text() for path in tmp_path.glob("*.broken")]
    evaluated = {str(int(trial.metrics["process"])) for trial in found.trials}
    assert len(broken) == 2
    assert not evaluated & set(broken)


def test_in_this_process_a_broken_device_is_one_error_and_the_search_goes_on(spec: str) -> None:
    broken = [True]

    def evaluate(network: Any, candidate: Any) -> dict[str, float]:
        if broken[0]:
            raise RuntimeError("CUDA error: device-side assert triggered\nCompile with `TORCH_USE_CUDA_DSA`")
        return {"accuracy": 1.0}

    words = "the device no longer works in this process: RuntimeError: CUDA error: device-side assert triggered"
    with pytest.raises(rx.ArchError, match=rf"E724.*{words}"):
        searched(spec, evaluate)
    broken[0] = False
    found = searched(spec, evaluate)
    assert (len(found.trials), found.failures) == (3, [])
    assert found.trials[0].number == 1


@pytest.mark.slow
def test_a_device_that_stays_broken_ends_the_search(spec: str) -> None:
    words = r"the workers stopped without a result \(status 3\): RuntimeError: CUDA error: unknown error"
    with pytest.raises(rx.ArchError, match=rf"E724.*{words}"):
        searched(spec, "search_evaluators:broken", trials=20)
