"""Processes that a part starts, so that the compilers use all cores."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

from benchmarks.gpu.run import Run
from benchmarks.gpu.supervise import ROOT


def started(
    module: str, *arguments: object, environment: dict[str, str] | None = None, prefix: Sequence[str] = ()
) -> subprocess.Popen[str]:
    """Starts `PREFIX python -m MODULE ARGUMENTS` in the folder of this checkout."""
    command = [*prefix, sys.executable, "-m", module, *(str(argument) for argument in arguments)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(run: Run, what: str, process: subprocess.Popen[str], seconds: float) -> list[str]:
    """Waits for a process, and gives the lines that it printed. One that is late is killed; that is left out."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        run.left_out(what, "it did not end in its time")
    else:
        if process.returncode:
            lines = [line for line in errors.splitlines() if line.strip()]
            run.check(what, False, lines[-1][:300] if lines else f"exit status {process.returncode}")
    return output.splitlines()
