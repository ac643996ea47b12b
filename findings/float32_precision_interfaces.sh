#!/usr/bin/env bash
# torch 2.13.0: after one of the two interfaces for float32 precision is used, reading the other one can raise.
#
# torch has `torch.backends.cudnn.allow_tf32` and `torch.get_float32_matmul_precision()` (older), and
# `torch.backends.cudnn.conv.fp32_precision` and `torch.backends.cuda.matmul.fp32_precision` (newer). If a program sets one
# value by the newer interface, a library in the same process that only reads the older one gets a RuntimeError.
#
# Consequence: code that saves, sets and restores the precision must use the interface that the process already uses.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat >"$work/show.py" <<'PYTHON'
import warnings

import torch

warnings.simplefilter("ignore")


def read(name, function):
    """The value, or the kind of error that reading it raises."""
    try:
        result = str(function())
    except RuntimeError as problem:
        result = f"RuntimeError: {str(problem).splitlines()[0][:60]}..."
    print(f"  {name}: {result}")
    return result


older = {
    "torch.backends.cudnn.allow_tf32": lambda: torch.backends.cudnn.allow_tf32,
    "torch.get_float32_matmul_precision()": torch.get_float32_matmul_precision,
}
print("torch", torch.__version__.partition("+")[0])
print("at the start:")
start = [read(*item) for item in older.items()]
print("after torch.backends.cudnn.conv.fp32_precision = 'ieee' and torch.backends.cuda.matmul.fp32_precision = 'tf32':")
torch.backends.cudnn.conv.fp32_precision = "ieee"
torch.backends.cuda.matmul.fp32_precision = "tf32"
after = [read(*item) for item in older.items()]
assert not any("RuntimeError" in value for value in start), "the behaviour at the start has changed"
assert all("RuntimeError" in value for value in after), "the behaviour has changed"
PYTHON
"$work/venv/bin/python" "$work/show.py"
