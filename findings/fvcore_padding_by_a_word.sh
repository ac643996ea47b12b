#!/usr/bin/env bash
# fvcore 0.1.5.post20221221 with torch 2.13.0: `FlopCountAnalysis` counts no FLOPs for a convolution whose padding is a word.
#
# `nn.Conv2d(..., padding="same")` and `padding=1` compute the same values for a 3x3 kernel. torch traces the first as
# `aten::_convolution_mode`, for which fvcore has no handle, so the layer costs nothing. The depthwise convolutions of
# timm's ConvMixer are such layers.
#
# Consequence: the multiply-adds of an imported network with such layers are not compared with fvcore's count of its source.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.2.6 fvcore==0.1.5.post20221221
cat >"$work/show.py" <<'PYTHON'
from importlib.metadata import version

import torch
from fvcore.nn import FlopCountAnalysis
from torch import nn


def flops(padding: int | str) -> tuple[int, dict[str, int]]:
    """FLOPs of a 3x3 convolution of 8 channels on 16x16 pixels, and the operators that fvcore does not know."""
    analysis = FlopCountAnalysis(nn.Conv2d(8, 8, 3, padding=padding, bias=False), torch.zeros(1, 8, 16, 16))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    return int(analysis.total()), dict(analysis.unsupported_ops())


print("torch", torch.__version__.partition("+")[0], "fvcore", version("fvcore"))
by_number, by_word = flops(1), flops("same")
print(f"padding=1: {by_number}; padding='same': {by_word}; both have {8 * 8 * 9 * 16 * 16} multiply-adds")
assert by_number == (8 * 8 * 9 * 16 * 16, {}), "the count of a plain convolution has changed"
assert by_word == (0, {"aten::_convolution_mode": 1}), "the behaviour has changed"
PYTHON
"$work/venv/bin/python" "$work/show.py"
