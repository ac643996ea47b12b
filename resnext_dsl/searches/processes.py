"""Workers as processes of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.trials import Standing


class Processes:
    """Starts workers as processes, which work until the search is done."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan

    def __enter__(self) -> Processes:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def start(self, number: int) -> Process:
        """Starts a worker."""
        return Process(self._plan, number)


LISTED = Path("/proc/driver/nvidia/gpus")
"""Where the driver lists the GPUs; to ask torch would take as long as to train for a while."""


def gpus(environment: Mapping[str, str], listed: Path = LISTED) -> list[str]:
    """The GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(place) for place in range(len(list(listed.iterdir())))] if listed.is_dir() else []


def _gpu_of(plan: Plan, number: int) -> dict[str, str]:
    """What lets a worker see one of several GPUs, in turn; nothing where the evaluator is told which it uses."""
    found = gpus(os.environ)
    if len(found) < 2 or ":" in str(plan.choices.get("device", "")):
        return {}
    return {"CUDA_VISIBLE_DEVICES": found[number % len(found)]}


class Process:
    """A worker, and what it has said; what an evaluator prints is not the answer of the command."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._said = tempfile.TemporaryFile()  # noqa: SIM115
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-m", "resnext_dsl.searches.worker", str(number)],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=self._said,
            env={**os.environ, **_gpu_of(plan, number), "PYTHONPATH": path},
        )
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, which is seen soon
            self._process.stdin.write(plan.to_json().encode() + b"\n")
            self._process.stdin.flush()

    def status(self, now: Standing) -> int | None:
        """Its exit status; None while it works."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Asks it to leave what it is doing."""
        self._process.terminate()

    def end(self, seconds: float) -> str:
        """Waits for its end, and makes it end; gives its last line."""
        try:
            self._process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        self._said.close()
        return lines[-1] if lines else "it said nothing"
