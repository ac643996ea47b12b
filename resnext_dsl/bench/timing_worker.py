"""The process that times a variant, `python -m resnext_dsl.bench.timing_worker`: requests and answers are JSON lines.

prepare     draws weights and writes the files of backends, all of one subject
open        makes a variant ready, and runs it twice
run         runs it for some seconds; the seconds of each run, and of a run among several in a queue
peak        the most memory since then
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from resnext_dsl.bench.backends import Ready, opened
from resnext_dsl.bench.variants import BACKENDS, BenchSubject, Conditions, file_name, layouts_of, subject_of_json
from resnext_dsl.foundation.diagnostics import ArchError

Answer = dict[str, Any]

MOST_QUEUED = 50
"""Runs in a queue at most: longer ones give no other figure."""


def main() -> None:
    """Answers requests until there are no more."""
    _end_with_parent()
    answers = _take_standard_output()
    worker = TimingWorker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except ArchError as problem:
            first = problem.diagnostics[0]
            answer = {"failed": [first.code, first.message, first.hint]}
        except Exception as problem:  # whatever a backend fails with: the one who asked says it
            said = [text.strip() for text in str(problem).splitlines() if text.strip()]
            answer = {"failed": ["", f"{type(problem).__name__}: {said[0][:200] if said else 'no reason given'}", ""]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class TimingWorker:
    """What a worker does, request by request."""

    def __init__(self) -> None:
        self.ready: Ready | None = None

    def answer(self, request: Answer) -> Answer:
        """The answer to a request."""
        does: dict[str, Callable[..., Answer]] = {
            "prepare": self._prepare,
            "open": self._open,
            "run": self._run,
            "peak": self._peak,
        }
        return does[request.pop("do")](**request)

    def _prepare(self, subject: Answer, conditions: Answer, backends: list[str], folder: str) -> Answer:
        made = Preparation(subject_of_json(subject), Conditions(**conditions), Path(folder))
        return {"failures": made.files(backends), "threads": made.threads(), "machine": made.machine()}

    def _open(self, subject: Answer, backend: str, conditions: Answer, folder: str) -> Answer:
        asked = Conditions(**conditions)
        files = Path(folder) / "weights.safetensors", Path(folder) / file_name(backend, asked.layout)
        self.ready = opened(subject_of_json(subject), backend, asked, *files)
        warm = [self.ready.seconds() for _ in range(self.ready.warm)]
        self.ready.memory.release()
        self.ready.memory.forget()
        return {"warm": warm, "versions": self.ready.versions}

    def _run(self, seconds: float, least: int) -> Answer:
        assert self.ready is not None
        self.ready.seconds()  # caches and clocks are as another variant left them
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < least or time.perf_counter() - start < seconds:
            times.append(self.ready.seconds())
        queued = None if self.ready.queued is None else self.ready.queued(min(len(times), MOST_QUEUED))
        self.ready.memory.release()  # others run on the device next
        return {"times": times, "queued": queued}

    def _peak(self) -> Answer:
        assert self.ready is not None
        return {"bytes": self.ready.memory.peak()}


class Preparation:
    """Weights and files of one subject."""

    def __init__(self, subject: BenchSubject, conditions: Conditions, folder: Path) -> None:
        import torch

        from resnext_dsl.bench.subjects import save_weights
        from resnext_dsl.devices.torch_device import device_of

        device_of(conditions.device)
        if conditions.threads:
            torch.set_num_threads(conditions.threads)
        self.subject, self.conditions, self.folder = subject, conditions, folder
        self.weights = folder / "weights.safetensors"
        self.graph = save_weights(subject, self.weights)

    def files(self, backends: list[str]) -> dict[str, str]:
        """Writes the files of backends, each read back and compared; by name, why some could not be written."""
        failures = {}
        for backend in backends:
            for layout in layouts_of(backend, self.conditions.layout):
                name = file_name(backend, layout)
                try:
                    self._write(backend, layout or "auto", self.folder / name)
                except ArchError as problem:
                    failures[name] = problem.diagnostics[0].message
        return failures

    def _write(self, backend: str, layout: str, file: Path) -> None:
        import torch

        from resnext_dsl.bench.subjects import module_of
        from resnext_dsl.export.interface import Interface, signature_of
        from resnext_dsl.export.targets import TARGETS
        from resnext_dsl.export.write import write_module

        target = TARGETS[BACKENDS[backend].target]
        # OpenVINO chooses its type when it opens the file.
        computed = self.conditions._replace(dtype=target.computes or self.conditions.dtype, layout=layout)
        dtype, device = getattr(torch, computed.dtype), self.conditions.device if target.name == "aoti" else "cpu"
        plain = Interface("image", ("main",), self.subject.shape)
        signature = (signature_of(self.graph) if self.graph is not None else plain)._replace(
            dtype=dtype, stored=dtype, batch=computed.batch, device=device
        )
        model = module_of(self.subject, computed, self.weights, device)
        write_module(target, model, signature, file)

    def threads(self) -> int:
        """Those that torch takes unasked."""
        import torch

        return torch.get_num_threads()

    def machine(self) -> dict[str, str]:
        """What it all runs on."""
        import platform

        import torch

        from resnext_dsl.devices.float32_precision import settings_line, settings_of
        from resnext_dsl.devices.torch_device import device_name
        from resnext_dsl.foundation.version import __version__

        settings = settings_of(torch.device(self.conditions.device))
        return {
            "processor": device_name(torch.device("cpu")),
            "device": device_name(torch.device(self.conditions.device)),
            "system": f"{platform.system()} {platform.machine()}",
            "python": platform.python_version(),
            "resnext_dsl": __version__,
        } | ({"settings": settings_line(settings)} if settings else {})


def _take_standard_output() -> IO[str]:
    """Standard output for answers alone: what libraries print goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _end_with_parent() -> None:
    """Ends this process with the one that started it, even while it is stopped (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main()
