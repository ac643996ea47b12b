"""`resnext-dsl check`, interrupted by Ctrl-C: it ends at once, with the status of an interrupted command."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SLOW = pytest.mark.slow
COMMAND = "from resnext_dsl.cli import main; print('ready', flush=True); main()"

LARGE = """template t(p) { residual { conv(3, 1x1); bn; if p > 3 { relu } } }
network n { input image: 3x8x8
 let values = [[i * j for i in range(100)] for j in range(100)]
 repeat 8000 as i { t(i + values[0][1]) } }
"""
"""About two seconds of CPU time."""


@pytest.mark.parametrize("delay", [0.05, 0.3, 1, pytest.param(0.1, marks=SLOW), pytest.param(2, marks=SLOW)])
def test_ctrl_c_ends_the_check_of_large_specs_within_a_second(delay: float, tmp_path: Path) -> None:
    spec = tmp_path / "large.arch"
    spec.write_text(LARGE, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, "check", *[str(spec)] * 50],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    time.sleep(delay)
    before = processor_seconds(process.pid)
    process.send_signal(signal.SIGINT)
    ended = seconds_of_children()
    _, errors = process.communicate(timeout=60)
    assert seconds_of_children() - ended - before < 1  # by the processor, which other tests need too
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "error" not in errors


def processor_seconds(process: int) -> float:
    """The time of a running process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seconds_of_children() -> float:
    """The time of all processes that this one has started, and whose end it has seen."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
