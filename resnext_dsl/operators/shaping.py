"""Operators that move, repeat or cut elements, and learn nothing."""

from collections.abc import Mapping
from operator import mul
from typing import Any, Literal

from resnext_dsl.operators.activation import NoAttributes
from resnext_dsl.operators.algebra import CHANNELWISE, crosses
from resnext_dsl.operators.arguments import Natural, Positive, PositiveSides
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import NOTHING_SAVED, VIEW
from resnext_dsl.operators.ranks import rank_of
from resnext_dsl.operators.readings import RESIZING, CallArguments, OtherRowError, Reading, implied, read_interpolation
from resnext_dsl.operators.row import ImagesOnly, Operator
from resnext_dsl.operators.rules import (
    STEPS,
    check_corners,
    check_divisible,
    collapsed,
    elements,
    image_of,
    interpolation,
    keywords,
    map_of,
    map_or_features,
    no_parameters,
    padded_upper,
    padding_expression,
    reach,
    resizing_flops,
    strided,
)


class Upsample(Attributes):
    """Attributes of `upsample`.

    Attributes:
        scale: Factors of height and width.
        mode: `nearest` copies elements, `bilinear` interpolates between them.
        align_corners: Whether the corners keep their values in `bilinear`.
    """

    scale: PositiveSides = (2, 2)
    mode: Literal["nearest", "bilinear"] = "nearest"
    align_corners: bool = False


class Shuffle(Attributes):
    """Attributes of `shuffle`.

    Attributes:
        groups: Number of groups whose channels alternate in the result.
        unit: Number of neighbouring channels that stay together.
    """

    later = frozenset({"unit"})

    groups: Positive
    unit: Positive = 1


class PixelShuffle(Attributes):
    """Attributes of `pixel_shuffle`.

    Attributes:
        factor: Side of the square of pixels that channels become.
    """

    factor: Positive


class Slice(Attributes):
    """Attributes of `slice`.

    Attributes:
        start: First channel, counted from 0.
        stop: Channel after the last one.
    """

    start: Natural
    stop: Positive


class Subsample(Attributes):
    """Attributes of `subsample`.

    Attributes:
        stride: Distance between the rows and columns that are kept.
    """

    stride: PositiveSides


class PadChannels(Attributes):
    """Attributes of `pad_channels`.

    Attributes:
        channels: Number of output channels, at least that of the input.
    """

    channels: Positive


class PadSame(Attributes):
    """Attributes of `pad_same`.

    Attributes:
        kernel: Height and width of the window that follows.
        stride: Distance between neighbouring windows.
        dilation: Distance between neighbouring elements of the window.
    """

    kernel: PositiveSides
    stride: PositiveSides = (1, 1)
    dilation: PositiveSides = (1, 1)


