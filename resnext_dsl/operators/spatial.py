"""Operators that change the height and width of a feature map: padding, cropping, resizing."""

from collections.abc import Mapping
from typing import Any, Literal

from resnext_dsl.operators.algebra import CHANNELWISE
from resnext_dsl.operators.arguments import Int, Positive, PositiveSides
from resnext_dsl.operators.base import Attributes, Expression, ModuleCall, RuleError, Shape
from resnext_dsl.operators.memory_rules import NOTHING_SAVED, VIEW, MemoryRules, Saved, TrainingStep
from resnext_dsl.operators.ranks import LAYOUTS, Sides, helper_by_rank, rank_of
from resnext_dsl.operators.readings import (
    RESIZING,
    UNREADABLE,
    CallArguments,
    OtherRowError,
    Reading,
    implied,
    read_interpolation,
)
from resnext_dsl.operators.row import ImagesOnly, Operator
from resnext_dsl.operators.rules import (
    STEPS,
    check_corners,
    check_divisible,
    image_of,
    interpolation,
    keywords,
    map_of,
    no_parameters,
    padding_expression,
    resizing_flops,
    shape_text,
    sides_text,
)

WORDS = ((), ("length",), ("height", "width"), ("time", "height", "width"))
"""For each rank, the names of the sides."""


class Pad(Attributes):
    """Attributes of `pad`.

    Attributes:
        top: Rows added above; a negative number removes rows, as on the other sides.
        bottom: Rows added below.
        left: Columns added on the left.
        right: Columns added on the right.
        mode: The added elements: one `constant`, the map mirrored at its edge (`reflect`), or its edge (`replicate`).
        value: The constant.
        front: Frames added before the first of a clip.
        back: Frames added after the last of a clip.
    """

    later = frozenset({"front", "back"})

    top: Int = 0
    bottom: Int = 0
    left: Int = 0
    right: Int = 0
    mode: Literal["constant", "reflect", "replicate"] = "constant"
    value: float = 0.0
    front: Int = 0
    back: Int = 0


class Crop(Attributes):
    """Attributes of `crop`.

    Attributes:
        size: Height and width of the output, if no other value gives them.
    """

    size: PositiveSides | None = None


class Resize(Attributes):
    """Attributes of `resize`.

    Attributes:
        size: Height and width of the output, if no other value gives them.
        mode: `nearest` copies elements, `bilinear` interpolates between them.
        align_corners: Whether the corners keep their values in `bilinear`.
    """

    size: PositiveSides | None = None
    mode: Literal["nearest", "bilinear"] = "nearest"
    align_corners: bool = False


class PixelUnshuffle(Attributes):
    """Attributes of `pixel_unshuffle`.

    Attributes:
        factor: Side of the square of pixels that become channels.
    """

    factor: Positive


PAIRS = (("front", "back"), ("top", "bottom"), ("left", "right"))
"""The arguments of `pad` for each side: time, height, width. A signal has the last side."""


def _pad_shape(attributes: Pad, inputs: tuple[Shape, ...]) -> Shape:
    channels, *size = map_of("pad", inputs)
    rank = len(size)
    for names in PAIRS[:-rank]:
        for name in names:
            if getattr(attributes, name):
                message = (
                    f"`{name}` adds to a side that a map of {LAYOUTS[rank]} (={shape_text(inputs[0])}) does not have"
                )
                hint = f"its sides have {', '.join(f'`{one}` and `{two}`' for one, two in PAIRS[-rank:])}"
                raise RuleError("E304", message, hint, name)
    sides = [(*names, label, side) for names, label, side in zip(PAIRS[-rank:], WORDS[rank], size, strict=True)]
    added = [(getattr(attributes, first), getattr(attributes, second)) for first, second, _, _ in sides]
    for (first, second, label, side), (before, after) in zip(sides, added, strict=True):
        _check_side(first, before, label, side, attributes.mode)
        _check_side(second, after, label, side, attributes.mode)
    for (first, _, _, side), (before, after) in zip(sides, added, strict=True):
        _check_rest(first, side, before, after, inputs[0])
    return (channels, *(side + before + after for side, (before, after) in zip(size, added, strict=True)))


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
    pairs = reversed(PAIRS[-rank_of(inputs[0]) :])
    numbers = [getattr(attributes, name) for names in pairs for name in names]
    if attributes.mode != "constant":
        return padding_expression(numbers, ", mode={mode}", (("mode", attributes.mode),))
    if attributes.value:
        return padding_expression(numbers, ", value={value}", (("value", attributes.value),))
    return padding_expression(numbers)


