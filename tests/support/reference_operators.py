"""Shapes and counts of operators for the reference interpreter, from torch's formulas; imports nothing from the package."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

Sizes = tuple[int, ...]


class RejectedError(Exception):
    """The spec is wrong."""


SIGNATURES = {
    "conv": "channels kernel stride=1 padding=same dilation=1 groups=1 bias=false standardize=false gain=1.0 gamma=1.0 eps=1e-6",
    "conv_transpose": "channels kernel stride=1 padding=0 output_padding=0 groups=1 bias=false dilation=1",
    "linear": "features bias=true",
    "bn": "eps=1e-5 momentum=0.1 affine=true",
    "layernorm": "eps=1e-5 affine=true",
    "groupnorm": "groups eps=1e-5 affine=true",
    "lrn": "size alpha=0.0001 beta=0.75 k=1.0",
    "maxpool": "kernel stride=kernel padding=same dilation=1 ceil=false",
    "avgpool": "kernel stride=kernel padding=same ceil=false count_include_pad=true",
    "adaptive_avgpool": "size",
    "dropout": "p=0.5",
    "drop_path": "p",
    "scale": "factor",
    "layer_scale": "init=1e-6 per_channel=true",
    "affine": "init=1.0 offset=0.0",
    "grn": "eps=1e-6",
    "channel_conv": "kernel",
    "blur_pool": "kernel stride=2 padding=same mode=reflect",
    "fixed_conv": "kernel stride=1 padding=same mode=constant",
    "pixel_unshuffle": "factor",
    "leaky_relu": "slope=0.01",
    "upsample": "scale=2 mode=nearest align_corners=false",
    "crop": "size=unset",
    "shuffle": "groups unit=1",
    "slice": "start stop",
    "subsample": "stride",
    "pad_channels": "channels",
    "pad": "top=0 bottom=0 left=0 right=0 mode=constant value=0.0 front=0 back=0",
    "pad_same": "kernel stride=1 dilation=1",
    "resize": "size=unset mode=nearest align_corners=false",
    "gelu": "approximate=none",
    **dict.fromkeys(("relu", "relu6", "silu", "sigmoid", "tanh", "hardswish", "hardsigmoid"), ""),
    "softmax": "across=channels",
    **dict.fromkeys(("identity", "flatten", "add", "concat", "mul", "maximum", "mean"), ""),
}
LIKE = ("crop", "resize")
"""Operators that may take a second value, for its height and width."""

MERGES = ("add", "concat", "mul", "maximum", "mean")
PAIRS = ("kernel", "stride", "dilation", "padding", "output_padding", "size", "scale")
WORDS = {"false": False, "true": True}
INPUT_SIZES = (
    *("conv", "conv_transpose", "blur_pool", "fixed_conv", "maxpool", "avgpool", "adaptive_avgpool"),
    *("upsample", "subsample", "pad_same", "pad", "pixel_unshuffle"),
    *LIKE,
)


def parameters_of(operator: str) -> list[str]:
    """The arguments of an operator in their order."""
    return [argument.partition("=")[0] for argument in SIGNATURES[operator].split()]


def attributes_of(operator: str, arguments: dict[str, Any], rank: int = 2) -> dict[str, Any]:
    """Every argument with its value; sizes have one number for each side."""
    attributes: dict[str, Any] = {}
    for argument in SIGNATURES[operator].split():
        name, _, default = argument.partition("=")
        if name not in arguments and not default:
            raise RejectedError(f"{operator} needs {name}")
        if name in arguments:
            value = arguments[name]
        elif default == "kernel":
            value = attributes["kernel"]
        elif default == "unset":
            value = None
        else:
            value = WORDS[default] if default in WORDS else _number_or_word(default)
        if operator == "fixed_conv" and name == "kernel":
            value = tuple(map(tuple, value))
        elif name in PAIRS and operator not in ("lrn", "channel_conv"):
            value = (value,) * (rank or 2) if isinstance(value, int) else value
            if isinstance(value, tuple) and rank and len(value) != rank:
                raise RejectedError(f"{operator} takes {rank} sides")
        attributes[name] = value
    if extra := set(arguments) - set(attributes):
        raise RejectedError(f"{operator} has no {extra}")
    return attributes


def _number_or_word(text: str) -> Any:
    try:
        return float(text) if "." in text or "e-" in text else int(text)
    except ValueError:
        return text


def applied(operator: str, a: dict[str, Any], shapes: list[Sizes]) -> tuple[Sizes, int, int, int, int]:
    """The shape, the parameters, the FLOPs, the multiply-adds and the activations of an operator."""
    x = shapes[0]
    channels, area = x[0], math.prod(x[1:])
    is_map = len(x) > 1
    if not is_map and operator in INPUT_SIZES:
        raise RejectedError(f"{operator} needs a feature map")
    _check_images_only(operator, a, x)
    match operator:
        case "conv":
            _divides(a["groups"], channels, a["channels"])
            shape = (a["channels"], *_windows(x, a, _padding(a), False))
            weights = a["channels"] * channels // a["groups"] * math.prod(a["kernel"])
            macs = weights * math.prod(shape[1:])
            scaled = a["standardize"] == "scaled"
            if a["standardize"] is not False and weights == a["channels"]:
                raise RejectedError("a channel has several standardized weights")
            flops = macs + weights * (0 if a["standardize"] is False else 5 if scaled else 4)
            return shape, weights + (a["bias"] + scaled) * a["channels"], flops, macs, math.prod(shape)
        case "conv_transpose":
            _divides(a["groups"], channels, a["channels"])
            sides = zip(x[1:], a["stride"], a["padding"], a["dilation"], a["kernel"], a["output_padding"], strict=True)
            sizes = [(n - 1) * s - 2 * p + d * (k - 1) + o + 1 for n, s, p, d, k, o in sides]
            weights = a["channels"] * channels // a["groups"] * math.prod(a["kernel"])
            shape = (a["channels"], *_positive(sizes))
            return shape, weights + a["bias"] * a["channels"], weights * area, weights * area, math.prod(shape)
        case "linear":
            if is_map:
                raise RejectedError("linear needs features")
            macs = channels * a["features"]
            return (a["features"],), macs + a["bias"] * a["features"], macs, macs, a["features"]
        case "bn" | "layernorm" | "groupnorm":
            _divides(a.get("groups", 1), channels)
            each = {"bn": (1, 2)}.get(operator, (4, 5))[a["affine"]]
            return x, 2 * channels * a["affine"], each * math.prod(x), 0, 0
        case "layer_scale":
            return x, channels if a["per_channel"] else 1, 0, 0, 0
        case "affine":
            return x, 2, 0, 0, 0
        case "channel_conv":
            if area != 1 or len(x) == 1 or a["kernel"] % 2 == 0:
                raise RejectedError("channel_conv needs a map of Cx1x1 and an odd kernel")
            return x, a["kernel"], a["kernel"] * channels, a["kernel"] * channels, channels
        case "blur_pool" | "fixed_conv":
            rows = a["kernel"]
            a = a if operator == "blur_pool" else a | {"kernel": (len(rows), len(rows[0]))}
            padding = _padding(a)
            if a["mode"] == "reflect" and any(p >= n for p, n in zip(padding, x[1:], strict=True)):
                raise RejectedError("a reflected edge is smaller than the map")
            shape = (channels, *_windows(x, a, padding, False))
            macs = math.prod(shape) * math.prod(a["kernel"])
            return shape, 0, macs, macs, math.prod(shape)
        case "grn":
            return x, 2 * channels, 0, 0, 0
        case "maxpool" | "avgpool":
            counted = math.prod(x) if operator == "avgpool" and a["kernel"] == "global" and len(x) == 3 else 0
            clip = operator == "avgpool" and len(x) == 4 and a["kernel"] != "global"
            if clip and any(k > n for k, n in zip(a["kernel"], x[1:], strict=True)):
                raise RejectedError("nn.AvgPool3d has no kernel larger than its input")
            return (channels, *_pooled(x, a)), 0, counted, 0, 0
        case "adaptive_avgpool":
            return (channels, *a["size"]), 0, math.prod(x) if len(x) == 3 else 0, 0, 0
        case "upsample":
            shape = (channels, *(n * s for n, s in zip(x[1:], a["scale"], strict=True)))
            counted = (4 if a["mode"] == "bilinear" else 1) * math.prod(shape)
            return shape, 0, counted if len(x) == 3 else 0, 0, 0  # fvcore counts images only
        case "resize":
            shape = (channels, *_size_of_other(a["size"], shapes))
            counted = (4 if a["mode"] == "bilinear" else 1) * math.prod(shape)
            return shape, 0, counted if len(x) == 3 else 0, 0, 0
        case "add" | "maximum" | "mean":
            if len(set(shapes)) > 1:
                raise RejectedError(f"{operator} of {shapes}")
            return x, 0, 0, 0, 0
    return _moved(operator, a, shapes), 0, 0, 0, 0


def _moved(operator: str, a: dict[str, Any], shapes: list[Sizes]) -> Sizes:
    """The shape of an operator that costs nothing."""
    x = shapes[0]
    match operator:
        case "concat":
            if len({shape[1:] for shape in shapes}) > 1:
                raise RejectedError(f"concat of {shapes}")
            return (sum(shape[0] for shape in shapes), *x[1:])
        case "crop":
            size = _size_of_other(a["size"], shapes)
            if any(small > large for small, large in zip(size, x[1:], strict=True)):
                raise RejectedError(f"crop of {x}")
            return (x[0], *size)
        case "mul":
            if len({len(shape) for shape in shapes}) > 1:
                raise RejectedError(f"mul of {shapes}")
            sides = [set(sizes) - {1} for sizes in zip(*shapes, strict=True)]
            if any(len(side) > 1 for side in sides):
                raise RejectedError(f"mul of {shapes}")
            return tuple(side.pop() if side else 1 for side in sides)
        case "flatten":
            if len(x) < 2:
                raise RejectedError("flatten of features")
            return (math.prod(x),)
        case "pixel_unshuffle":
            _divides(a["factor"], *x[1:])
            return (x[0] * a["factor"] ** 2, *(n // a["factor"] for n in x[1:]))
        case "shuffle":
            _divides(a["groups"] * a["unit"], x[0])
        case "softmax":
            _divides(1 if a["across"] == "channels" else a["across"], x[0])
        case "slice":
            if not 0 <= a["start"] < a["stop"] <= x[0]:
                raise RejectedError(f"slice of {x}")
            return (a["stop"] - a["start"], *x[1:])
        case "subsample":
            return (x[0], *((n - 1) // s + 1 for n, s in zip(x[1:], a["stride"], strict=True)))
        case "pad_channels":
            if a["channels"] < x[0]:
                raise RejectedError(f"pad_channels of {x}")
            return (a["channels"], *x[1:])
        case "pad":
            ends = (("front", "back"), ("top", "bottom"), ("left", "right"))[1 - len(x) :]
            return (x[0], *_positive([n + a[one] + a[other] for n, (one, other) in zip(x[1:], ends, strict=True)]))
        case "pad_same":
            sides = zip(x[1:], a["kernel"], a["stride"], a["dilation"], strict=True)
            return (x[0], *(n + max(0, (math.ceil(n / s) - 1) * s + d * (k - 1) + 1 - n) for n, k, s, d in sides))
    return x


def _size_of_other(size: Sizes | None, shapes: list[Sizes]) -> Sizes:
    """The sides that an argument or the second value gives."""
    if (size is None) == (len(shapes) == 1) or len(shapes[0]) == 1 or len({len(shape) for shape in shapes}) > 1:
        raise RejectedError("a size, or a map that has it")
    return size if size is not None else shapes[1][1:]


def _divides(groups: int, *widths: int) -> None:
    if groups < 1 or any(width < 1 or width % groups for width in widths):
        raise RejectedError(f"{widths} in {groups} groups")


def _padding(a: dict[str, Any]) -> Sizes:
    if a["padding"] == "same_upper":
        return ()
    if a["padding"] == "same":
        return tuple(d * (k - 1) // 2 for d, k in zip(_dilation(a), a["kernel"], strict=True))
    return (0,) * len(a["kernel"]) if a["padding"] == "valid" else a["padding"]


def _dilation(a: dict[str, Any]) -> Sizes:
    return a.get("dilation", (1,) * len(a["kernel"]))


def _windows(x: Sizes, a: dict[str, Any], padding: Sizes, ceil: bool) -> Sizes:
    """The sides of the result of convolutions and of pooling layers."""
    if padding == ():
        return tuple(math.ceil(n / s) for n, s in zip(x[1:], a["stride"], strict=True))
    sizes = []
    for n, p, k, s, d in zip(x[1:], padding, a["kernel"], a["stride"], _dilation(a), strict=True):
        if min(k, s, d) < 1 or p < 0:
            raise RejectedError("sizes are positive")
        rounded: Callable[[float], int] = math.ceil if ceil else math.floor
        size = rounded((n + 2 * p - d * (k - 1) - 1) / s + 1)
        sizes.append(size - 1 if ceil and (size - 1) * s >= n + p else size)
    return _positive(sizes)


def _positive(sizes: list[int]) -> Sizes:
    if min(sizes) < 1:
        raise RejectedError(f"a map of {sizes}")
    return tuple(sizes)


def _check_images_only(operator: str, a: dict[str, Any], x: Sizes) -> None:
    same_upper = a.get("padding") == "same_upper" and a["kernel"] != "global"
    only = operator in ("blur_pool", "fixed_conv", "pixel_shuffle", "pixel_unshuffle")
    if len(x) != 3 and (only or same_upper or a.get("standardize", False) is not False):
        raise RejectedError(f"{operator} of {x}")


def _pooled(x: Sizes, a: dict[str, Any]) -> Sizes:
    if a["kernel"] == "global":
        return (1,) * (len(x) - 1)
    padding = _padding(a)
    if padding and any(2 * p > k for p, k in zip(padding, a["kernel"], strict=True)):
        raise RejectedError("at most half of the kernel is padded")
    return _windows(x, a, padding, a["ceil"])
