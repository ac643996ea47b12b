"""Workers as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from resnext_dsl.devices.visible_gpus import OWN, gpus
from resnext_dsl.searches.engine import CRASHED, SEEN
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.trials import Standing

PROGRAM = "from resnext_dsl.searches.worker import leave; leave()"
"""The program of a worker."""


class Processes:
    """Starts workers as processes, which run until the search is done."""

    def __init__(self, plan: Plan, named: bool = False) -> None:
        """Prepares workers. If a budget names GPUs by their index (`named`), every worker sees all GPUs."""
        self._plan = plan
        self._named = named

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, number: int) -> Process:
        """Starts a worker."""
        visible = gpus(os.environ)
        variables = gpu_of(self._plan, number, visible, self._named)
        return Process(self._plan, number, {SEEN: str(len(visible)), **variables})


def gpu_of(plan: Plan, number: int, visible: Sequence[str], named: bool) -> dict[str, str]:
    """Environment variables that assign one of several GPUs to a worker, round-robin.

    Empty if there is one GPU, or if the choices of the evaluator name a GPU.
    """
    if len(visible) < 2 or ":" in str(plan.choices.get("device", "")):
        return {}
    place = number % len(visible)
    return {OWN: str(place)} if named else {"CUDA_VISIBLE_DEVICES": visible[place]}


class Process:
    """A worker process and its output, which is kept apart from the output of the command."""

    def __init__(self, plan: Plan, number: int, environment: Mapping[str, str]) -> None:
        self.name = uuid.uuid4().hex
        self._output = tempfile.TemporaryFile()  # noqa: SIM115
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(number), self.name],
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._output,
            env={**os.environ, **environment, "PYTHONPATH": path},
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already; `status` will tell
            self._process.stdin.write(plan.to_json().encode() + b"\n")
            self._process.stdin.flush()

    def status(self, now: Standing) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Asks it to stop its trial."""
        self._process.terminate()

    def kill(self) -> None:
        """Kills it, without a wait."""
        self._process.kill()

    def exit_status(self, status: int) -> int | None:
        """The status with which an evaluator may have ended the process; None after a signal or an own failure."""
        return None if status < 0 or status == CRASHED else status

    def end(self, seconds: float) -> str:
        """Waits for its end, then kills it. Returns the last line of its output."""
        try:
            self._process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._output.seek(0)
        lines = self._output.read().decode(errors="replace").strip().splitlines()
        self._output.close()
        return lines[-1] if lines else "no output"
