"""The process that times a variant, `python -m resnext_dsl.bench.timing_worker`: requests and answers are JSON lines.

- `prepare`: draws weights and writes the files of backends, for one subject
- `open`: opens a variant, and runs it to warm up
- `run`: runs the variant for some seconds; gives the seconds of each run, and of one run among queued runs
- `peak`: gives the peak memory since `open`
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
"""The most runs in a queue; longer queues give the same figure."""


def main() -> None:
    """Answers requests until standard input ends."""
    _end_with_parent()
    answers = _take_standard_output()
    worker = TimingWorker()
    for line in sys.stdin:
        try:
            answer = worker.answer(json.loads(line))
        except ArchError as problem:
            first = problem.diagnostics[0]
            answer = {"failed": [first.code, first.message, first.hint]}
        except Exception as problem:  # a backend may raise anything; the parent reports it
            lines = [text.strip() for text in str(problem).splitlines() if text.strip()]
            answer = {"failed": ["", f"{type(problem).__name__}: {lines[0][:200] if lines else 'no reason given'}", ""]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class TimingWorker:
    """Answers the requests for one variant."""

    def __init__(self) -> None:
        self.ready: Ready | None = None

    def answer(self, request: Answer) -> Answer:
        """The answer to a request."""
        tasks: dict[str, Callable[..., Answer]] = {
            "prepare": self._prepare,
            "open": self._open,
            "run": self._run,
            "peak": self._peak,
        }
        return tasks[request.pop("do")](**request)

    def _prepare(self, subject: Answer, conditions: Answer, backends: list[str], folder: str) -> Answer:
        preparation = Preparation(subject_of_json(subject), Conditions(**conditions), Path(folder))
        failures = preparation.files(backends)
        return {"failures": failures, "threads": preparation.threads(), "machine": preparation.machine()}

    def _open(self, subject: Answer, backend: str, conditions: Answer, folder: str) -> Answer:
        requested = Conditions(**conditions)
        files = Path(folder) / "weights.safetensors", Path(folder) / file_name(backend, requested.layout)
        self.ready = opened(subject_of_json(subject), backend, requested, *files)
        warm = [self.ready.seconds() for _ in range(self.ready.warm)]
        self.ready.memory.release()
        self.ready.memory.forget()
        return {"warm": warm, "versions": self.ready.versions}

    def _run(self, seconds: float, least: int) -> Answer:
        assert self.ready is not None
        self.ready.seconds()  # this run refills caches that another variant has used
        times: list[float] = []
        start = time.perf_counter()
        while len(times) < least or time.perf_counter() - start < seconds:
            times.append(self.ready.seconds())
        queued = None if self.ready.queued is None else self.ready.queued(min(len(times), MOST_QUEUED))
        self.ready.memory.release()  # the next variant needs the memory
        return {"times": times, "queued": queued}

    def _peak(self) -> Answer:
        assert self.ready is not None
        return {"bytes": self.ready.memory.peak()}


class Preparation:
    """Prepares weights and files of one subject."""

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
        """Writes the files of backends, reads back and compares each; returns the reasons of failures by file name."""
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
        # OpenVINO sets its type of computation when it opens the file.
        computed = self.conditions._replace(dtype=target.computes or self.conditions.dtype, layout=layout)
        dtype, device = getattr(torch, computed.dtype), self.conditions.device if target.name == "aoti" else "cpu"
        plain = Interface("image", ("main",), self.subject.shape)
        signature = (signature_of(self.graph) if self.graph is not None else plain)._replace(
            dtype=dtype, stored=dtype, batch=computed.batch, device=device
        )
        model = module_of(self.subject, computed, self.weights, device)
        write_module(target, model, signature, file)

    def threads(self) -> int:
        """The number of threads that torch uses."""
        import torch

        return torch.get_num_threads()

    def machine(self) -> dict[str, str]:
        """The processor, the device, the system and the versions."""
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
    """Keeps standard output for answers; output of libraries goes to standard error."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _end_with_parent() -> None:
    """Ends this process when its parent ends, even if it is suspended (prctl(2), PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


if __name__ == "__main__":
    main()
