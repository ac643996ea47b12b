"""What shape rules say when an operator does not fit its input."""

from __future__ import annotations

import re

import pytest

from resnext_dsl.operators import OPERATORS, RuleError, Shape, validate

MAP = (64, 56, 56)

MIXED = "one value is channels x height x width, the other channels x length; only `flatten` changes the rank"

ERRORS: list[tuple[str, dict[str, object], tuple[Shape, ...], str, str, str]] = [
    (
        "channel_conv",
        {"kernel": 3},
        (MAP,),
        "E301",
        "`channel_conv` needs one number for each channel, a map of Cx1x1; found 64x56x56",
        "put `avgpool(global)` before it",
    ),
    (
        "blur_pool",
        {"kernel": 5},
        ((8, 2, 9),),
        "E205",
        "`padding` (=2x2) must be less than the size of the input (=2x9) with `mode=reflect`",
        "use `mode=replicate` or less padding",
    ),
    ("blur_pool", {"kernel": 3}, ((512,),), "E301", "`blur_pool` needs a feature map", "before `flatten`"),
    (
        "fixed_conv",
        {"kernel": [[1, 2, 1]], "padding": 0},
        ((8, 2, 2),),
        "E303",
        "`kernel` (=1x3) is larger than its input (=2x2)",
        "use a smaller kernel",
    ),
    ("channel_conv", {"kernel": 4}, ((64, 1, 1),), "E205", "`kernel` must be odd; found 4", ""),
    (
        "pad",
        {"top": -4, "bottom": -4},
        ((8, 8, 5),),
        "E303",
        "`pad` leaves nothing of its input (=8x8x5)",
        "remove fewer rows",
    ),
    (
        "pad",
        {"left": 5, "mode": "reflect"},
        ((8, 8, 5),),
        "E205",
        "`left` must be less than the width of the input (=5) with `mode=reflect`; found 5",
        "",
    ),
    (
        "pad",
        {"top": -1, "mode": "replicate"},
        (MAP,),
        "E205",
        "`top` must be at least 0 with `mode=replicate`; found -1",
        "removes rows or columns with `mode=constant`",
    ),
    ("pad", {}, ((512,),), "E301", "`pad` needs a feature map", "before `flatten`"),
    (
        "crop",
        {},
        ((8, 8, 5), (2, 8, 6)),
        "E303",
        "`crop` needs a size of at most that of its input (=8x5); found 8x6",
        "`pad` or `resize` enlarges a feature map",
    ),
    ("crop", {}, (MAP,), "E202", "`crop` needs a size, or a value that has it", "`crop(like=VALUE)`"),
    (
        "resize",
        {"size": 3},
        (MAP, MAP),
        "E203",
        "`resize` takes a size or another value, not both",
        "`resize(like=VALUE)`",
    ),
    ("resize", {}, (MAP, (512,)), "E301", "`resize` needs a feature map", ""),
    ("resize", {"size": 3}, ((512,),), "E301", "`resize` needs a feature map", "before `flatten`"),
    (
        "resize",
        {"size": 3, "align_corners": True},
        (MAP,),
        "E205",
        "`align_corners` needs `mode=bilinear`; found `nearest`",
        "",
    ),
    (
        "pixel_unshuffle",
        {"factor": 2},
        ((8, 8, 5),),
        "E302",
        "the width of the input (=5) must be divisible by `factor` (=2); nearest: 6",
        "",
    ),
    (
        "conv",
        {"channels": 250, "kernel": 3, "groups": 32},
        (MAP,),
        "E302",
        "`channels` (=250) must be divisible by `groups` (=32); nearest: 256",
        "",
    ),
    (
        "conv",
        {"channels": 64, "kernel": 3, "groups": 32},
        ((3, 8, 8),),
        "E302",
        "the channels of the input (=3) must be divisible by `groups` (=32); nearest: 32",
        "",
    ),
    (
        "conv",
        {"channels": 8, "kernel": 7, "padding": 0},
        ((8, 5, 5),),
        "E303",
        "`kernel` (=7x7) is larger than its input (=5x5)",
        "use a smaller kernel",
    ),
    (
        "conv",
        {"channels": 8, "kernel": (1, 5), "padding": (0, 1), "dilation": 3},
        ((8, 5, 5),),
        "E303",
        "`kernel` (=1x5, dilated to 1x13) is larger than its input (=5x5, padded to 5x7)",
        "",
    ),
    (
        "conv",
        {"channels": 8, "kernel": 1},
        ((512,),),
        "E301",
        "needs a feature map (channels x height x width); found 512 features",
        "before `flatten`",
    ),
    (
        "conv",
        {"channels": 8, "kernel": 1},
        ((3, 4, 4, 4, 4),),
        "E301",
        "needs a feature map (channels x height x width); found 3x4x4x4x4",
        "",
    ),
    (
        "conv",
        {"channels": 8, "kernel": 1, "groups": 8, "standardize": True},
        ((8, 5, 5),),
        "E205",
        "`standardize` needs more than one weight for each output channel; found 1",
        "use a larger kernel, fewer groups or `standardize=false`",
    ),
    (
        "conv_transpose",
        {"channels": 8, "kernel": 1, "padding": 3},
        ((8, 5, 7),),
        "E205",
        "`padding` (=3x3) leaves an output of -1x1; it must be at least 1x1",
        "",
    ),
    (
        "conv_transpose",
        {"channels": 8, "kernel": 3, "output_padding": 2, "stride": 2},
        ((8, 5, 7),),
        "E205",
        "`output_padding` must be less than `stride` or `dilation` (=2); found 2",
        "",
    ),
    (
        "linear",
        {"features": 10},
        ((512, 7, 7),),
        "E301",
        "`linear` needs features, not a feature map; found 512x7x7",
        "`flatten`",
    ),
    ("bn", {}, ((3, 4, 4, 4, 4),), "E301", "(channels x height x width) or features; found 3x4x4x4x4", ""),
    (
        "groupnorm",
        {"groups": 32},
        ((48, 2, 2),),
        "E302",
        "the channels of the input (=48) must be divisible by `groups` (=32); nearest: 64",
        "",
    ),
    (
        "groupnorm",
        {"groups": 8},
        ((8,),),
        "E301",
        "`groupnorm` needs more than one element per group; found 8 features in 8 groups",
        "fewer",
    ),
    (
        "instancenorm",
        {},
        ((8, 1, 1),),
        "E301",
        "`instancenorm` needs more than one element per channel; found 8x1x1",
        "",
    ),
    ("hardtanh", {"min": 1.0, "max": 0.5}, (MAP,), "E205", "`max` must be greater than `min` (=1.0); found 0.5", ""),
    (
        "maxpool",
        {"kernel": 2, "padding": 2},
        (MAP,),
        "E205",
        "`padding` must be at most half of the kernel (=1x1); found 2x2",
        "",
    ),
    (
        "avgpool",
        {"kernel": 7, "padding": "valid"},
        ((8, 6, 7),),
        "E303",
        "`kernel` (=7x7) is larger than its input (=6x7)",
        "",
    ),
    ("avgpool", {"kernel": "global"}, ((512,),), "E301", "`avgpool` needs a feature map", "before `flatten`"),
    (
        "shuffle",
        {"groups": 3},
        (MAP,),
        "E302",
        "the channels of the input (=64) must be divisible by `groups` (=3); nearest: 63",
        "",
    ),
    (
        "shuffle",
        {"groups": 2, "unit": 5},
        (MAP,),
        "E302",
        "the channels of a group (=32) must be divisible by `unit` (=5); nearest: 30",
        "",
    ),
    (
        "softmax",
        {"across": 3},
        (MAP,),
        "E302",
        "the channels of the input (=64) must be divisible by `across` (=3); nearest: 63",
        "",
    ),
    (
        "softmax",
        {"across": 7},
        ((3,),),
        "E302",
        "the channels of the input (=3) must be divisible by `across` (=7); nearest: 7",
        "",
    ),
    (
        "softmax",
        {"across": 2},
        ((4, 2, 2, 2, 2),),
        "E301",
        "`softmax` needs a feature map (channels x height x width) or features; found 4x2x2x2x2",
        "",
    ),
    (
        "pixel_shuffle",
        {"factor": 3},
        (MAP,),
        "E302",
        "(=64) must be divisible by the square of `factor` (=9); nearest: 63",
        "",
    ),
    (
        "slice",
        {"start": 0, "stop": 65},
        (MAP,),
        "E205",
        "`stop` must be at most the channels of the input (=64); found 65",
        "",
    ),
    ("slice", {"start": 8, "stop": 8}, (MAP,), "E205", "`stop` must be greater than `start` (=8); found 8", ""),
    (
        "pad_channels",
        {"channels": 63},
        (MAP,),
        "E205",
        "`channels` must be at least the channels of the input (=64); found 63",
        "",
    ),
    (
        "add",
        {},
        ((256, 56, 56), (256, 56, 56), (128, 56, 56)),
        "E304",
        "`add` needs values of equal shape; value 1 is 256x56x56, value 3 is 128x56x56",
        "`conv(256, 1x1)` changes 128 channels to 256",
    ),
    ("maximum", {}, (MAP, (64,)), "E304", "value 1 is 64x56x56, value 2 is 64 features", ""),
    (
        "mean",
        {},
        (MAP, (64, 28, 28)),
        "E304",
        "`mean` needs values of equal shape; value 1 is 64x56x56, value 2 is 64x28x28",
        "",
    ),
    (
        "concat",
        {},
        (MAP, (32, 28, 56)),
        "E304",
        "`concat` needs values that differ in channels only; value 1 is 64x56x56, value 2 is 32x28x56",
        "",
    ),
    ("concat", {}, (MAP, (32,)), "E304", "value 1 is 64x56x56, value 2 is 32 features", ""),
    (
        "mul",
        {},
        (MAP, (64, 1, 1), (32, 1, 1)),
        "E304",
        "`mul` needs values of equal shape, or sides of 1 that repeat; value 1 is 64x56x56, value 3 is 32x1x1",
        "",
    ),
    ("mul", {}, (MAP, (64,)), "E304", "value 1 is 64x56x56, value 2 is 64 features", "has the shape Cx1x1"),
    ("mul", {}, ((64, 9), (64,)), "E304", "value 1 is 64x9, value 2 is 64 features", "has the shape Cx1"),
    ("mul", {}, (MAP, (64, 1)), "E304", "value 1 is 64x56x56, value 2 is 64x1", MIXED),
    ("add", {}, (MAP, (64, 56)), "E304", "value 1 is 64x56x56, value 2 is 64x56", MIXED),
    ("concat", {}, (MAP, (64, 56)), "E304", "value 1 is 64x56x56, value 2 is 64x56", MIXED),
    (
        "add",
        {},
        ((64, 9), (32, 9)),
        "E304",
        "value 1 is 64x9, value 2 is 32x9",
        "`conv(64, 1)` changes 32 channels to 64",
    ),
    ("crop", {}, (MAP, (64, 5)), "E304", "`crop` needs two maps with the same sides", "a value of channels x height x"),
    ("resize", {}, ((64, 5), MAP), "E304", "value 1 is 64x5, value 2 is 64x56x56", "a value of channels x length"),
    (
        "pad",
        {"top": 1},
        ((64, 8),),
        "E304",
        "`top` adds to a side that a map of channels x length (=64x8)",
        "`left` and",
    ),
    (
        "pad",
        {"front": 1},
        (MAP,),
        "E304",
        "`front` adds to a side that a map of channels x height",
        "`top` and `bottom`",
    ),
]


