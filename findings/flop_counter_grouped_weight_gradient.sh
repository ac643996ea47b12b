#!/usr/bin/env bash
# torch 2.13.0: `torch.utils.flop_counter.FlopCounterMode` counts the weight gradient of a grouped convolution once for
# each group.
#
# The forward pass, the data gradient and the weight gradient of a convolution have as many multiply-adds. With one group
# the counter gives the backward pass twice the forward pass; with 32 groups it gives 33 times.
#
# Consequence: the FLOPs of a training step of a ResNeXt or RegNet by this counter are many times too large, so a
# utilisation that is computed from them is too large too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6
cat >"$work/show.py" <<'PYTHON'
import torch
from torch.utils.flop_counter import FlopCounterMode


def backward_over_forward(groups: int) -> float:
    """FLOPs of the backward pass of a convolution of 64 channels as a multiple of those of the forward pass."""
    images = torch.zeros(2, 64, 8, 8, requires_grad=True)
    conv = torch.nn.Conv2d(64, 64, 3, padding=1, groups=groups, bias=False)
    with FlopCounterMode(display=False) as forward:
        result = conv(images)
    with FlopCounterMode(display=False) as backward:
        result.sum().backward()
    return backward.get_total_flops() / forward.get_total_flops()


print("torch", torch.__version__.partition("+")[0])
found = {groups: backward_over_forward(groups) for groups in (1, 2, 32)}
for groups, ratio in found.items():
    print(f"{groups} groups: backward / forward = {ratio:g}; two gradients of equal cost give 2")
assert found == {1: 2, 2: 3, 32: 33}, "the behaviour has changed"
PYTHON
"$work/venv/bin/python" "$work/show.py"
