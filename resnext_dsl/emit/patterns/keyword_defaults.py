"""Defaults of the modules' keyword arguments, for comparing a call that names one with a call that does not.

The table exists because emit must not import torch. A test compares it with torch's signatures.
"""

from __future__ import annotations

from resnext_dsl.emit.blocks.module_block import Value

_CONVOLUTION = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1, "bias": True}
_FIXED = {"stride": 1, "padding": 0, "mode": "constant"}
_NORM = {"eps": 1e-5, "affine": True}
_BATCH_NORM = {**_NORM, "momentum": 0.1}

DEFAULTS: dict[str, dict[str, Value]] = {
    "nn.Conv2d": _CONVOLUTION,
    "nn.ConvTranspose2d": {**_CONVOLUTION, "output_padding": 0},
    "nn.Linear": {"bias": True},
    "nn.BatchNorm1d": _BATCH_NORM,
    "nn.BatchNorm2d": _BATCH_NORM,
    "nn.GroupNorm": _NORM,
    "nn.InstanceNorm2d": {"eps": 1e-5, "affine": False},
    "nn.LayerNorm": {"eps": 1e-5, "elementwise_affine": True},
    "LayerNorm2d": {"eps": 1e-5, "elementwise_affine": True},
    "nn.LocalResponseNorm": {"alpha": 1e-4, "beta": 0.75, "k": 1.0},
    "nn.MaxPool2d": {"stride": None, "padding": 0, "dilation": 1, "ceil_mode": False},
    "nn.AvgPool2d": {"stride": None, "padding": 0, "ceil_mode": False, "count_include_pad": True},
    "Conv2dSame": _CONVOLUTION,
    "StandardizedConv2d": {**_CONVOLUTION, "same_upper": False, "gamma": None, "gain": 1.0, "eps": 1e-6},
    "FixedConv2d": _FIXED,
    "BlurPool2d": _FIXED,
    "MaxPool2dSame": {"stride": None, "dilation": 1},
    "AvgPool2dSame": {"stride": None, "count_include_pad": True},
    "nn.LeakyReLU": {"negative_slope": 0.01},
    "nn.PReLU": {"init": 0.25},
    "nn.ELU": {"alpha": 1.0},
    "nn.GELU": {"approximate": "none"},
    "nn.Hardtanh": {"min_val": -1.0, "max_val": 1.0},
    "nn.Softplus": {"beta": 1.0, "threshold": 20.0},
    "nn.Upsample": {"mode": "nearest", "align_corners": None},
    "LayerScale": {"dimensions": 3},
    "DropPath": {"dimensions": 3},
    "GlobalResponseNorm": {"eps": 1e-6},
}
