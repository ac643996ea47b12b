"""Operators that change the height and width of a feature map: padding, cropping, resizing."""

from typing import Literal

from resnext_dsl.operators.algebra import CHANNELWISE
from resnext_dsl.operators.arguments import Int, Positive, PositivePair
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import NOTHING_SAVED, VIEW, MemoryRules, Saved, TrainingStep
from resnext_dsl.operators.row import Operator
from resnext_dsl.operators.rules import (
    check_corners,
    check_divisible,
    elements,
    keywords,
    map_of,
    no_parameters,
    shape_text,
)


class Pad(Attributes):
    """Attributes of `pad`.

    Attributes:
        top: Rows added above; a negative number removes rows, as on the other sides.
        bottom: Rows added below.
        left: Columns added on the left.
        right: Columns added on the right.
        mode: The added elements: one `constant`, the map mirrored at its edge (`reflect`), or its edge (`replicate`).
        value: The constant.
    """

    top: Int = 0
    bottom: Int = 0
    left: Int = 0
    right: Int = 0
    mode: Literal["constant", "reflect", "replicate"] = "constant"
    value: float = 0.0


class Crop(Attributes):
    """Attributes of `crop`.

    Attributes:
        size: Height and width of the output, if no other value gives them.
    """

    size: PositivePair | None = None


class Resize(Attributes):
    """Attributes of `resize`.

    Attributes:
        size: Height and width of the output, if no other value gives them.
        mode: `nearest` copies elements, `bilinear` interpolates between them.
        align_corners: Whether the corners keep their values in `bilinear`.
    """

    size: PositivePair | None = None
    mode: Literal["nearest", "bilinear"] = "nearest"
    align_corners: bool = False


class PixelUnshuffle(Attributes):
    """Attributes of `pixel_unshuffle`.

    Attributes:
        factor: Side of the square of pixels that become channels.
    """

    factor: Positive


