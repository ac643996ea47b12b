"""`resnext-dsl check`, interrupted by Ctrl-C: it ends at once, with the status of an interrupted command."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

COMMAND = "from resnext_dsl.cli import main; print('ready', flush=True); main()"

LARGE = """template t(p) { residual { conv(3, 1x1); bn; if p > 3 { relu } } }
network n { input image: 3x8x8
 let values = [[i * j for i in range(100)] for j in range(100)]
 repeat 8000 as i { t(i + values[0][1]) } }
"""
"""About two seconds of CPU time."""


@pytest.mark.parametrize("delay", [0.05, 0.1, 0.3, 1, 2])
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
    process.send_signal(signal.SIGINT)
    start = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - start < 1
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "error" not in errors
