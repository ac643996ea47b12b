"""Convolutions and linear layers: the operators that multiply by learned weights."""

import math
from collections.abc import Mapping
from typing import Any, Literal

from resnext_dsl.operators.algebra import Tensor, WeightLayout, crosses
from resnext_dsl.operators.arguments import NaturalSides, Positive, PositiveFloat, PositiveSides
from resnext_dsl.operators.base import Attributes, ModuleCall, Need, RuleError, Shape, value_text
from resnext_dsl.operators.memory_rules import INPUT_SAVED, MemoryRules, Saved, ScalarCount, TrainingStep
from resnext_dsl.operators.ranks import Sides, by_rank, helper_by_rank, rank_of
from resnext_dsl.operators.readings import WEIGHT_AND_BIAS, CallArguments, OtherRowError, Reading, by_ranks
from resnext_dsl.operators.row import ImagesOnly, Operator
from resnext_dsl.operators.rules import (
    all_windows,
    check_divisible,
    check_kernel,
    collapsed,
    elements,
    hint_of_same_upper,
    keywords,
    map_of,
    padded_upper,
    pads_by_size,
    pads_upper,
    reach,
    resolved_padding,
    shape_text,
    sides_text,
    strided,
    usual_padding,
)


class Convolution(Attributes):
    """Attributes of `conv`; a word for `padding` stands for a rule that depends on the kernel.

    Attributes:
        channels: Number of output channels.
        kernel: Height and width of the window.
        stride: Distance between neighbouring windows.
        padding: Rows and columns of zeros on each side.
        dilation: Distance between neighbouring elements of the kernel.
        groups: Number of groups of channels, each computed separately.
        bias: Whether an offset is learned for each output channel.
        standardize: Whether weights get mean 0 and variance 1 in each output channel, or are `scaled` besides.
        gain: Value before training of the factor that `scaled` weights learn for each output channel.
        gamma: Constant factor of `scaled` weights, beside 1 / sqrt(fan-in); it suits the activation before them.
        eps: Number added to the variance of standardized weights.
    """

    channels: Positive
    kernel: PositiveSides
    stride: PositiveSides = (1, 1)
    padding: NaturalSides | Literal["same", "same_upper", "valid"] = "same"
    dilation: PositiveSides = (1, 1)
    groups: Positive = 1
    bias: bool = False
    standardize: bool | Literal["scaled"] = False
    gain: float = 1.0
    gamma: PositiveFloat = 1.0
    eps: PositiveFloat = 1e-6

    later = frozenset({"standardize", "gain", "gamma", "eps"})
    needs = (
        Need("gain", "standardize", ("scaled",)),
        Need("gamma", "standardize", ("scaled",)),
        Need("eps", "standardize", (True, "scaled")),
    )


class TransposedConvolution(Attributes):
    """Attributes of `conv_transpose`, in torch's order.

    Attributes:
        channels: Number of output channels.
        kernel: Height and width of the window.
        stride: Distance between neighbouring windows in the output.
        padding: Rows and columns removed from each side of the output.
        output_padding: Rows and columns added to one side of the output.
        groups: Number of groups of channels, each computed separately.
        bias: Whether an offset is learned for each output channel.
        dilation: Distance between neighbouring elements of the kernel.
    """

    channels: Positive
    kernel: PositiveSides
    stride: PositiveSides = (1, 1)
    padding: NaturalSides = (0, 0)
    output_padding: NaturalSides = (0, 0)
    groups: Positive = 1
    bias: bool = False
    dilation: PositiveSides = (1, 1)


class ChannelConvolution(Attributes):
    """Attributes of `channel_conv`.

    Attributes:
        kernel: Number of neighbouring channels in a window; an odd number.
    """

    kernel: Positive


class Linear(Attributes):
    """Attributes of `linear`.

    Attributes:
        features: Number of output features.
        bias: Whether an offset is learned for each output channel.
    """

    features: Positive
    bias: bool = True


def _check_groups(attributes: Convolution | TransposedConvolution, channels_in: int) -> None:
    groups = attributes.groups
    check_divisible("`channels`", attributes.channels, "`groups`", groups, "channels")
    check_divisible("the channels of the input", channels_in, "`groups`", groups, "groups")