@pytest.mark.parametrize(
    ("name", "arguments", "shapes", "code", "message", "hint"), ERRORS, ids=[f"{case[0]}: {case[4]}" for case in ERRORS]
)
def test_messages(
    name: str, arguments: dict[str, object], shapes: tuple[Shape, ...], code: str, message: str, hint: str
) -> None:
    operator = OPERATORS[name]
    attributes = validate(operator, arguments, shapes[0])
    with pytest.raises(RuleError, match=re.escape(message)) as caught:
        operator.shape(attributes, shapes)
    assert caught.value.code == code
    assert hint in caught.value.hint
    if code in ("E205", "E302", "E303"):
        assert caught.value.attribute in attributes.fields


def test_every_map_operator_refuses_features() -> None:
    for name in (
        "conv_transpose",
        "instancenorm",
        "lrn",
        "maxpool",
        "adaptive_avgpool",
        "adaptive_maxpool",
        "dropout2d",
    ):
        operator = OPERATORS[name]
        arguments = {"channels": 1, "kernel": 1} if name == "conv_transpose" else {}
        arguments |= {"size": 1} if name == "lrn" or "adaptive" in name else {}
        arguments |= {"kernel": 1} if name == "maxpool" else {}
        with pytest.raises(RuleError, match=f"`{name}` needs a feature map"):
            operator.shape(validate(operator, arguments), ((8,),))
