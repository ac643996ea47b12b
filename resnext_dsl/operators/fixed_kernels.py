"""Convolutions by kernels that are given and not learned: each channel by the same kernel. The kernels are buffers."""

from typing import Literal

from resnext_dsl.operators.algebra import CHANNELWISE
from resnext_dsl.operators.arguments import Matrix, NaturalSides, PositiveSides
from resnext_dsl.operators.base import Attributes, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import MemoryRules, Saved, ScalarCount, TrainingStep
from resnext_dsl.operators.ranks import Sides
from resnext_dsl.operators.readings import implied
from resnext_dsl.operators.row import ImagesOnly, Operator
from resnext_dsl.operators.rules import (
    check_kernel,
    collapsed,
    elements,
    image_of,
    keywords,
    no_parameters,
    resolved_padding,
    sides_text,
    windows,
)


class FixedKernel(Attributes):
    """Attributes of convolutions by kernels that are given.

    Attributes:
        stride: Distance between neighbouring windows.
        padding: Rows and columns added on each side.
        mode: The added elements: zeros (`constant`), the mirrored map (`reflect`), or its edge (`replicate`).
    """

    stride: PositiveSides = (1, 1)
    padding: NaturalSides | Literal["same", "valid"] = "same"
    mode: Literal["constant", "reflect", "replicate"] = "constant"


class FixedConvolution(FixedKernel):
    """Attributes of `fixed_conv`.

    Attributes:
        kernel: The weights, row by row; all channels have the same.
    """

    kernel: Matrix


class BlurPool(FixedKernel):
    """Attributes of `blur_pool`.

    Attributes:
        kernel: Height and width of the window.
    """

    kernel: PositiveSides
    stride = (2, 2)
    mode = "reflect"


Fixed = FixedConvolution | BlurPool


def _size(attributes: Fixed) -> Sides:
    """Height and width of the kernel."""
    if isinstance(attributes, BlurPool):
        return attributes.kernel
    return len(attributes.kernel), len(attributes.kernel[0])


def _padding(attributes: Fixed) -> Sides:
    return resolved_padding(attributes.padding, _size(attributes))


def _shape(attributes: Fixed, inputs: tuple[Shape, ...]) -> Shape:
    name = "blur_pool" if isinstance(attributes, BlurPool) else "fixed_conv"
    channels, height, width = image_of(name, inputs)
    kernel, stride, padding = _size(attributes), attributes.stride, _padding(attributes)
    rows = windows(height, kernel[0], stride[0], padding[0])
    columns = windows(width, kernel[1], stride[1], padding[1])
    check_kernel((rows, columns), (height, width), kernel, kernel, padding)
    if attributes.mode == "reflect":
        _check_reflected(padding, (height, width))
    return channels, rows, columns


def _check_reflected(padding: Sides, size: Sides) -> None:
    if padding[0] >= size[0] or padding[1] >= size[1]:
        limit = f"less than the size of the input (={sides_text(size)}) with `mode=reflect`"
        hint = "use `mode=replicate` or less padding"
        raise RuleError("E205", f"`padding` (={sides_text(padding)}) must be {limit}", hint, "padding")


def _source(attributes: Fixed, inputs: tuple[Shape, ...]) -> ModuleCall:
    padding = _padding(attributes)
    mode = attributes.mode if padding != (0, 0) else "constant"
    chosen = keywords(
        stride=(collapsed(attributes.stride), 1), padding=(collapsed(padding), 0), mode=(mode, "constant")
    )
    if isinstance(attributes, BlurPool):
        return ModuleCall("BlurPool2d", (inputs[0][0], collapsed(attributes.kernel)), chosen)
    return ModuleCall("FixedConv2d", (inputs[0][0], attributes.kernel), chosen)


def _flops(attributes: Fixed, inputs: tuple[Shape, ...]) -> int:
    rows, columns = _size(attributes)
    return elements(_shape(attributes, inputs)) * rows * columns


def _padded(attributes: Fixed, inputs: tuple[Shape, ...], batch: int) -> ScalarCount:
    """The padded input, if the module pads it before it convolves."""
    (channels, height, width), (rows, columns) = inputs[0], _padding(attributes)
    if attributes.mode == "constant" or (rows, columns) == (0, 0):
        return ScalarCount()
    return ScalarCount(batch * channels * (height + 2 * rows) * (width + 2 * columns))


def _saves(attributes: Fixed, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved(inputs=(0,), extra=_padded(attributes, inputs, run.batch))


def _buffers(attributes: Fixed, inputs: tuple[Shape, ...]) -> ScalarCount:
    rows, columns = _size(attributes)
    return ScalarCount(inputs[0][0] * rows * columns)


def _size_text(attributes: Fixed) -> str:
    stride = f" /{attributes.stride[0]}" if max(attributes.stride) > 1 else ""
    return f"{sides_text(_size(attributes))}{stride}"


MEMORY = MemoryRules(_saves, scratch=_padded, buffers=_buffers)

ROWS = (
    Operator(
        name="fixed_conv",
        kind="convolution",
        summary="Convolution of each channel by a kernel that is given and not learned, such as that of Sobel.",
        attributes=FixedConvolution,
        shape=_shape,
        source=_source,
        parameters=no_parameters,
        flops=_flops,
        memory=MEMORY,
        algebra=CHANNELWISE,
        fvcore="conv",
        layer=True,
        size_text=_size_text,
        readings=(implied("conv2d"),),
        images_only=(ImagesOnly(),),
    ),
    Operator(
        name="blur_pool",
        kind="convolution",
        summary="Convolution of each channel by the binomial kernel, with a stride (Zhang, ICML 2019).",
        attributes=BlurPool,
        shape=_shape,
        source=_source,
        parameters=no_parameters,
        flops=_flops,
        memory=MEMORY,
        algebra=CHANNELWISE,
        fvcore="conv",
        layer=True,
        size_text=_size_text,
        readings=(implied("conv2d", "pad"),),
        images_only=(ImagesOnly(),),
    ),
)