def _other_size(operator: str, size: Sides | None, inputs: tuple[Shape, ...]) -> Sides:
    """The size that an attribute or another value gives.

    Raises:
        RuleError: E202 if neither gives it, E203 if both do, E301 if the other value is no feature map, E304 if it has
            another rank.
    """
    words = " x ".join(word.upper() for word in WORDS[rank_of(inputs[0])])
    hint = f"write `{operator}(like=VALUE)` or `{operator}(size={words})`"
    if len(inputs) == 1 and size is None:
        raise RuleError("E202", f"`{operator}` needs a size, or a value that has it", hint, "size")
    if size is not None and len(inputs) > 1:
        raise RuleError("E203", f"`{operator}` takes a size or another value, not both", hint, "size")
    if size is not None:
        return size
    other = map_of(operator, inputs[1:])
    if len(other) != len(inputs[0]):
        shapes = f"value 1 is {shape_text(inputs[0])}, value 2 is {shape_text(other)}"
        message = f"`{operator}` needs two maps with the same sides; {shapes}"
        raise RuleError("E304", message, f"name a value of {LAYOUTS[rank_of(inputs[0])]}")
    return other[1:]


def _crop_shape(attributes: Crop, inputs: tuple[Shape, ...]) -> Shape:
    channels, *sides = map_of("crop", inputs)
    size = _other_size("crop", attributes.size, inputs)
    if any(kept > side for kept, side in zip(size, sides, strict=True)):
        whole = sides_text(tuple(sides))
        message = f"`crop` needs a size of at most that of its input (={whole}); found {sides_text(size)}"
        raise RuleError("E303", message, "`pad` or `resize` enlarges a feature map", "size")
    return (channels, *size)


def _crop_source(attributes: Crop, inputs: tuple[Shape, ...]) -> ModuleCall:
    positional = (attributes.size,) if attributes.size is not None else ()
    return ModuleCall(helper_by_rank("CenterCrop", inputs[0]), positional)


def _resize_shape(attributes: Resize, inputs: tuple[Shape, ...]) -> Shape:
    channels = map_of("resize", inputs)[0]
    check_corners(attributes.align_corners, attributes.mode)
    return (channels, *_other_size("resize", attributes.size, inputs))


def _resize_source(attributes: Resize, inputs: tuple[Shape, ...]) -> Expression:
    mode, rank = interpolation(attributes.mode, inputs[0]), rank_of(inputs[0])
    chosen = keywords(mode=(mode, "nearest"), align_corners=(attributes.align_corners, False))
    rest = "".join(f", {name}={{{name}}}" for name, _ in chosen)
    if attributes.size is None:
        return Expression(f"F.interpolate({{0}}, size={{1}}.shape[-{rank}:]{rest})", chosen)
    literals = tuple(zip(STEPS[-rank:], attributes.size, strict=True))
    size = ", ".join(f"{{{name}}}" for name, _ in literals)
    size = f"({size})" if rank > 1 else size
    return Expression(f"F.interpolate({{0}}, size={size}{rest})", (*literals, *chosen))


def _resize_flops(attributes: Resize, inputs: tuple[Shape, ...]) -> int | None:
    return resizing_flops(attributes.mode, _resize_shape(attributes, inputs))


def _unshuffle_shape(attributes: PixelUnshuffle, inputs: tuple[Shape, ...]) -> Shape:
    channels, height, width = image_of("pixel_unshuffle", inputs)
    factor = attributes.factor
    check_divisible("the height of the input", height, "`factor`", factor, "factor")
    check_divisible("the width of the input", width, "`factor`", factor, "factor")
    return channels * factor * factor, height // factor, width // factor


def _unshuffle_source(attributes: PixelUnshuffle, inputs: tuple[Shape, ...]) -> ModuleCall:
    return ModuleCall("nn.PixelUnshuffle", (attributes.factor,))


def _pad_saves(attributes: Pad, inputs: tuple[Shape, ...], run: TrainingStep) -> Saved:
    return Saved() if attributes.mode == "constant" else Saved(inputs=(0,))


def _pad_read(call: CallArguments) -> Mapping[str, Any]:
    mode = call.take("mode", "constant")
    if mode not in ("constant", "reflect", "replicate"):
        raise RuleError(UNREADABLE, f"`{call.operation}` with `mode={mode}` has no operator in the language")
    numbers = list(call.take("pad"))
    rank = rank_of(call.shape)
    if any(numbers[2 * rank :]):
        raise OtherRowError(
            f"`{call.operation}` of channels has no operator in the language, except for zeros at the end"
        )
    pairs = [name for names in reversed(PAIRS[-rank:]) for name in names]
    return {**dict(zip(pairs, numbers, strict=False)), "mode": mode, "value": call.number("value", 0.0)}


def _resize_read(call: CallArguments) -> Mapping[str, Any]:
    size, factors = call.take("output_size"), call.take("scale_factors")
    if size is None or factors is not None:
        raise OtherRowError(
            f"`{call.operation}` by a factor that is not a whole number has no operator in the language"
        )
    mode, corners = read_interpolation(call)
    return {"size": tuple(size), "mode": mode, "align_corners": corners}


def _unshuffle_read(call: CallArguments) -> Mapping[str, Any]:
    return {"factor": call.take("downscale_factor")}


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
        readings=(Reading(("pad",), _pad_read),),
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
        readings=(implied("slice"),),
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
        readings=(Reading(RESIZING, _resize_read),),
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
        readings=(Reading(("pixel_unshuffle",), _unshuffle_read),),
        images_only=(ImagesOnly(),),
    ),
)
