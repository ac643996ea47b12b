"""Convolutions and pooling of ONNX as ATen operators: operators that slide a window over the positions."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.onnx_node import OnnxNode
from resnext_dsl.importing.onnx_values import RefusedError
from resnext_dsl.importing.trace import Ref, Stored

MAX_WINDOW = 1 << 16
"""The largest kernel, stride, dilation or padding."""


class Window(NamedTuple):
    """The window of an operator; one number for each direction.

    Attributes:
        kernel: Its size.
        stride: Its step.
        dilation: The distance of its positions.
        before: The padding before the first position.
        after: The padding after the last position.
    """

    kernel: list[int]
    stride: list[int]
    dilation: list[int]
    before: list[int]
    after: list[int]

    @property
    def even(self) -> bool:
        """Whether both sides have the same padding, which torch's operators need."""
        return self.before == self.after

    def torch_pads(self) -> list[int]:
        """The padding in the order of torch: the last direction first, before and after."""
        pairs = reversed(list(zip(self.before, self.after, strict=True)))
        return [size for pair in pairs for size in pair]


def window_of(node: OnnxNode, kernel: list[int], x: Ref | Stored) -> Window:
    """The window that the attributes of a node state; `auto_pad` becomes numbers."""
    directions = len(kernel)
    stride = node.integer_list("strides") or [1] * directions
    dilation = node.integer_list("dilations") or [1] * directions
    pads = node.integer_list("pads")
    automatic = node.text("auto_pad", "NOTSET")
    lists = {"kernel_shape": kernel, "strides": stride, "dilations": dilation}
    for name, numbers in lists.items():
        if len(numbers) != directions or not all(0 < number < MAX_WINDOW for number in numbers):
            raise RefusedError(f"has the attribute `{name}` (={numbers[:8]}), which does not fit its input")
    if not 1 <= directions <= 3 or node.build.rank(x) != directions + 2:
        raise RefusedError(f"slides over {directions} directions of a tensor of {node.build.rank(x)} dimensions")
    if automatic in {"SAME_UPPER", "SAME_LOWER"}:
        return Window(kernel, stride, dilation, *_same(node, kernel, stride, dilation, x, automatic == "SAME_UPPER"))
    if automatic == "VALID":
        pads = None
    elif automatic != "NOTSET":
        node.require("auto_pad", automatic, "NOTSET")
    pads = pads or [0] * 2 * directions
    if len(pads) != 2 * directions or not all(0 <= size < MAX_WINDOW for size in pads):
        raise RefusedError(f"has the attribute `pads` (={pads[:8]}), which is not translated")
    return Window(kernel, stride, dilation, pads[:directions], pads[directions:])


