"""Launches the Triton kernels: one function for each direction of a grouped convolution.

Tensors are in channels_last memory. Each function takes the configuration; `torch_operator` chooses it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from resnext_dsl.devices.float32_precision import tf32_convolutions
from resnext_dsl.kernels import triton_kernels
from resnext_dsl.kernels.configurations import ROWS, Configuration, tile
from resnext_dsl.kernels.layer_shape import LayerShape

PROGRAMS = 1024
"""The programs that a launch makes if it may split its work: a few for each multiprocessor of a large card."""


def forward(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    shape: LayerShape,
    configuration: Configuration,
    relu: bool = False,
    out: Tensor | None = None,
) -> Tensor:
    """The convolution of an input.

    Args:
        x: The input, (N, C, H, W) in channels_last memory.
        weight: (C, C / groups, 3, 3), in any memory format.
        bias: (C,), or None.
        shape: The shape of the layer.
        configuration: One of `configurations.candidates("forward", shape)`.
        relu: Whether ReLU is applied to the result.
        out: The tensor of the result in channels_last memory; a new one if None.

    Returns:
        The result, (N, C, OH, OW) in channels_last memory.
    """
    if out is None:
        out = _channels_last(x, shape.out_height, shape.out_width, shape)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        packed = _packed(weight, shape, configuration, transposed=False)
        _convolve(x, packed, bias, out, shape, configuration, relu)
    return out


def input_gradient(
    gradient: Tensor, weight: Tensor, shape: LayerShape, configuration: Configuration, out: Tensor | None = None
) -> Tensor:
    """The gradient of the input.

    Args:
        gradient: The gradient of the result, (N, C, OH, OW) in channels_last memory.
        weight: (C, C / groups, 3, 3), in any memory format.
        shape: The shape of the layer.
        configuration: One of `configurations.candidates("input gradient", shape)`.
        out: The tensor of the gradient in channels_last memory; a new one if None.

    Returns:
        The gradient of the input, (N, C, H, W) in channels_last memory.
    """
    if out is None:
        out = _channels_last(gradient, shape.height, shape.width, shape)
    with torch.cuda.device_of(gradient):  # type: ignore[no-untyped-call]
        packed = _packed(weight, shape, configuration, transposed=True)
        if shape.stride == 1:  # a convolution with the taps reversed
            _convolve(gradient, packed, None, out, shape, configuration, relu=False)
        else:
            _input_gradient_quads(gradient, packed, out, shape, configuration)
    return out


def _input_gradient_quads(
    gradient: Tensor, packed: Tensor, out: Tensor, shape: LayerShape, configuration: Configuration
) -> None:
    quads = shape.batch * shape.out_height * shape.out_width
    channels = tile(configuration.block, shape.group, shape.groups)
    triton_kernels.input_gradient_quads[(shape.channels // channels, _over(quads, configuration.positions))](
        gradient,
        packed,
        out,
        quads,
        *_sizes(shape),
        **_constants(shape, configuration, gradient),
        **_options(configuration),
    )


def weight_gradient(
    gradient: Tensor,
    x: Tensor,
    shape: LayerShape,
    configuration: Configuration,
    out: Tensor | None = None,
) -> Tensor:
    """The gradient of the weight. Equal inputs give an equal gradient: sums have a fixed order.

    Args:
        gradient: The gradient of the result, (N, C, OH, OW) in channels_last memory.
        x: The input, (N, C, H, W) in channels_last memory.
        shape: The shape of the layer.
        configuration: One of `configurations.candidates("weight gradient", shape)`.
        out: The tensor of the gradient in any memory format; a new one if None.

    Returns:
        The gradient of the weight, (C, C / groups, 3, 3).
    """
    if out is None:
        out = x.new_empty((shape.channels, shape.group, 3, 3))
    block = configuration.block
    channels = tile(block, shape.group, shape.groups)
    tiles = shape.channels // channels
    pixels = shape.batch * shape.out_height * shape.out_width
    steps = _over(pixels, configuration.positions)
    splits = max(1, min(steps, _over(4 * PROGRAMS // configuration.warps, 3 * tiles)))
    steps = _over(steps, splits)
    splits = _over(_over(pixels, configuration.positions), steps)
    parts = torch.empty((splits, tiles, 9, block, block), dtype=torch.float32, device=x.device)
    with torch.cuda.device_of(x):  # type: ignore[no-untyped-call]
        triton_kernels.weight_gradient_parts[(tiles, 3, splits)](
            gradient,
            x,
            parts,
            pixels,
            *_sizes(shape),
            steps,
            STRIDE=shape.stride,
            **_constants(shape, configuration, x),
            **_options(configuration),
        )
        triton_kernels.sum_parts[(tiles, 9)](
            parts, out, splits, tiles, *out.stride(), GROUP=shape.group, TILE=channels, BLOCK_C=block
        )
    return out


def _convolve(
    x: Tensor,
    packed: Tensor,
    bias: Tensor | None,
    out: Tensor,
    shape: LayerShape,
    configuration: Configuration,
    relu: bool,
) -> None:
    tiles = shape.channels // tile(configuration.block, shape.group, shape.groups)
    constants = {"HAS_BIAS": bias is not None, "RELU": relu, **_constants(shape, configuration, x)}
    addend = packed if bias is None else bias
    if configuration.kernel == ROWS:
        columns = shape.batch * shape.width
        across = _over(columns, configuration.positions)
        rows = max(min(shape.height, 4), _over(shape.height, max(1, PROGRAMS // (tiles * across))))
        triton_kernels.convolve_rows[(tiles, across, _over(shape.height, rows))](
            x,
            packed,
            addend,
            out,
            columns,
            shape.height,
            shape.width,
            shape.channels // constants["UNIT"],
            rows,
            **constants,
            **_options(configuration),
        )
        return
    pixels = shape.batch * shape.out_height * shape.out_width
    triton_kernels.convolve_taps[(tiles, _over(pixels, configuration.positions))](
        x, packed, addend, out, pixels, *_sizes(shape), STRIDE=shape.stride, **constants, **_options(configuration)
    )


def _packed(weight: Tensor, shape: LayerShape, configuration: Configuration, transposed: bool) -> Tensor:
    """The weights as block-diagonal matrices, one for each tap of a tile."""
    block = configuration.block
    channels = tile(block, shape.group, shape.groups)
    tiles = shape.channels // channels
    packed = torch.empty((tiles, 9, block, block), dtype=weight.dtype, device=weight.device)
    triton_kernels.pack_weights[(tiles, 9)](
        weight, packed, *weight.stride(), GROUP=shape.group, TILE=channels, BLOCK_C=block, TRANSPOSED=transposed
    )
    return packed


def _channels_last(like: Tensor, height: int, width: int, shape: LayerShape) -> Tensor:
    size = (shape.batch, shape.channels, height, width)
    return torch.empty(size, dtype=like.dtype, device=like.device, memory_format=torch.channels_last)


def _sizes(shape: LayerShape) -> tuple[int, ...]:
    return shape.height, shape.width, shape.out_height, shape.out_width, shape.channels // _unit(shape.channels)


def _unit(channels: int) -> int:
    """The largest power of two, up to 16, that divides the channels; the compiler then knows how addresses align."""
    return min(16, channels & -channels)


def _constants(shape: LayerShape, configuration: Configuration, like: Tensor) -> dict[str, Any]:
    return {
        "UNIT": _unit(shape.channels),
        "TILE": tile(configuration.block, shape.group, shape.groups),
        "BLOCK_C": configuration.block,
        "BLOCK_M": configuration.positions,
        "PRECISION": "tf32" if like.dtype == torch.float32 and tf32_convolutions() else "ieee",
    }


def _options(configuration: Configuration) -> dict[str, int]:
    return {"num_warps": configuration.warps, "num_stages": configuration.stages}


def _over(amount: int, size: int) -> int:
    return -(-amount // size)
