"""Functions that the rules of several operators share: window arithmetic, checks of shapes, literals of the source.

The arithmetic uses integers and no branches, so that it works on columns of candidates. Checks that raise are separate
functions. The two sides of an image are written out where a loop over sides takes twice the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from operator import add
from typing import Any

from resnext_dsl.operators.base import Expression, RuleError, Shape, is_int
from resnext_dsl.operators.ranks import IMAGE, LAYOUTS, Sides, rank_of

Literals = tuple[tuple[str, Any], ...]

STEPS = ("frames", "rows", "columns")
"""Names of the numbers of each side in an expression; a signal has columns."""


def shape_text(shape: Shape) -> str:
    """A shape in a message: `64x56x56`, or `512 features`."""
    return f"{shape[0]} features" if len(shape) == 1 else "x".join(map(str, shape))


def map_of(operator: str, inputs: tuple[Shape, ...]) -> Shape:
    """The input of an operator that takes one feature map, of any rank.

    Raises:
        RuleError: E301 if the input is not a feature map.
    """
    shape = inputs[0]
    if not 2 <= len(shape) <= 4:
        hint = "put it before `flatten`" if len(shape) == 1 else ""
        message = f"`{operator}` needs a feature map ({LAYOUTS[IMAGE]}); found {shape_text(shape)}"
        raise RuleError("E301", message, hint)
    return shape


def image_of(operator: str, inputs: tuple[Shape, ...]) -> tuple[int, int, int]:
    """The input of an operator that takes images only, as `Operator.images_only` says.

    Raises:
        RuleError: E301 if the input is not a feature map.
    """
    shape = map_of(operator, inputs)
    assert rank_of(shape) == IMAGE, "`arguments.validate` refuses other feature maps"
    return shape[0], shape[1], shape[2]


def map_or_features(operator: str, inputs: tuple[Shape, ...]) -> Shape:
    """The input of an operator that takes a feature map, of any rank, or features.

    Raises:
        RuleError: E301 if the input is neither.
    """
    if not 1 <= len(inputs[0]) <= 4:
        message = f"`{operator}` needs a feature map ({LAYOUTS[IMAGE]}) or features; found {shape_text(inputs[0])}"
        raise RuleError("E301", message)
    return inputs[0]


def check_divisible(label: str, number: int, by: str, divisor: int, attribute: str) -> None:
    """Checks that a number of channels is a multiple of another number.

    Raises:
        RuleError: E302 with the nearest multiple.
    """
    if number % divisor:
        nearest = max(1, (2 * number + divisor) // (2 * divisor)) * divisor
        message = f"{label} (={number}) must be divisible by {by} (={divisor}); nearest: {nearest}"
        raise RuleError("E302", message, "", attribute)


def check_corners(align_corners: bool, mode: str) -> None:
    """Checks that only interpolation aligns corners.

    Raises:
        RuleError: E205 if it does not interpolate.
    """
    if align_corners and mode != "bilinear":
        message = f"`align_corners` needs `mode=bilinear`; found `{mode}`"
        raise RuleError("E205", message, "", "align_corners")


def reach(kernel: Sides, dilation: Sides) -> Sides:
    """The elements that a dilated kernel spans on each side."""
    if len(kernel) == IMAGE:
        return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1
    return tuple([distance * (size - 1) + 1 for size, distance in zip(kernel, dilation, strict=True)])


def resolved_padding(padding: Sides | str, reach: Sides) -> Sides:
    """The elements of padding at both ends of each side: rows and columns of an image.

    `same` is half the reach of the kernel, rounded down. At stride 1 it keeps the size if the kernel is odd.
    `same_upper` equals `same` unless it depends on the size of the input (`pads_by_size`).
    """
    if padding in ("same", "same_upper"):
        if len(reach) == IMAGE:
            return (reach[0] - 1) // 2, (reach[1] - 1) // 2
        return tuple([(span - 1) // 2 for span in reach])
    return (0,) * len(reach) if isinstance(padding, str) else padding


def usual_padding(padding: Sides, reach: Sides) -> Sides | str:
    """`same` if it stands for the padding, else the padding."""
    return "same" if padding == resolved_padding("same", reach) else padding


def pads_by_size(padding: Sides | str, reach: Sides, stride: Sides) -> bool:
    """Whether the padding depends on the size of the input, or differs between two opposite sides.

    `same_upper` does neither if each side of the kernel reaches one element, or has stride 1 and an odd reach.
    """
    if padding != "same_upper":
        return False
    return not all(rows == 1 or (step == 1 and rows % 2 == 1) for rows, step in zip(reach, stride, strict=True))


def pads_upper(arguments: Mapping[str, Any]) -> bool:
    """Whether arguments ask for `same_upper`."""
    return bool(arguments.get("padding") == "same_upper")


def hint_of_same_upper(arguments: Mapping[str, Any]) -> str:
    """The same padding in two statements, for the declared size, with the arguments of a convolution or pooling."""
    sizes = {name: arguments[name] for name in ("kernel", "stride", "dilation") if name in arguments}
    plain = {name: size if is_int(size) else _one_of(size) for name, size in sizes.items()}
    if "kernel" not in plain or None in plain.values():
        return "put `pad_same(KERNEL, STRIDE)` before it and use `padding=valid`, with one number for each side"
    stated = ", ".join(f"{name}={size}" for name, size in plain.items())
    return f"put `pad_same({stated})` before it and use `{stated}, padding=valid`"


def _one_of(size: Any) -> int | None:
    """The number of a size that has the same one for each side; None for any other value."""
    numbers = set(size) if isinstance(size, tuple | list) else set()
    return numbers.pop() if len(numbers) == 1 else None


def missing(size: int, reach: int, stride: int) -> int:
    """Rows that `same_upper` adds along one side: those that the last window lacks if windows start at every stride.

    Source: TensorFlow's SAME in the notes on padding in the documentation of `tf.nn`.
    """
    extra = reach - 1 - (size - 1) % stride
    return extra * (extra > 0)


def padded_upper(size: Sides, reach: Sides, stride: Sides) -> Sides:
    """The size of a feature map with the padding of `same_upper`."""
    return tuple(map(add, size, map(missing, size, reach, stride)))


def strided(size: Sides, stride: Sides) -> Sides:
    """Elements at a fixed distance on each side, from the first on: the size that `same_upper` gives."""
    return tuple([(side + step - 1) // step for side, step in zip(size, stride, strict=True)])


def windows(size: int, reach: int, stride: int, padding: int) -> int:
    """Positions of a window along one side (the formula in the documentation of `torch.nn.Conv2d`)."""
    return (size + 2 * padding - reach) // stride + 1


def all_windows(size: Sides, reach: Sides, stride: Sides, padding: Sides) -> Sides:
    """Positions of a window along each side."""
    if len(size) == IMAGE:
        return windows(size[0], reach[0], stride[0], padding[0]), windows(size[1], reach[1], stride[1], padding[1])
    return tuple(map(windows, size, reach, stride, padding))


def check_kernel(output: Sides, size: Sides, kernel: Sides, reach: Sides, padding: Sides) -> None:
    """Checks that a window has at least one position in each direction.

    Raises:
        RuleError: E303 with the sizes of the kernel and of the padded input.
    """
    if min(output) < 1:
        dilated = f", dilated to {sides_text(reach)}" if reach != kernel else ""
        padded = tuple([side + 2 * around for side, around in zip(size, padding, strict=True)])
        around = f", padded to {sides_text(padded)}" if padded != size else ""
        message = f"`kernel` (={sides_text(kernel)}{dilated}) is larger than its input (={sides_text(size)}{around})"
        raise RuleError("E303", message, "use a smaller kernel, more padding or a larger input", "kernel")


def sides_text(sides: Sides) -> str:
    """`3x3`."""
    return "x".join(map(str, sides))


def collapsed(sides: Sides) -> int | Sides:
    """One int if all are equal, as users of torch write it."""
    return sides[0] if sides.count(sides[0]) == len(sides) else sides


def interpolation(mode: str, shape: Shape) -> str:
    """Torch's word for a mode of resizing: `bilinear` interpolates along every side of a map."""
    return mode if mode == "nearest" else ("", "linear", "bilinear", "trilinear")[rank_of(shape)]