def _same(
    node: OnnxNode, kernel: list[int], stride: list[int], dilation: list[int], x: Ref | Stored, upper: bool
) -> tuple[list[int], list[int]]:
    """The padding for which the result has ceil(size / stride) positions."""
    small, large = [], []
    for size, width, step, distance in zip(node.build.sizes(x)[1:], kernel, stride, dilation, strict=True):
        span = (width - 1) * distance + 1
        total = max(0, (math.ceil(size / step) - 1) * step + span - size)
        small.append(total // 2)
        large.append(total - total // 2)
    return (small, large) if upper else (large, small)


def conv(node: OnnxNode) -> Any:
    """A convolution; uneven padding becomes a call of its own."""
    x, weight, bias = node.tensor(0), node.tensor(1), node.optional(2)
    shape = node.build.dims(weight)
    kernel = [size for size in shape[2:] if isinstance(size, int)]
    stated = node.integer_list("kernel_shape") or kernel
    node.require("kernel_shape", stated, kernel)
    window = window_of(node, kernel, x)
    groups = _groups(node)
    if not window.even:
        x = node.build.emit("pad", self=x, pad=window.torch_pads(), mode="constant", value=0.0)
        window = window._replace(before=[0] * len(kernel))
    return node.build.emit(
        f"conv{len(kernel)}d",
        input=x,
        weight=weight,
        bias=bias,
        stride=window.stride,
        padding=window.before,
        dilation=window.dilation,
        groups=groups,
    )


def conv_transpose(node: OnnxNode) -> Any:
    """A transposed convolution of even padding."""
    x, weight, bias = node.tensor(0), node.tensor(1), node.optional(2)
    kernel = [size for size in node.build.dims(weight)[2:] if isinstance(size, int)]
    node.require("kernel_shape", node.integer_list("kernel_shape") or kernel, kernel)
    window = window_of(node, kernel, x)
    extra = node.integer_list("output_padding") or [0] * len(kernel)
    if not window.even:
        raise RefusedError(f"has the padding {window.before + window.after}, and torch pads both sides alike")
    if not all(0 <= size < MAX_WINDOW for size in extra):
        raise RefusedError(f"has the attribute `output_padding` (={extra[:8]}), which is not translated")
    return node.build.emit(
        f"conv_transpose{len(kernel)}d",
        input=x,
        weight=weight,
        bias=bias,
        stride=window.stride,
        padding=window.before,
        output_padding=extra,
        groups=_groups(node),
        dilation=window.dilation,
    )


def _groups(node: OnnxNode) -> int:
    groups = node.integer("group", 1)
    if groups < 1:
        node.require("group", groups, "a positive number")
    return groups


def max_pool(node: OnnxNode) -> Any:
    """A maximum over windows; a padding that torch does not take becomes a call of its own."""
    node.single_output()
    node.integer("storage_order", 0)  # the order of the indices, which are the second result
    x = node.tensor()
    window, ceil = _pooling(node, x)
    if not _takes(window):
        x = node.build.emit("pad", self=x, pad=window.torch_pads(), mode="constant", value=-math.inf)
        window = window._replace(before=[0] * len(window.kernel))
    return node.build.emit(
        f"max_pool{len(window.kernel)}d",
        self=x,
        kernel_size=window.kernel,
        stride=window.stride,
        padding=window.before,
        dilation=window.dilation,
        ceil_mode=ceil,
    )


def average_pool(node: OnnxNode) -> Any:
    """A mean over windows."""
    x = node.tensor()
    counts_padding = bool(node.integer("count_include_pad", 0))
    window, ceil = _pooling(node, x)
    if window.dilation != [1] * len(window.kernel):
        raise RefusedError(f"has the attribute `dilations` (={window.dilation}), and torch's mean has none")
    if not _takes(window):
        if not counts_padding:
            raise RefusedError(f"leaves the padding {window.before + window.after} out of its means, and torch cannot")
        if ceil:
            raise RefusedError("rounds up the number of windows over an uneven padding, and torch cannot")
        x = node.build.emit("pad", self=x, pad=window.torch_pads(), mode="constant", value=0.0)
        window = window._replace(before=[0] * len(window.kernel))
    return node.build.emit(
        f"avg_pool{len(window.kernel)}d",
        self=x,
        kernel_size=window.kernel,
        stride=window.stride,
        padding=window.before,
        ceil_mode=ceil,
        count_include_pad=counts_padding or not any(window.before),
    )


def _pooling(node: OnnxNode, x: Ref | Stored) -> tuple[Window, bool]:
    """The window of a pooling, and whether the number of windows is rounded up."""
    kernel = node.integer_list("kernel_shape")
    if kernel is None:
        raise RefusedError("has no attribute `kernel_shape`")
    ceil = bool(node.integer("ceil_mode", 0))
    window = window_of(node, kernel, x)
    if not ceil:
        return window, False
    sizes = node.build.sizes(x)[1:]
    plain, rounded = _windows(window, sizes, up=False), _windows(window, sizes, up=True)
    if plain == rounded:
        return window, False
    lasts = zip(rounded, window.stride, sizes, window.before, strict=True)
    if any((count - 1) * step >= size + padding for count, step, size, padding in lasts):
        raise RefusedError("has a last window that begins in the padding; torch leaves it out")
    return window, True


def _windows(window: Window, sizes: list[int], *, up: bool) -> list[int]:
    """The number of windows in each direction."""
    counts = []
    for kernel, stride, dilation, before, after, size in zip(*window, sizes, strict=True):
        steps = (size + before + after - (kernel - 1) * dilation - 1) / stride
        counts.append((math.ceil(steps) if up else math.floor(steps)) + 1)
    return counts


def _takes(window: Window) -> bool:
    """Whether torch's pooling takes the padding: both sides alike, and at most half a kernel."""
    return window.even and all(
        2 * padding <= (kernel - 1) * dilation + 1
        for padding, kernel, dilation in zip(window.before, window.kernel, window.dilation, strict=True)
    )


def global_average_pool(node: OnnxNode) -> Any:
    """A mean over all positions."""
    x = node.tensor()
    directions = node.build.rank(x) - 2
    if not 1 <= directions <= 3:
        raise RefusedError(f"has an input of {directions + 2} dimensions")
    return node.build.emit(f"adaptive_avg_pool{directions}d", self=x, output_size=[1] * directions)


def global_max_pool(node: OnnxNode) -> Any:
    """A maximum over all positions."""
    x = node.tensor()
    return node.build.emit("amax", self=x, dim=list(range(2, node.build.rank(x))), keepdim=True)


TRANSLATIONS: Mapping[str, Any] = {
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_max_pool,
}
"""Operator of ONNX -> its translation."""