def _scaled(attributes: Convolution) -> bool:
    """Whether weights are scaled besides."""
    return isinstance(attributes.standardize, str)


def _check_standardize(attributes: Convolution, channels_in: int) -> None:
    if channels_in // attributes.groups * math.prod(attributes.kernel) == 1:
        message = "`standardize` needs more than one weight for each output channel; found 1"
        raise RuleError("E205", message, "use a larger kernel, fewer groups or `standardize=false`", "standardize")


def _conv_size(attributes: Convolution, size: Sides) -> Sides:
    kernel = attributes.kernel
    if attributes.padding == "same_upper":
        return strided(size, attributes.stride)
    spans = reach(kernel, attributes.dilation)
    padding = resolved_padding(attributes.padding, spans)
    output = all_windows(size, spans, attributes.stride, padding)
    check_kernel(output, size, kernel, spans, padding)
    return output


def _conv_shape(attributes: Convolution, inputs: tuple[Shape, ...]) -> Shape:
    shape = map_of("conv", inputs)
    _check_groups(attributes, shape[0])
    if attributes.standardize:
        _check_standardize(attributes, shape[0])
    return (attributes.channels, *_conv_size(attributes, shape[1:]))


def _conv_source(attributes: Convolution, inputs: tuple[Shape, ...]) -> ModuleCall:
    spans = reach(attributes.kernel, attributes.dilation)
    by_size = pads_by_size(attributes.padding, spans, attributes.stride)
    padding = (0, 0) if by_size else resolved_padding(attributes.padding, spans)
    chosen = keywords(
        stride=(collapsed(attributes.stride), 1),
        padding=(collapsed(padding), 0),
        dilation=(collapsed(attributes.dilation), 1),
        groups=(attributes.groups, 1),
        bias=(attributes.bias, True),
    )
    target = "Conv2dSame" if by_size else by_rank("nn.Conv", inputs[0])
    if attributes.standardize:
        scaled = _scaled(attributes)
        target = "StandardizedConv2d"
        chosen += keywords(
            same_upper=(by_size, False),
            gamma=(attributes.gamma if scaled else None, None),
            gain=(attributes.gain if scaled else 1.0, 1.0),
            eps=(attributes.eps, Convolution.eps),
        )
    return ModuleCall(target, (inputs[0][0], attributes.channels, collapsed(attributes.kernel)), chosen)


