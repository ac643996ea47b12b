"""Arguments and input shapes to try each operator with, and the torch module that a row's source stands for."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from resnext_dsl.emit.text.helper_classes import SUPPORT
from resnext_dsl.operators import OPERATORS, Attributes, ModuleCall, Operator, Shape
from resnext_dsl.operators.activation import NoAttributes

with warnings.catch_warnings():
    # fvcore compiles a loss with torch.jit on import and traces with it, which torch calls deprecated.
    warnings.simplefilter("ignore", DeprecationWarning)
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

Case = tuple[dict[str, object], tuple[Shape, ...]]
Strategy = st.SearchStrategy[Case]

channels = st.integers(1, 12)
groups = st.sampled_from([1, 1, 2, 3, 4])
sides = st.integers(1, 9)
maps = st.tuples(channels, sides, sides)
features = st.tuples(channels)
either = st.one_of(maps, features)


def pairs(low: int, high: int) -> st.SearchStrategy[object]:
    """An int, or a tuple or list of two."""
    number = st.integers(low, high)
    return st.one_of(number, st.tuples(number, number), st.lists(number, min_size=2, max_size=2))


kernels, strides, paddings = pairs(1, 5), pairs(1, 3), pairs(0, 3)


def given(shape: st.SearchStrategy[Shape], required: dict[str, Any] | None = None, **optional: Any) -> Strategy:
    """One input and arguments, of which the optional ones may be missing."""
    return st.tuples(st.fixed_dictionaries(required or {}, optional=optional), shape.map(lambda one: (one,)))


def several(shape: st.SearchStrategy[Shape]) -> Strategy:
    """One to four inputs of one shape."""
    return st.tuples(st.just({}), st.tuples(shape, st.integers(1, 4)).map(lambda drawn: (drawn[0],) * drawn[1]))


@st.composite
def concatenated(draw: st.DrawFn) -> Case:
    first = draw(either)
    others = draw(st.lists(channels, max_size=3))
    return {}, (first, *((count, *first[1:]) for count in others))


@st.composite
def multiplied(draw: st.DrawFn) -> Case:
    whole = draw(either)
    masks = draw(st.lists(st.tuples(*(st.booleans() for _ in whole)), max_size=3))
    gates = [tuple(side if keep else 1 for side, keep in zip(whole, mask, strict=True)) for mask in masks]
    return {}, tuple(draw(st.permutations([whole, *gates])))


@st.composite
def sliced(draw: st.DrawFn) -> Case:
    shape = draw(either)
    stop = draw(st.integers(1, shape[0]))
    return {"start": draw(st.integers(0, stop - 1)), "stop": stop}, (shape,)


@st.composite
def padded(draw: st.DrawFn) -> Case:
    shape = draw(either)
    return {"channels": shape[0] + draw(st.integers(0, 5))}, (shape,)


@st.composite
def edged(draw: st.DrawFn) -> Case:
    shape = draw(maps)
    mode = draw(st.sampled_from(["constant", "reflect", "replicate"]))
    sides = {}
    for first, second, size in (("top", "bottom", shape[1]), ("left", "right", shape[2])):
        most = size - 1 if mode == "reflect" else 3
        removed = draw(st.integers(0, size - 1)) if mode == "constant" else 0
        sides[first] = draw(st.sampled_from([-removed, draw(st.integers(0, most))]))
        left = size + min(sides[first], 0)
        sides[second] = draw(st.integers(1 - left if mode == "constant" else 0, most))
    value = draw(st.floats(-2, 2, width=32)) if mode == "constant" else 0.0
    return {**sides, "mode": mode, "value": value}, (shape,)


@st.composite
def cropped(draw: st.DrawFn) -> Case:
    shape = draw(maps)
    size = draw(st.integers(1, shape[1])), draw(st.integers(1, shape[2]))
    return ({"size": size}, (shape,)) if draw(st.booleans()) else ({}, (shape, (draw(st.integers(1, 3)), *size)))


@st.composite
def resized(draw: st.DrawFn) -> Case:
    shape = draw(maps)
    size = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    mode = draw(st.sampled_from(["nearest", "bilinear"]))
    chosen = {"mode": mode, "align_corners": mode == "bilinear" and draw(st.booleans())}
    return (chosen | {"size": size}, (shape,)) if draw(st.booleans()) else (chosen, (shape, (2, *size)))


@st.composite
def convolved(draw: st.DrawFn) -> Case:
    optional = {"stride": strides, "padding": word_or_padding, "dilation": strides, "groups": groups, "bias": flag}
    chosen = draw(given(maps, {"channels": channels, "kernel": kernels}, **optional))
    standardize = draw(st.sampled_from([False, False, True, "scaled"]))
    if standardize is not False:
        optional = {"eps": positive} | ({"gamma": positive, "gain": numbers} if standardize == "scaled" else {})
        chosen[0].update(draw(st.fixed_dictionaries({"standardize": st.just(standardize)}, optional=optional)))
    return chosen


def aligned(case: Case) -> Case:
    """The case with aligned corners, if it interpolates to an even width."""
    arguments, shapes = case
    corners = arguments.get("mode") == "bilinear" and shapes[0][2] % 2 == 0
    return (arguments | {"align_corners": True} if corners else arguments), shapes


numbers = st.floats(-2, 2, width=32)
positive = st.floats(0.125, 2, width=32)
flag = st.booleans()
word_or_padding = st.one_of(st.sampled_from(["same", "same_upper", "valid"]), paddings)
matrices = st.tuples(st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda size: st.lists(st.lists(numbers, min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0])
)
around = {
    "stride": strides,
    "padding": st.one_of(st.sampled_from(["same", "valid"]), paddings),
    "mode": st.sampled_from(["constant", "reflect", "replicate"]),
}
window = {"stride": strides, "padding": word_or_padding, "ceil": flag}

IMAGES: dict[str, Strategy] = {
    "conv": convolved(),
    "conv_transpose": given(
        maps,
        {"channels": channels, "kernel": kernels},
        stride=strides,
        padding=paddings,
        output_padding=pairs(0, 2),
        groups=groups,
        bias=flag,
        dilation=strides,
    ),
    "channel_conv": given(st.tuples(channels, st.just(1), st.just(1)), {"kernel": st.sampled_from([1, 3, 5, 7])}),
    "fixed_conv": given(maps, {"kernel": matrices}, **around),
    "blur_pool": given(maps, {"kernel": kernels}, **around),
    "linear": given(features, {"features": channels}, bias=flag),
    "bn": given(either, eps=positive, momentum=st.floats(0, 1), affine=flag),
    "layernorm": given(either, eps=positive, affine=flag),
    "groupnorm": given(either, {"groups": groups}, eps=positive, affine=flag),
    "instancenorm": given(maps, eps=positive, affine=flag),
    "grn": given(maps, eps=positive),
    "lrn": given(maps, {"size": st.integers(1, 7)}, alpha=positive, beta=positive, k=positive),
    "leaky_relu": given(either, slope=numbers),
    "prelu": given(either, init=numbers, per_channel=flag),
    "elu": given(either, alpha=positive),
    "gelu": given(either, approximate=st.sampled_from(["none", "tanh"])),
    "softmax": given(either, across=groups),
    "hardtanh": given(either, min=st.floats(-2, 0, width=32), max=st.floats(-2, 2, width=32)),
    "softplus": given(either, beta=positive, threshold=positive),
    "maxpool": given(maps, {"kernel": st.one_of(kernels, st.just("global"))}, dilation=strides, **window),
    "avgpool": given(maps, {"kernel": st.one_of(kernels, st.just("global"))}, count_include_pad=flag, **window),
    "adaptive_avgpool": given(maps, {"size": kernels}),
    "adaptive_maxpool": given(maps, {"size": kernels}),
    "add": several(either),
    "concat": concatenated(),
    "mul": multiplied(),
    "maximum": several(either),
    "mean": several(either),
    "dropout": given(either, p=st.floats(0, 1)),
    "dropout2d": given(maps, p=st.floats(0, 1)),
    "drop_path": given(either, {"p": st.floats(0, 0.9)}),
    "scale": given(either, {"factor": numbers}),
    "layer_scale": given(either, init=numbers, per_channel=flag),
    "affine": given(either, init=numbers, offset=numbers),
    "flatten": given(either),
    "upsample": given(maps, scale=strides, mode=st.sampled_from(["nearest", "bilinear"])).map(aligned),
    "shuffle": given(maps, {"groups": groups}, unit=groups),
    "pixel_shuffle": given(maps, {"factor": st.integers(1, 3)}),
    "slice": sliced(),
    "subsample": given(maps, {"stride": strides}),
    "pad_channels": padded(),
    "pad": edged(),
    "crop": cropped(),
    "resize": resized(),
    "pixel_unshuffle": given(maps, {"factor": st.integers(1, 3)}),
    "pad_same": given(maps, {"kernel": kernels}, stride=strides, dilation=strides),
    **{
        row.name: given(either)
        for row in OPERATORS.values()
        if row.attributes is NoAttributes and row.kind == "activation"
    },
}

IMAGES_ONLY = frozenset({"pixel_shuffle", "pixel_unshuffle", "fixed_conv", "blur_pool"})
"""Operators that take feature maps of height and width only."""


STANDARDIZED = frozenset({"standardize", "gain", "gamma", "eps"})
"""Arguments of standardized convolutions, which take images only."""


def of_rank(case: Case, rank: int) -> Case:
    """The case with signals or clips in the place of images: without the height, or with the height as time too."""
    arguments, shapes = case
    if any(len(shape) != 3 for shape in shapes) or arguments.get("padding") == "same_upper":
        return case
    if "standardize" in arguments:
        arguments = {name: value for name, value in arguments.items() if name not in STANDARDIZED}
    named = {name: on_sides(value, rank) for name, value in arguments.items()}
    for one, other in (("top", "front"), ("bottom", "back")):
        value = named.pop(one, None)
        named |= {one: value} if value is not None and rank > 1 else {}
        named |= {other: value} if value is not None and rank == 3 else {}
    return named, tuple((shape[0], *sides_of(shape[1:], rank)) for shape in shapes)


def on_sides(value: object, rank: int) -> object:
    return type(value)(sides_of(tuple(value), rank)) if isinstance(value, tuple | list) else value


def sides_of(pair: tuple[Any, ...], rank: int) -> tuple[Any, ...]:
    return (*pair[:1] * (rank - 2), *pair[-rank:])


def of_any_rank(images: Strategy) -> Strategy:
    """The cases of images, and half as many each of signals and clips."""
    return st.tuples(images, st.sampled_from([2, 2, 1, 3])).map(lambda drawn: of_rank(*drawn))


CASES = {name: images if name in IMAGES_ONLY else of_any_rank(images) for name, images in IMAGES.items()}

AS_STRICT_AS_TORCH = frozenset(
    {
        "conv",
        "conv_transpose",
        "fixed_conv",
        "blur_pool",
        "groupnorm",
        "instancenorm",
        "maxpool",
        "avgpool",
        "shuffle",
        "pixel_shuffle",
        "pixel_unshuffle",
        "hardtanh",
        "softmax",
    }
)
"""Operators whose cases are drawn loosely: torch refuses what their shape rule refuses."""


class Applied(nn.Module):
    """An expression as a module."""

    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *values: torch.Tensor) -> torch.Tensor:
        return self.function(*values)


@functools.cache
def namespace() -> dict[str, Any]:
    """The names that an emitted file sees."""
    names: dict[str, Any] = {"torch": torch, "nn": nn, "F": functional, "__name__": "emitted"}
    for text in SUPPORT.values():
        exec(text, names)
    return names


def source_text(operator: Operator, attributes: Attributes, shapes: tuple[Shape, ...]) -> str:
    """What the emitter would write: a constructor call, or an expression of x0, x1, ..."""
    source = operator.source(attributes, shapes)
    if isinstance(source, ModuleCall):
        named = [f"{name}={value!r}" for name, value in source.keywords]
        return f"{source.target}({', '.join([*map(repr, source.positional), *named])})"
    values = [f"x{place}" for place in range(len(shapes))]
    return str(source.text.format(*values, **{name: repr(value) for name, value in source.literals}))


def build(name: str, attributes: Attributes, shapes: tuple[Shape, ...]) -> nn.Module:
    """The torch module of a row's source, in eval mode."""
    operator = OPERATORS[name]
    text = source_text(operator, attributes, shapes)
    if not isinstance(operator.source(attributes, shapes), ModuleCall):
        values = ", ".join(f"x{place}" for place in range(len(shapes)))
        return Applied(eval(f"lambda {values}: {text}", namespace())).eval()
    module = eval(text, namespace())
    assert isinstance(module, nn.Module)
    return module.eval()


def inputs_of(shapes: tuple[Shape, ...], batch: int = 1) -> tuple[torch.Tensor, ...]:
    """Random values of the given shapes."""
    return tuple(torch.randn(batch, *shape) for shape in shapes)


def counted(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[int, int]:
    """FLOPs and activations as fvcore counts them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        totals = [
            analysis(module, inputs).unsupported_ops_warnings(False).tracer_warnings("none").total()
            for analysis in (FlopCountAnalysis, ActivationCountAnalysis)
        ]
    return int(totals[0]), int(totals[1])
