"""Pooling over windows, over the whole feature map (`global`), or to a given size.

With `global` the other arguments have no effect. With `padding=same_upper` the windows cover the feature map, so that
`ceil` has no effect. fvcore counts adaptive average pooling of images only: one FLOP per element of the input.
"""

import math
from collections.abc import Mapping
from typing import Any, Literal

from resnext_dsl.operators.algebra import CHANNELWISE
from resnext_dsl.operators.arguments import NaturalSides, PositiveSides
from resnext_dsl.operators.base import Attributes, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import MemoryRules, Saved, ScalarCount, TrainingStep
from resnext_dsl.operators.ranks import CLIP, IMAGE, Sides, by_rank, rank_of
from resnext_dsl.operators.readings import (
    CallArguments,
    OtherRowError,
    Reading,
    by_ranks,
    implied,
    is_global,
    output_size,
    refused,
)
from resnext_dsl.operators.row import ImagesOnly, Operator
from resnext_dsl.operators.rules import (
    check_kernel,
    collapsed,
    elements,
    hint_of_same_upper,
    keywords,
    map_of,
    no_parameters,
    padded_upper,
    pads_by_size,
    pads_upper,
    reach,
    resolved_padding,
    sides_text,
    strided,
    usual_padding,
)


class MaxPool(Attributes):
    """Attributes of `maxpool`; without `stride` the windows do not overlap.

    Attributes:
        kernel: Height and width of the window.
        stride: Distance between neighbouring windows.
        padding: Rows and columns on each side that are never the largest.
        dilation: Distance between neighbouring elements of the kernel.
        ceil: Whether a last window may extend beyond the edge.
    """

    kernel: PositiveSides | Literal["global"]
    stride: PositiveSides | None = None
    padding: NaturalSides | Literal["same", "same_upper", "valid"] = "same"
    dilation: PositiveSides = (1, 1)
    ceil: bool = False


class AvgPool(Attributes):
    """Attributes of `avgpool`; without `stride` the windows do not overlap.

    Attributes:
        kernel: Height and width of the window.
        stride: Distance between neighbouring windows.
        padding: Rows and columns of zeros on each side.
        ceil: Whether a last window may extend beyond the edge.
        count_include_pad: Whether padding counts in the mean.
    """

    kernel: PositiveSides | Literal["global"]
    stride: PositiveSides | None = None
    padding: NaturalSides | Literal["same", "same_upper", "valid"] = "same"
    ceil: bool = False
    count_include_pad: bool = True


class AdaptivePool(Attributes):
    """Attributes of `adaptive_avgpool` and `adaptive_maxpool`.

    Attributes:
        size: Height and width of the output.
    """

    size: PositiveSides


def _positions(size: int, reach: int, stride: int, padding: int, ceil: bool) -> int:
    """Windows along one side. With `ceil` one more may start inside the input or its left padding (torch's rule)."""
    count = (size + 2 * padding - reach + ceil * (stride - 1)) // stride + 1
    return count - ceil * ((count - 1) * stride >= size + padding)


def _pooled_size(size: Sides, kernel: Sides, dilation: Sides, attributes: MaxPool | AvgPool) -> Sides:
    stride = attributes.stride or kernel
    if attributes.padding == "same_upper":
        return strided(size, stride)
    spans = reach(kernel, dilation)
    padding = resolved_padding(attributes.padding, spans)
    _check_padding(padding, kernel)
    output = tuple(map(_positions, size, spans, stride, padding, (attributes.ceil,) * len(size)))
    check_kernel(output, size, kernel, spans, padding)
    return output


