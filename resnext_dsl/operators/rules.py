"""Functions that the rules of several operators share: window arithmetic, checks of shapes, literals of the source.

The arithmetic uses integers and no branches, so that it works on columns of candidates. Checks that raise are separate
functions.
"""

from __future__ import annotations

import math
from typing import Any

from resnext_dsl.operators.base import RuleError, Shape

Pair = tuple[int, int]


def shape_text(shape: Shape) -> str:
    """A shape in a message: `64x56x56`, or `512 features`."""
    return f"{shape[0]} features" if len(shape) == 1 else "x".join(map(str, shape))


def map_of(operator: str, inputs: tuple[Shape, ...]) -> tuple[int, int, int]:
    """The input of an operator that takes one feature map.

    Raises:
        RuleError: E301 if the input is not a feature map.
    """
    shape = inputs[0]
    if len(shape) != 3:
        hint = "put it before `flatten`" if len(shape) == 1 else ""
        message = f"`{operator}` needs a feature map (channels x height x width); found {shape_text(shape)}"
        raise RuleError("E301", message, hint)
    return shape[0], shape[1], shape[2]


def map_or_features(operator: str, inputs: tuple[Shape, ...]) -> Shape:
    """The input of an operator that takes a feature map or features.

    Raises:
        RuleError: E301 if the input is neither.
    """
    if len(inputs[0]) not in (1, 3):
        message = (
            f"`{operator}` needs a feature map (channels x height x width) or features; found {shape_text(inputs[0])}"
        )
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


def reach(kernel: Pair, dilation: Pair) -> Pair:
    """Rows and columns that a dilated kernel spans."""
    return dilation[0] * (kernel[0] - 1) + 1, dilation[1] * (kernel[1] - 1) + 1


def resolved_padding(padding: Pair | str, reach: Pair) -> Pair:
    """Rows and columns of padding on each side.

    `same` is half the reach of the kernel, rounded down. At stride 1 it keeps the size if the kernel is odd.
    `same_upper` equals `same` unless it depends on the size of the input (`pads_by_size`).
    """
    if padding in ("same", "same_upper"):
        return (reach[0] - 1) // 2, (reach[1] - 1) // 2
    return (0, 0) if isinstance(padding, str) else padding


def pads_by_size(padding: Pair | str, reach: Pair, stride: Pair) -> bool:
    """Whether the padding depends on the size of the input, or differs between two opposite sides.

    `same_upper` does neither if each side of the kernel reaches one element, or has stride 1 and an odd reach.
    """
    fixed = [rows == 1 or (step == 1 and rows % 2 == 1) for rows, step in zip(reach, stride, strict=True)]
    return padding == "same_upper" and not all(fixed)


def missing(size: int, reach: int, stride: int) -> int:
    """Rows that `same_upper` adds along one side: those that the last window lacks if windows start at every stride.

    Source: TensorFlow's SAME in the notes on padding in the documentation of `tf.nn`.
    """
    extra = reach - 1 - (size - 1) % stride
    return extra * (extra > 0)


def padded_upper(size: Pair, reach: Pair, stride: Pair) -> Pair:
    """The size of a feature map with the padding of `same_upper`."""
    return size[0] + missing(size[0], reach[0], stride[0]), size[1] + missing(size[1], reach[1], stride[1])


def strided(size: Pair, stride: Pair) -> Pair:
    """Rows and columns at a fixed distance, from the first on: the size that `same_upper` gives."""
    return (size[0] + stride[0] - 1) // stride[0], (size[1] + stride[1] - 1) // stride[1]


def windows(size: int, reach: int, stride: int, padding: int) -> int:
    """Positions of a window along one side (the formula in the documentation of `torch.nn.Conv2d`)."""
    return (size + 2 * padding - reach) // stride + 1


def check_kernel(output: Pair, size: Pair, kernel: Pair, reach: Pair, padding: Pair) -> None:
    """Checks that a window has at least one position in each direction.

    Raises:
        RuleError: E303 with the sizes of the kernel and of the padded input.
    """
    if min(output) < 1:
        dilated = f", dilated to {pair_text(reach)}" if reach != kernel else ""
        padded = size[0] + 2 * padding[0], size[1] + 2 * padding[1]
        around = f", padded to {pair_text(padded)}" if padded != size else ""
        message = f"`kernel` (={pair_text(kernel)}{dilated}) is larger than its input (={pair_text(size)}{around})"
        raise RuleError("E303", message, "use a smaller kernel, more padding or a larger input", "kernel")


def pair_text(pair: Pair) -> str:
    """`3x3`."""
    return f"{pair[0]}x{pair[1]}"


def collapsed(pair: Pair) -> int | Pair:
    """One int if both are equal, as users of torch write it."""
    return pair[0] if pair[0] == pair[1] else pair


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