def _pad_shape(attributes: Pad, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = map_of("pad", inputs)
    _check_side("top", attributes.top, "height", height, attributes.mode)
    _check_side("bottom", attributes.bottom, "height", height, attributes.mode)
    _check_side("left", attributes.left, "width", width, attributes.mode)
    _check_side("right", attributes.right, "width", width, attributes.mode)
    _check_rest("top", height, attributes.top, attributes.bottom, inputs[0])
    _check_rest("left", width, attributes.left, attributes.right, inputs[0])
    return channels, height + attributes.top + attributes.bottom, width + attributes.left + attributes.right


def _check_rest(side: str, size: int, before: int, after: int, shape: Shape) -> None:
    """Checks that a row or column of the input is left, whatever is added on the other side."""
    if size + before * (before < 0) + after * (after < 0) < 1:
        message = f"`pad` leaves nothing of its input (={shape_text(shape)})"
        raise RuleError("E303", message, "remove fewer rows and columns", side)


def _check_side(side: str, number: int, label: str, size: int, mode: str) -> None:
    if mode != "constant" and number < 0:
        message = f"`{side}` must be at least 0 with `mode={mode}`; found {number}"
        raise RuleError("E205", message, "a negative number removes rows or columns with `mode=constant`", side)
    if mode == "reflect" and number >= size:
        message = f"`{side}` must be less than the {label} of the input (={size}) with `mode=reflect`; found {number}"
        raise RuleError("E205", message, "", side)


def _pad_source(attributes: Pad, inputs: tuple[Shape, ...]) -> Expression:
    sides = tuple((side, getattr(attributes, side)) for side in ("left", "right", "top", "bottom"))
    text = "F.pad({0}, ({left}, {right}, {top}, {bottom})"
    if attributes.mode != "constant":
        return Expression(f"{text}, mode={{mode}})", (*sides, ("mode", attributes.mode)))
    if attributes.value:
        return Expression(f"{text}, value={{value}})", (*sides, ("value", attributes.value)))
    return Expression(f"{text})", sides)


def _other_size(operator: str, size: tuple[int, int] | None, inputs: tuple[Shape, ...]) -> tuple[int, int]:
    """The size that an attribute or another value gives.

    Raises:
        RuleError: E202 if neither gives it, E203 if both do, E301 if the other value is no feature map.
    """
    hint = f"write `{operator}(like=VALUE)` or `{operator}(size=HEIGHT x WIDTH)`"
    if len(inputs) == 1 and size is None:
        raise RuleError("E202", f"`{operator}` needs a size, or a value that has it", hint, "size")
    if size is not None and len(inputs) > 1:
        raise RuleError("E203", f"`{operator}` takes a size or another value, not both", hint, "size")
    if size is not None:
        return size
    _, height, width = map_of(operator, inputs[1:])
    return height, width


def _crop_shape(attributes: Crop, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = map_of("crop", inputs)
    rows, columns = _other_size("crop", attributes.size, inputs)
    if rows > height or columns > width:
        message = f"`crop` needs a size of at most that of its input (={height}x{width}); found {rows}x{columns}"
        raise RuleError("E303", message, "`pad` or `resize` enlarges a feature map", "size")
    return channels, rows, columns


def _crop_source(attributes: Crop, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("CenterCrop", (attributes.size,) if attributes.size is not None else ())


def _resize_shape(attributes: Resize, inputs: tuple[Shape, ...]) -> Shape:
    channels, _, _ = map_of("resize", inputs)
    check_corners(attributes.align_corners, attributes.mode)
    return (channels, *_other_size("resize", attributes.size, inputs))


def _resize_source(attributes: Resize, inputs: tuple[Shape, ...]) -> Expression:
    chosen = keywords(mode=(attributes.mode, "nearest"), align_corners=(attributes.align_corners, False))
    rest = "".join(f", {name}={{{name}}}" for name, _ in chosen)
    if attributes.size is None:
        return Expression(f"F.interpolate({{0}}, size={{1}}.shape[-2:]{rest})", chosen)
    rows, columns = attributes.size
    size = (("rows", rows), ("columns", columns))
    return Expression(f"F.interpolate({{0}}, size=({{rows}}, {{columns}}){rest})", (*size, *chosen))


def _resize_flops(attributes: Resize, inputs: tuple[Shape, ...]) -> int:
    # fvcore: 1 per output element if it is copied, 4 if it is interpolated from four
    return elements(_resize_shape(attributes, inputs)) * (1 + 3 * (attributes.mode == "bilinear"))


def _unshuffle_shape(attributes: PixelUnshuffle, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = map_of("pixel_unshuffle", inputs)
    factor = attributes.factor
    check_divisible("the height of the input", height, "`factor`", factor, "factor")
    check_divisible("the width of the input", width, "`factor`", factor, "factor")
    return channels * factor * factor, height // factor, width // factor


def _unshuffle_source(attributes: PixelUnshuffle, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.PixelUnshuffle", (attributes.factor,))


def _pad_saves(attributes: Pad, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved() if attributes.mode == "constant" else Saved(inputs=(0,))


ROWS = (
    Operator(
        name="pad",
        kind="shape",
        summary="Rows and columns added around a feature map, or removed (`F.pad`).",
        attributes=Pad,
        shape=_pad_shape,
        source=_pad_source,
        parameters=no_parameters,
        flops=None,
        memory=MemoryRules(_pad_saves),
        algebra=CHANNELWISE,
    ),
    Operator(
        name="crop",
        kind="shape",
        summary="The middle of a feature map, of a size or of the size of another value: `crop(like=skip)`. "
        "If an odd number of rows is removed, one more goes from the end.",
        attributes=Crop,
        shape=_crop_shape,
        source=_crop_source,
        parameters=no_parameters,
        flops=None,
        memory=VIEW,
        algebra=CHANNELWISE,
        inputs=(1, 2),
        value_name="like",
    ),
    Operator(
        name="resize",
        kind="shape",
        summary="A feature map of a size, or of the size of another value: `resize(like=skip)` (`F.interpolate`).",
        attributes=Resize,
        shape=_resize_shape,
        source=_resize_source,
        parameters=no_parameters,
        flops=_resize_flops,
        memory=NOTHING_SAVED,
        algebra=CHANNELWISE,
        inputs=(1, 2),
        value_name="like",
        fvcore="upsample_{mode}2d",
    ),
    Operator(
        name="pixel_unshuffle",
        kind="shape",
        summary="Squares of pixels rearranged as channels (`nn.PixelUnshuffle`).",
        attributes=PixelUnshuffle,
        shape=_unshuffle_shape,
        source=_unshuffle_source,
        parameters=no_parameters,
        flops=None,
        memory=NOTHING_SAVED,
        algebra=CHANNELWISE,
    ),
)