def _conv_weights(attributes: Convolution, channels_in: int) -> int:
    return attributes.channels * (channels_in // attributes.groups) * math.prod(attributes.kernel)


def _conv_parameters(attributes: Convolution, inputs: tuple[Shape, ...]) -> int:
    vectors = attributes.bias + _scaled(attributes)
    return _conv_weights(attributes, inputs[0][0]) + vectors * attributes.channels


def _conv_padded(attributes: Convolution, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    """The padded input, if the module pads it before it convolves."""
    spans = reach(attributes.kernel, attributes.dilation)
    if not pads_by_size(attributes.padding, spans, attributes.stride):
        return ScalarCount()
    return ScalarCount(batch * inputs[0][0] * math.prod(padded_upper(inputs[0][1:], spans, attributes.stride)))


def _conv_scratch(attributes: Convolution, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    padded = _conv_padded(attributes, inputs, batch)
    if not attributes.standardize:
        return padded
    # The standardized weights and their factors are alive with the means and standard deviations, and later with the
    # padded input and the result.
    kept = _conv_weights(attributes, inputs[0][0]) + _scaled(attributes) * attributes.channels
    result = batch * elements(_conv_shape(attributes, inputs))
    return ScalarCount(kept + max(padded.elements, 2 * attributes.channels - result))


def _conv_saves(attributes: Convolution, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    padded = _conv_padded(attributes, inputs, run.batch).elements
    extra = padded
    if attributes.standardize:
        # beside the weights: means and standard deviations, and factors of `scaled` weights
        vectors = attributes.channels * (2 + _scaled(attributes))
        extra += _conv_weights(attributes, inputs[0][0]) + vectors
    return Saved(inputs=() if padded else (0,), extra=ScalarCount(extra))


def _conv_flops(attributes: Convolution, inputs: tuple[Shape, ...]) -> int:
    products = _conv_weights(attributes, inputs[0][0]) * math.prod(_conv_size(attributes, inputs[0][1:]))
    return products + _conv_weight_flops(attributes, inputs)


def _conv_weight_flops(attributes: Convolution, inputs: tuple[Shape, ...]) -> int:
    """FLOPs of standardization, which fvcore counts as a batch norm of the weights in training."""
    standardize = attributes.standardize
    each = 5 if isinstance(standardize, str) else 4 * standardize  # a truth value may be a column
    return _conv_weights(attributes, inputs[0][0]) * each


def _transposed_side(size: int, reach: int, stride: int, padding: int, extra: int) -> int:
    """The formula in the documentation of `torch.nn.ConvTranspose2d`."""
    return (size - 1) * stride - 2 * padding + reach + extra


def _transposed_shape(attributes: TransposedConvolution, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_of("conv_transpose", inputs)
    _check_groups(attributes, channels)
    _check_output_padding(attributes)
    spans = reach(attributes.kernel, attributes.dilation)
    padding = attributes.padding
    output = tuple(map(_transposed_side, size, spans, attributes.stride, padding, attributes.output_padding))
    if min(output) < 1:
        least = sides_text((1,) * len(output))
        message = (
            f"`padding` (={sides_text(padding)}) leaves an output of {sides_text(output)}; it must be at least {least}"
        )
        raise RuleError("E205", message, "", "padding")
    return (attributes.channels, *output)


def _check_output_padding(attributes: TransposedConvolution) -> None:
    for extra, stride, dilation in zip(attributes.output_padding, attributes.stride, attributes.dilation, strict=True):
        if extra >= max(stride, dilation):
            message = (
                f"`output_padding` must be less than `stride` or `dilation` (={max(stride, dilation)}); found {extra}"
            )
            raise RuleError("E205", message, "", "output_padding")


def _transposed_source(attributes: TransposedConvolution, inputs: tuple[Shape, ...]) -> ModuleCall:
    chosen = keywords(
        stride=(collapsed(attributes.stride), 1),
        padding=(collapsed(attributes.padding), 0),
        output_padding=(collapsed(attributes.output_padding), 0),
        groups=(attributes.groups, 1),
        bias=(attributes.bias, True),
        dilation=(collapsed(attributes.dilation), 1),
    )
    target = by_rank("nn.ConvTranspose", inputs[0])
    return ModuleCall(target, (inputs[0][0], attributes.channels, collapsed(attributes.kernel)), chosen)


def _transposed_weights(attributes: TransposedConvolution, channels_in: int) -> int:
    return channels_in * (attributes.channels // attributes.groups) * math.prod(attributes.kernel)


def _transposed_parameters(attributes: TransposedConvolution, inputs: tuple[Shape, ...]) -> int:
    return _transposed_weights(attributes, inputs[0][0]) + attributes.bias * attributes.channels


def _transposed_flops(attributes: TransposedConvolution, inputs: tuple[Shape, ...]) -> int:
    return _transposed_weights(attributes, inputs[0][0]) * math.prod(inputs[0][1:])


def _linear_shape(attributes: Linear, inputs: tuple[Shape, ...]) -> Shape:
    if len(inputs[0]) != 1:
        message = f"`linear` needs features, not a feature map; found {shape_text(inputs[0])}"
        raise RuleError("E301", message, "put `flatten` before it")
    return (attributes.features,)


def _linear_source(attributes: Linear, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.Linear", (inputs[0][0], attributes.features), keywords(bias=(attributes.bias, True)))


def _linear_parameters(attributes: Linear, inputs: tuple[Shape, ...]) -> int:
    return attributes.features * (inputs[0][0] + attributes.bias)


def _linear_flops(attributes: Linear, inputs: tuple[Shape, ...]) -> int:
    return attributes.features * inputs[0][0]


MIXES = "it mixes channels"
"""The reason why convolutions and linear layers are not channel-wise; `rewrite` has special rules for them."""


def _conv_tensors(attributes: Convolution, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    weight = Tensor("weight", (attributes.channels, inputs[0][0] // attributes.groups, *attributes.kernel))
    bias = (Tensor("bias", (attributes.channels,)),) if attributes.bias else ()
    gain = (Tensor("gain", (attributes.channels, 1, 1, 1)),) if _scaled(attributes) else ()
    return (weight, *bias, *gain)


def _transposed_tensors(attributes: TransposedConvolution, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    weight = Tensor("weight", (inputs[0][0], attributes.channels // attributes.groups, *attributes.kernel))
    return (weight, Tensor("bias", (attributes.channels,))) if attributes.bias else (weight,)


def _linear_tensors(attributes: Linear, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    weight = Tensor("weight", (attributes.features, inputs[0][0]))
    return (weight, Tensor("bias", (attributes.features,))) if attributes.bias else (weight,)


def _conv_size_text(attributes: Convolution) -> str:
    stride = f" /{value_text(collapsed(attributes.stride))}" if max(attributes.stride) > 1 else ""
    return f"{sides_text(attributes.kernel)} {attributes.channels}{stride}"


def _channel_shape(attributes: ChannelConvolution, inputs: tuple[Shape, ...]) -> Shape:
    shape = map_of("channel_conv", inputs)
    if math.prod(shape[1:]) != 1:
        gate = "C" + "x1" * rank_of(shape)
        message = f"`channel_conv` needs one number for each channel, a map of {gate}; found {shape_text(shape)}"
        raise RuleError("E301", message, "put `avgpool(global)` before it")
    if attributes.kernel % 2 == 0:
        raise RuleError("E205", f"`kernel` must be odd; found {attributes.kernel}", "", "kernel")
    return shape


def _channel_source(attributes: ChannelConvolution, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall(helper_by_rank("ChannelConv", inputs[0]), (attributes.kernel,))


def _channel_parameters(attributes: ChannelConvolution, inputs: tuple[Shape, ...]) -> int:
    return attributes.kernel


def _channel_flops(attributes: ChannelConvolution, inputs: tuple[Shape, ...]) -> int:
    return attributes.kernel * inputs[0][0]


def _channel_tensors(attributes: ChannelConvolution, inputs: tuple[Shape, ...]) -> tuple[Tensor, ...]:
    return (Tensor("weight", (1, 1, attributes.kernel)),)


def _conv_read(call: CallArguments) -> Mapping[str, Any]:
    channels, _, *kernel = call.tensors["weight"]
    dilation = call.sides("dilation", 1)
    stride = call.sides("stride", 1)
    return {
        "channels": channels,
        "kernel": tuple(kernel),
        "stride": stride,
        "padding": _read_padding(call, reach(tuple(kernel), dilation)),
        "dilation": dilation,
        "groups": call.take("groups", 1),
        "bias": "bias" in call.tensors,
        **{name: call.take(name) for name in ("standardize", "gain", "gamma", "eps") if call.has(name)},
    }


def _read_padding(call: CallArguments, spans: Sides) -> Sides | str:
    """The padding of a convolution; torch's word `same` adds an odd element at the end, as `same_upper` does."""
    if not call.is_word("padding"):
        return usual_padding(call.sides("padding", 0), spans)
    word = call.take("padding")
    if word == "valid":
        return usual_padding((0,) * len(spans), spans)
    return "same" if all(span % 2 for span in spans) else "same_upper"


def _transposed_read(call: CallArguments) -> Mapping[str, Any]:
    _, channels, *kernel = call.tensors["weight"]
    groups = call.take("groups", 1)
    return {
        "channels": channels * groups,
        "kernel": tuple(kernel),
        "stride": call.sides("stride", 1),
        "padding": call.sides("padding", 0),
        "output_padding": call.sides("output_padding", 0),
        "groups": groups,
        "bias": "bias" in call.tensors,
        "dilation": call.sides("dilation", 1),
    }


def _linear_read(call: CallArguments) -> Mapping[str, Any]:
    return {"features": call.tensors["weight"][0], "bias": "bias" in call.tensors}


def _channel_read(call: CallArguments) -> Mapping[str, Any]:
    """The reading of a convolution of a signal whose one channel has the channels of a map along its length."""
    channels, per_group, kernel = call.tensors["weight"]
    if (channels, per_group) != (1, 1):
        raise OtherRowError(f"`conv1d` across the channels of a map has {channels} output channels and not 1")
    call.only("stride", 1, 1)
    call.only("dilation", 1, 1)
    call.only("groups", 1, 1)
    call.only("padding", "same" if call.is_word("padding") else kernel // 2, 0)
    if kernel % 2 == 0:
        raise OtherRowError(f"`conv1d` across the channels of a map has an even kernel (={kernel})")
    return {"kernel": kernel}


def _linear_size_text(attributes: Linear) -> str:
    return str(attributes.features)


ROWS = (
    Operator(
        name="conv",
        kind="convolution",
        summary="Convolution over the sides of a feature map (`nn.Conv1d`, `nn.Conv2d`, `nn.Conv3d`).",
        attributes=Convolution,
        shape=_conv_shape,
        source=_conv_source,
        parameters=_conv_parameters,
        flops=_conv_flops,
        weight_flops=_conv_weight_flops,
        memory=MemoryRules(_conv_saves, scratch=_conv_scratch),
        algebra=crosses(MIXES)._replace(tensors=_conv_tensors, weight=WeightLayout("channels")),
        overwritable=True,
        fvcore="conv",
        init_fields=("weight", "bias", "gain"),
        images_only=(
            ImagesOnly("standardize", lambda stated: bool(stated.get("standardize"))),
            ImagesOnly("padding", pads_upper, hint_of_same_upper),
        ),
        size_text=_conv_size_text,
        readings=(Reading(by_ranks("conv"), _conv_read, tensors=WEIGHT_AND_BIAS),),
    ),
    Operator(
        name="conv_transpose",
        kind="convolution",
        summary="Transposed convolution, which inverts the change of size of a convolution (`nn.ConvTranspose1d`, "
        "`2d`, `3d`).",
        attributes=TransposedConvolution,
        shape=_transposed_shape,
        source=_transposed_source,
        parameters=_transposed_parameters,
        flops=_transposed_flops,
        memory=INPUT_SAVED,
        algebra=crosses(MIXES)._replace(tensors=_transposed_tensors, weight=WeightLayout("channels", output_axis=1)),
        overwritable=True,
        enlarges=True,
        fvcore="conv",
        init_fields=("weight", "bias"),
        readings=(Reading(by_ranks("conv_transpose"), _transposed_read, tensors=WEIGHT_AND_BIAS),),
    ),
    Operator(
        name="channel_conv",
        kind="convolution",
        summary="Convolution across neighbouring channels of a map of Cx1x1, with zeros beyond the first and last "
        "(Wang et al., ECA-Net, CVPR 2020).",
        attributes=ChannelConvolution,
        shape=_channel_shape,
        source=_channel_source,
        parameters=_channel_parameters,
        flops=_channel_flops,
        memory=INPUT_SAVED,
        algebra=crosses(MIXES)._replace(tensors=_channel_tensors),
        fvcore="conv",
        init_fields=("weight",),
        layer=True,
        readings=(Reading(("conv1d",), _channel_read, "last", WEIGHT_AND_BIAS[:1]),),
    ),
    Operator(
        name="linear",
        kind="linear",
        summary="Fully connected layer over features; a feature map needs `flatten` first (`nn.Linear`).",
        attributes=Linear,
        shape=_linear_shape,
        source=_linear_source,
        parameters=_linear_parameters,
        flops=_linear_flops,
        memory=INPUT_SAVED,
        algebra=crosses(MIXES)._replace(tensors=_linear_tensors, weight=WeightLayout("features")),
        overwritable=True,
        fvcore="linear",
        init_fields=("weight", "bias"),
        size_text=_linear_size_text,
        readings=(Reading(("linear",), _linear_read, "last", WEIGHT_AND_BIAS),),
    ),
)