def resizing_flops(mode: str, shape: Shape) -> int | None:
    """The FLOPs of resizing to a shape. fvcore counts images: 1 per element if copied, 4 if interpolated from four."""
    return elements(shape) * (1 + 3 * (mode == "bilinear")) if rank_of(shape) == IMAGE else None


def padding_expression(numbers: Sequence[int], rest: str = "", literals: Literals = ()) -> Expression:
    """A call of `F.pad`.

    Args:
        numbers: Left, right, then top, bottom, then front, back, as far as the map has these sides.
        rest: The text of further arguments.
        literals: The literals in that text.
    """
    sides = tuple(zip(("left", "right", "top", "bottom", "front", "back"), numbers, strict=False))
    places = ", ".join(f"{{{name}}}" for name, _ in sides)
    return Expression(f"F.pad({{0}}, ({places}){rest})", (*sides, *literals))


def keywords(**choices: tuple[Any, Any]) -> tuple[tuple[str, Any], ...]:
    """Keyword arguments of a module from name=(value, torch's default), without those that have the default."""
    return tuple((name, value) for name, (value, default) in choices.items() if value != default)


def first_shape(attributes: Any, inputs: tuple[Shape, ...]) -> Shape:
    """The shape rule of operators that keep the shape."""
    return inputs[0]


def no_parameters(attributes: Any, inputs: tuple[Shape, ...]) -> int:
    """The parameter rule of operators that learn nothing."""
    return 0


def elements(shape: Shape) -> int:
    """Elements of a value at batch 1."""
    return math.prod(shape)