def _flatten_shape(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> Shape:
    return (elements(inputs[0]),)


def _flatten_source(attributes: NoAttributes, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.Flatten")


def _upsample_shape(attributes: Upsample, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_of("upsample", inputs)
    check_corners(attributes.align_corners, attributes.mode)
    return (channels, *map(mul, size, attributes.scale))


def _upsample_source(attributes: Upsample, inputs: tuple[Shape, ...]) -> ModuleCall:
    mode = interpolation(attributes.mode, inputs[0])
    chosen = keywords(mode=(mode, "nearest"), align_corners=(attributes.align_corners, False))
    return ModuleCall("nn.Upsample", (), (("scale_factor", collapsed(attributes.scale)), *chosen))


def _upsample_flops(attributes: Upsample, inputs: tuple[Shape, ...]) -> int | None:
    return resizing_flops(attributes.mode, _upsample_shape(attributes, inputs))


def _shuffle_shape(attributes: Shuffle, inputs: tuple[Shape, ...]) -> Shape:
    shape = map_of("shuffle", inputs)
    check_divisible("the channels of the input", shape[0], "`groups`", attributes.groups, "groups")
    check_divisible("the channels of a group", shape[0] // attributes.groups, "`unit`", attributes.unit, "unit")
    return shape


def _shuffle_source(attributes: Shuffle, inputs: tuple[Shape, ...]) -> ModuleCall:
    if attributes.unit == 1:
        return ModuleCall("nn.ChannelShuffle", (attributes.groups,))
    return ModuleCall("UnitShuffle", (attributes.groups, attributes.unit))


def _keeps_order(attributes: Shuffle, inputs: tuple[Shape, ...], training: bool) -> bool:
    """Whether all channels stay in their place, so that torch reshapes them; `nn.ChannelShuffle` copies always."""
    return attributes.unit > 1 and (attributes.groups == 1 or inputs[0][0] == attributes.groups * attributes.unit)


def _pixel_shuffle_shape(attributes: PixelShuffle, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = image_of("pixel_shuffle", inputs)
    factor = attributes.factor
    check_divisible("the channels of the input", channels, "the square of `factor`", factor * factor, "factor")
    return channels // (factor * factor), height * factor, width * factor


def _pixel_shuffle_source(attributes: PixelShuffle, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.PixelShuffle", (attributes.factor,))


def _slice_shape(attributes: Slice, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_or_features("slice", inputs)
    if attributes.stop > channels:
        message = f"`stop` must be at most the channels of the input (={channels}); found {attributes.stop}"
        raise RuleError("E205", message, "", "stop")
    if attributes.stop <= attributes.start:
        message = f"`stop` must be greater than `start` (={attributes.start}); found {attributes.stop}"
        raise RuleError("E205", message, "", "stop")
    return (attributes.stop - attributes.start, *size)


def _slice_source(attributes: Slice, inputs: tuple[Shape, ...]) -> Expression:
    return Expression("{0}[:, {start}:{stop}]", (("start", attributes.start), ("stop", attributes.stop)))


def _subsample_shape(attributes: Subsample, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_of("subsample", inputs)
    return (channels, *strided(tuple(size), attributes.stride))


def _subsample_source(attributes: Subsample, inputs: tuple[Shape, ...]) -> Expression:
    literals = tuple(zip(STEPS[-len(attributes.stride) :], attributes.stride, strict=True))
    steps = ", ".join(f"::{{{name}}}" for name, _ in literals)
    return Expression(f"{{0}}[:, :, {steps}]", literals)


def _pad_shape(attributes: PadChannels, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_or_features("pad_channels", inputs)
    if attributes.channels < channels:
        message = f"`channels` must be at least the channels of the input (={channels}); found {attributes.channels}"
        raise RuleError("E205", message, "", "channels")
    return (attributes.channels, *size)


def _pad_source(attributes: PadChannels, inputs: tuple[Shape, ...]) -> Expression:
    extra = attributes.channels - inputs[0][0]
    around = "0, " * (2 * rank_of(inputs[0]) + 1)
    return Expression(f"F.pad({{0}}, ({around}{{extra}}))", (("extra", extra),))


def _pad_same_shape(attributes: PadSame, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_of("pad_same", inputs)
    return (channels, *padded_upper(tuple(size), reach(attributes.kernel, attributes.dilation), attributes.stride))


def _pad_same_source(attributes: PadSame, inputs: tuple[Shape, ...]) -> Expression:
    extra = [after - before for before, after in zip(inputs[0], _pad_same_shape(attributes, inputs), strict=True)]
    numbers = [number for missing in reversed(extra[1:]) for number in (missing // 2, missing - missing // 2)]
    return padding_expression(numbers)


def _upsample_read(call: CallArguments) -> Mapping[str, Any]:
    factors = call.take("scale_factors")
    call.take("output_size")  # torch states one of the two; it is computed from the factors if both stand here
    if factors is None or any(factor != int(factor) or factor < 1 for factor in factors):
        raise OtherRowError(
            f"`{call.operation}` by a factor that is not a whole number has no operator in the language"
        )
    mode, corners = read_interpolation(call)
    return {"scale": tuple([int(factor) for factor in factors]), "mode": mode, "align_corners": corners}


def _shuffle_read(call: CallArguments) -> Mapping[str, Any]:
    return {"groups": call.take("groups")}


def _pixel_shuffle_read(call: CallArguments) -> Mapping[str, Any]:
    return {"factor": call.take("upscale_factor")}


ROWS = (
    Operator(
        name="flatten",
        kind="shape",
        summary="A feature map as features, channel by channel (`nn.Flatten`).",
        attributes=NoAttributes,
        shape=_flatten_shape,
        source=_flatten_source,
        parameters=no_parameters,
        flops=None,
        memory=VIEW,
        algebra=CHANNELWISE,
        readings=(implied("flatten", "view", "reshape", "squeeze"),),
    ),
    Operator(
        name="upsample",
        kind="shape",
        summary="A feature map enlarged by copying or interpolating (`nn.Upsample`).",
        attributes=Upsample,
        shape=_upsample_shape,
        source=_upsample_source,
        parameters=no_parameters,
        flops=_upsample_flops,
        memory=NOTHING_SAVED,
        algebra=CHANNELWISE,
        fvcore="upsample_{mode}2d",
        readings=(Reading(RESIZING, _upsample_read),),
    ),
    Operator(
        name="shuffle",
        kind="shape",
        summary="Channels taken from each group in turn, as in ShuffleNet (`nn.ChannelShuffle`).",
        attributes=Shuffle,
        shape=_shuffle_shape,
        source=_shuffle_source,
        parameters=no_parameters,
        flops=None,
        memory=NOTHING_SAVED._replace(view=_keeps_order),
        algebra=crosses("it moves channels"),
        readings=(
            Reading(("channel_shuffle",), _shuffle_read),
            implied("view", "transpose", "permute"),
        ),
    ),
    Operator(
        name="pixel_shuffle",
        kind="shape",
        summary="Channels rearranged as squares of pixels (`nn.PixelShuffle`).",
        attributes=PixelShuffle,
        shape=_pixel_shuffle_shape,
        source=_pixel_shuffle_source,
        parameters=no_parameters,
        flops=None,
        memory=NOTHING_SAVED,
        algebra=CHANNELWISE,
        readings=(Reading(("pixel_shuffle",), _pixel_shuffle_read),),
        images_only=(ImagesOnly(),),
    ),
    Operator(
        name="slice",
        kind="shape",
        summary="The channels (or features) from `start` up to, not including, `stop`.",
        attributes=Slice,
        shape=_slice_shape,
        source=_slice_source,
        parameters=no_parameters,
        flops=None,
        memory=VIEW,
        algebra=crosses("it takes channels apart"),
        readings=(implied("slice", "narrow", "select", "split", "chunk", "unbind"),),
    ),
    Operator(
        name="subsample",
        kind="shape",
        summary="Rows and columns at a fixed distance, from the first on.",
        attributes=Subsample,
        shape=_subsample_shape,
        source=_subsample_source,
        parameters=no_parameters,
        flops=None,
        memory=VIEW,
        algebra=CHANNELWISE,
        readings=(implied("slice"),),
    ),
    Operator(
        name="pad_channels",
        kind="shape",
        summary="Zero channels (or features) added at the end, up to the given number (`F.pad`).",
        attributes=PadChannels,
        shape=_pad_shape,
        source=_pad_source,
        parameters=no_parameters,
        flops=None,
        memory=NOTHING_SAVED,
        algebra=crosses("it adds channels"),
        readings=(implied("pad"),),
    ),
    Operator(
        name="pad_same",
        kind="shape",
        summary="Zeros around a feature map, so that the next window gives size / stride, rounded up (`F.pad`). "
        "TensorFlow's SAME at the declared size of the image: an odd row or column goes to the end.",
        attributes=PadSame,
        shape=_pad_same_shape,
        source=_pad_same_source,
        parameters=no_parameters,
        flops=None,
        memory=NOTHING_SAVED,
        algebra=CHANNELWISE,
        readings=(implied("pad"),),
    ),
)
