#!/usr/bin/env bash
# triton 3.6.0 with numpy 2.4.6: in interpreter mode, a loop whose bound is a value of the kernel raises an error.
#
# `for step in range(count)` with `count` an argument of the kernel is the usual form of a loop over tiles. The
# interpreter converts its value, an array of one element, to an integer; numpy 2.4 does that for arrays without axes only. The
# same kernel runs with numpy 2.3.5, and with triton 3.9.0.
#
# Consequence: kernels that are tested in the interpreter need triton 3.9, or numpy before 2.4.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
install() { "$work/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
cat >"$work/show.py" <<'PYTHON'
import os

os.environ["TRITON_INTERPRET"] = "1"

import numpy
import torch
import triton
import triton.language as tl


@triton.jit
def add_up(values, total, count):
    """Adds `count` values."""
    kept = 0.0
    for step in range(count):
        kept += tl.load(values + step)
    tl.store(total, kept)


total = torch.zeros(1)
try:
    add_up[(1,)](torch.ones(5), total, 5)
    outcome = f"total {total.item():g}"
except Exception as problem:
    outcome = f"error: {str(problem)[:90]}"
print(f"triton {triton.__version__}, numpy {numpy.__version__}: {outcome}")
PYTHON
install torch==2.13.0 triton==3.6.0 numpy==2.4.6
first=$("$work/venv/bin/python" "$work/show.py") && echo "$first"
install numpy==2.3.5
second=$("$work/venv/bin/python" "$work/show.py") && echo "$second"
install triton==3.9.0 numpy==2.4.6
third=$("$work/venv/bin/python" "$work/show.py") && echo "$third"
case "$first" in *"error: "*"only 0-dimensional arrays can be converted"*) ;; *) echo "the behaviour has changed" && exit 1 ;; esac
case "$second$third" in *"total 5"*"total 5"*) ;; *) echo "the behaviour has changed" && exit 1 ;; esac
