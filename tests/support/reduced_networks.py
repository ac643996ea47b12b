"""Shipped networks with fewer passes, channels and classes: every kind of block, in a part of the time."""

from __future__ import annotations

import resnext_dsl as rx

SMALLEST = {"alexnet": 79, "inception_v3": 299, "inception": 139, "resnext29": 32, "net1d": 500, "unet3d": 16}
"""Resolutions, by the start of a name, of the networks that do not take images of 64."""

FEWER = {
    "cspresnext50": {"depths": [2, 1, 1, 1], "channels": 64, "cardinality": 8},
    "dla34": {"channels": 16},
    "dla60x": {"channels": [8, 8, 16, 32, 64, 64], "cardinality": 8},
    "dpn92": {"depths": [2, 1, 1, 1], "cardinality": 8},
    "nasnetalarge": {"depths": [2, 2, 2], "channels": 24},
    "convnext_tiny": {"depths": [1, 1, 2, 1], "channels": [32, 64, 96, 128]},
    "densenet121": {"depths": [3, 2, 2, 2]},
    "ecaresnet50d": {"depths": [2, 1, 1, 1], "width": 16},
    "hrnet": {"depths": [1, 1, 1], "width": 8},
    "inception_resnet_v2": {"depths": [2, 2, 2]},
    "inception_v4": {"depths": [2, 2, 2]},
    "mobileone_s1": {"depths": [1, 2, 2, 1]},
    "repvgg_a2": {"depths": [1, 2, 2, 1], "widths": [32, 64, 96, 128]},
    "regnetx_032": {"depths": [2, 1, 1, 1], "channels": [48, 96, 192, 384]},
    "regnety_032": {"depths": [2, 1, 1, 1], "channels": [48, 96, 192, 384]},
    "res2net50_26w_4s": {"depths": [2, 1, 1, 1], "width": 8},
    "resnest50d": {"depths": [2, 1, 1, 1], "width": 16},
    "resnext29": {"depths": [2, 1, 1], "width": 16},
    "resnext50_32x4d_": {"depths": [2, 1, 1, 1], "cardinality": 4},
    "vgg": {"channels": 8},
    "resnet18": {"channels": 16},
    "ghostnetv2_100": {"width_multiplier": 0.5},
    "resnet50": {"depths": [2, 1, 1, 1], "width": 16},
    "resnext50_32x4d": {"depths": [2, 1, 1, 1], "cardinality": 8},
    "seresnet50": {"depths": [2, 1, 1, 1]},
    "seresnext50_32x4d": {"depths": [2, 1, 1, 1], "cardinality": 8},
    "retinanet": {"depths": [1, 1, 1, 1], "cardinality": 8, "channels": 32, "classes": 3},
    "skresnext50_32x4d": {"depths": [2, 1, 1, 1], "cardinality": 8},
    "nfnet_l0": {"depths": [1, 2, 1, 1], "channels": [64, 128, 128, 128], "group_width": 8},
    "resnetv2_50x1_bit": {"depths": [2, 1, 1, 1]},
    "tresnet_m": {"depths": [1, 2, 2, 1]},
    "tf_efficientnetv2_s": {"depths": [1, 2, 1, 2, 1, 1]},
    "unet": {"channels": 8},
    "unet_resnet34": {"depths": [1, 1, 1, 1], "channels": [16, 8, 8, 8, 8]},
    "net1d": {"depths": [1, 2, 1, 1, 1, 1, 1], "channels": 32},
    "r3d_18": {"frames": 4, "channels": 16},
    "r2plus1d_18": {"frames": 4, "channels": 16},
    "resnext101_32_3d": {"depths": [2, 1, 1, 1], "frames": 4, "cardinality": 8},
}
"""Fewer passes and channels for the tests that are not slow, by the start of a name; the longest start counts."""


def reduced(name: str) -> rx.Network:
    """A shipped network on a small input and with fewer passes: every kind of block, and most kinds of pass."""
    start = max((start for start in FEWER if name.startswith(start)), key=len, default="")
    resolution = next((size for key, size in SMALLEST.items() if name.startswith(key)), 64)
    fewer = {"classes": 10, "resolution": resolution} | FEWER.get(start, {})
    known = rx.load(name).parameters
    return rx.load(name, **{key: value for key, value in fewer.items() if key in known})
