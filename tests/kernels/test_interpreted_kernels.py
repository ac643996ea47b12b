"""The Triton kernels in Triton's interpreter, against torch's convolution in float64."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support" / "interpreted_kernels.py"

LIMITS = {"float32": 1e-5, "float16": 2e-3}


def compared(*arguments):
    environment = {**os.environ, "TRITON_INTERPRET": "1"}
    command = [sys.executable, SCRIPT, *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert {line["kernel"] for line in told} == {"taps", "rows", "quads", "parts"}
    wrong = [
        line for line in told if not (math.isfinite(line["difference"]) and line["difference"] <= LIMITS[line["dtype"]])
    ]
    assert not wrong
    return told


def test_all_directions_and_strides():
    compared("--few", "4")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["2", "3", "4", "6", "8", "16", "24", "32", "48", "64"])
def test_all_edges_and_types(name):
    assert {line["dtype"] for line in compared(name)} == set(LIMITS)