def _check_padding(padding: Sides, kernel: Sides) -> None:
    # Torch's limit ignores dilation.
    for around, size in zip(padding, kernel, strict=True):
        if 2 * around > size:
            half = sides_text(tuple([size // 2 for size in kernel]))
            message = f"`padding` must be at most half of the kernel (={half}); found {sides_text(padding)}"
            raise RuleError("E205", message, f"use `padding={half}`", "padding")


def _pads_by_size(attributes: MaxPool | AvgPool, dilation: Sides) -> bool:
    """Whether the module pads its input. Torch's poolings pad both sides alike, by at most half of the kernel."""
    kernel = attributes.kernel
    if kernel == "global" or attributes.padding != "same_upper":
        return False
    return max(dilation) > 1 or pads_by_size("same_upper", reach(kernel, dilation), attributes.stride or kernel)


def _padded(attributes: MaxPool | AvgPool, shape: Shape, dilation: Sides) -> int:
    """Elements of the padded input, if the module pads it itself; else 0."""
    if not _pads_by_size(attributes, dilation):
        return 0
    kernel: Any = attributes.kernel
    return shape[0] * math.prod(padded_upper(shape[1:], reach(kernel, dilation), attributes.stride or kernel))


def _windows_pad_upper(arguments: Mapping[str, Any]) -> bool:
    """Whether arguments ask for windows with the padding of `same_upper`."""
    return pads_upper(arguments) and arguments.get("kernel") != "global"


def _hint_of_average(arguments: Mapping[str, Any]) -> str:
    # A mean that leaves padding out, and a maximum, differ from those of a map that is padded before.
    if not arguments.get("count_include_pad", True):
        return ""
    return hint_of_same_upper({"stride": arguments.get("kernel"), **arguments})


def _max_shape(attributes: MaxPool, inputs: tuple[Shape, ...]) -> Shape:
    shape = map_of("maxpool", inputs)
    if attributes.kernel == "global":
        return (shape[0], *(1,) * rank_of(shape))
    return (shape[0], *_pooled_size(shape[1:], attributes.kernel, attributes.dilation, attributes))


def _avg_shape(attributes: AvgPool, inputs: tuple[Shape, ...]) -> Shape:
    shape = map_of("avgpool", inputs)
    if attributes.kernel == "global":
        return (shape[0], *(1,) * rank_of(shape))
    size = _pooled_size(shape[1:], attributes.kernel, (1,) * rank_of(shape), attributes)
    if rank_of(shape) == CLIP:
        _check_unpadded(shape[1:], attributes.kernel)
    return (shape[0], *size)


def _check_unpadded(size: Sides, kernel: Sides) -> None:
    """Checks that the windows of an average over a clip fit in it without padding: `nn.AvgPool3d` takes no others."""
    if any(window > side for window, side in zip(kernel, size, strict=True)):
        message = f"`kernel` (={sides_text(kernel)}) is larger than its input (={sides_text(size)})"
        hint = "use a smaller kernel or a larger input; padding does not help averages over clips"
        raise RuleError("E303", message, hint, "kernel")


def _max_source(attributes: MaxPool, inputs: tuple[Shape, ...]) -> ModuleCall:
    if attributes.kernel == "global":
        return ModuleCall(by_rank("nn.AdaptiveMaxPool", inputs[0]), (1,))
    kernel = attributes.kernel
    if _pads_by_size(attributes, attributes.dilation):
        chosen = keywords(
            stride=(collapsed(attributes.stride or kernel), collapsed(kernel)),
            dilation=(collapsed(attributes.dilation), 1),
        )
        return ModuleCall("MaxPool2dSame", (collapsed(kernel),), chosen)
    padding = resolved_padding(attributes.padding, reach(kernel, attributes.dilation))
    chosen = keywords(
        stride=(collapsed(attributes.stride or kernel), collapsed(kernel)),
        padding=(collapsed(padding), 0),
        dilation=(collapsed(attributes.dilation), 1),
        ceil_mode=(attributes.ceil, False),
    )
    return ModuleCall(by_rank("nn.MaxPool", inputs[0]), (collapsed(kernel),), chosen)


def _avg_source(attributes: AvgPool, inputs: tuple[Shape, ...]) -> ModuleCall:
    if attributes.kernel == "global":
        return ModuleCall(by_rank("nn.AdaptiveAvgPool", inputs[0]), (1,))
    kernel = attributes.kernel
    if _pads_by_size(attributes, (1, 1)):
        chosen = keywords(
            stride=(collapsed(attributes.stride or kernel), collapsed(kernel)),
            count_include_pad=(attributes.count_include_pad, True),
        )
        return ModuleCall("AvgPool2dSame", (collapsed(kernel),), chosen)
    padding = resolved_padding(attributes.padding, kernel)
    chosen = keywords(
        stride=(collapsed(attributes.stride or kernel), collapsed(kernel)),
        padding=(collapsed(padding), 0),
        ceil_mode=(attributes.ceil, False),
        count_include_pad=(attributes.count_include_pad, True),
    )
    return ModuleCall(by_rank("nn.AvgPool", inputs[0]), (collapsed(kernel),), chosen)


def _avg_flops(attributes: AvgPool, inputs: tuple[Shape, ...]) -> int | None:
    return _adaptive_avg_flops(attributes, inputs) if attributes.kernel == "global" else None


def _adaptive_avg_shape(attributes: AdaptivePool, inputs: tuple[Shape, ...]) -> Shape:
    return (map_of("adaptive_avgpool", inputs)[0], *attributes.size)


def _adaptive_max_shape(attributes: AdaptivePool, inputs: tuple[Shape, ...]) -> Shape:
    return (map_of("adaptive_maxpool", inputs)[0], *attributes.size)


def _adaptive_avg_source(attributes: AdaptivePool, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall(by_rank("nn.AdaptiveAvgPool", inputs[0]), (collapsed(attributes.size),))


def _adaptive_max_source(attributes: AdaptivePool, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall(by_rank("nn.AdaptiveMaxPool", inputs[0]), (collapsed(attributes.size),))


def _adaptive_avg_flops(attributes: AdaptivePool | AvgPool, inputs: tuple[Shape, ...]) -> int | None:
    return elements(inputs[0]) if rank_of(inputs[0]) == IMAGE else None


def _max_indices(attributes: MaxPool, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    return ScalarCount(indices=batch * elements(_max_shape(attributes, inputs)))


def _max_scratch(attributes: MaxPool, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    padded = batch * _padded(attributes, inputs[0], attributes.dilation)
    return _max_indices(attributes, inputs, batch)._replace(elements=padded)


def _max_saves(attributes: MaxPool, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    extra = _max_scratch(attributes, inputs, run.batch)
    return Saved(inputs=() if extra.elements else (0,), extra=extra)


def _avg_scratch(attributes: AvgPool, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    padded = _padded(attributes, inputs[0], (1, 1))
    if not padded or attributes.count_include_pad:
        return ScalarCount(batch * padded)
    # The module divides sums by counts: beside its input it has the sums, ones, padded ones, and their counts.
    (channels, height, width), (_, rows, columns) = inputs[0], _avg_shape(attributes, inputs)
    counts = height * width + rows * columns
    return ScalarCount(max(batch * padded, counts + max(padded // channels, batch * channels * rows * columns)))


def _avg_saves(attributes: AvgPool, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    if attributes.kernel == "global":
        return Saved()
    padded = _padded(attributes, inputs[0], (1, 1))
    if not padded:
        return Saved(inputs=(0,))
    _, rows, columns = _avg_shape(attributes, inputs)
    return Saved(extra=ScalarCount(run.batch * padded + (not attributes.count_include_pad) * rows * columns))


def _adaptive_max_indices(attributes: AdaptivePool, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    return ScalarCount(indices=batch * elements(_adaptive_max_shape(attributes, inputs)))


def _adaptive_max_saves(attributes: AdaptivePool, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(inputs=(0,), extra=_adaptive_max_indices(attributes, inputs, run.batch))


def _adaptive_avg_saves(attributes: AdaptivePool, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved() if max(attributes.size) == 1 else Saved(inputs=(0,))  # torch computes it as a plain mean


def _max_read(call: CallArguments) -> Mapping[str, Any]:
    kernel, dilation = call.sides("kernel_size"), call.sides("dilation", 1)
    call.only("return_indices", False, False)
    padding = call.sides("padding", 0)
    return {
        **_windows_read(call, kernel),
        "padding": usual_padding(padding, reach(kernel, dilation)),
        "dilation": dilation,
        "ceil": bool(call.take("ceil_mode", False)),
    }


def _avg_read(call: CallArguments) -> Mapping[str, Any]:
    kernel, padding = call.sides("kernel_size"), call.sides("padding", 0)
    counted = bool(call.take("count_include_pad", True))
    if call.has("divisor_override"):
        raise refused(call.operation, "divisor_override", call.take("divisor_override"))
    return {
        **_windows_read(call, kernel),
        "padding": usual_padding(padding, kernel),
        "ceil": bool(call.take("ceil_mode", False)),
        "count_include_pad": counted or not any(padding),
    }


def _windows_read(call: CallArguments, kernel: Sides) -> dict[str, Any]:
    """Kernel and stride; the stride is left out if the windows do not overlap."""
    stride = call.take("stride")
    strides = tuple(stride) if isinstance(stride, tuple | list) else (stride,) if stride else kernel
    strides = strides or kernel
    strides = strides * len(kernel) if len(strides) == 1 else strides
    return {"kernel": kernel} if strides == kernel else {"kernel": kernel, "stride": strides}


def _global_read(call: CallArguments) -> Mapping[str, Any]:
    call.only("return_indices", False, False)
    if not is_global(call.take("output_size"), call.shape):
        raise OtherRowError(f"`{call.operation}` has another output size than 1")
    return {"kernel": "global"}


def _adaptive_read(call: CallArguments) -> Mapping[str, Any]:
    call.only("return_indices", False, False)
    return {"size": output_size(call.take("output_size"), call.shape)}


ROWS = (
    Operator(
        name="maxpool",
        kind="pooling",
        summary="Maximum of each window, or of the whole feature map (`nn.MaxPool2d`, `nn.AdaptiveMaxPool2d(1)`).",
        attributes=MaxPool,
        shape=_max_shape,
        source=_max_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_max_saves, scratch=_max_scratch),
        algebra=CHANNELWISE,
        readings=(
            Reading(by_ranks("max_pool"), _max_read),
            Reading(by_ranks("adaptive_max_pool"), _global_read),
            implied("amax"),
        ),
        images_only=(ImagesOnly("padding", _windows_pad_upper),),
    ),
    Operator(
        name="avgpool",
        kind="pooling",
        summary="Mean of each window, or of the whole feature map (`nn.AvgPool2d`, `nn.AdaptiveAvgPool2d(1)`).",
        attributes=AvgPool,
        shape=_avg_shape,
        source=_avg_source,
        parameters=no_parameters,
        flops=_avg_flops,
        memory=MemoryRules(_avg_saves, scratch=_avg_scratch),
        algebra=CHANNELWISE,
        images_only=(ImagesOnly("padding", _windows_pad_upper, _hint_of_average),),
        fvcore="adaptive_avg_pool2d",
        readings=(
            Reading(by_ranks("avg_pool"), _avg_read),
            Reading(by_ranks("adaptive_avg_pool"), _global_read),
            implied("mean"),
        ),
    ),
    Operator(
        name="adaptive_avgpool",
        kind="pooling",
        summary="Means over a grid of the given size (`nn.AdaptiveAvgPool2d`).",
        attributes=AdaptivePool,
        shape=_adaptive_avg_shape,
        source=_adaptive_avg_source,
        parameters=no_parameters,
        flops=_adaptive_avg_flops,
        memory=MemoryRules(_adaptive_avg_saves),
        algebra=CHANNELWISE,
        fvcore="adaptive_avg_pool2d",
        readings=(Reading(by_ranks("adaptive_avg_pool"), _adaptive_read),),
    ),
    Operator(
        name="adaptive_maxpool",
        kind="pooling",
        summary="Maxima over a grid of the given size (`nn.AdaptiveMaxPool2d`).",
        attributes=AdaptivePool,
        shape=_adaptive_max_shape,
        source=_adaptive_max_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_adaptive_max_saves, scratch=_adaptive_max_indices),
        algebra=CHANNELWISE,
        readings=(Reading(by_ranks("adaptive_max_pool"), _adaptive_read),),
    ),
)
