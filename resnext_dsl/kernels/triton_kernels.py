"""Triton kernels of grouped convolutions with a kernel of 3x3, padding 1, stride 1 or 2, in channels_last memory.

A tile holds the channels of one or more whole groups. Its weights are a block-diagonal matrix for each of the nine
positions of the kernel (a tap), so that one product of matrices computes all groups of the tile. `_pack_weights` writes
these matrices. `BLOCK_C` is the power of two that holds the `TILE` channels of a tile.

Every index is an int32: the caller makes sure that no tensor has more than 2**31 - 1 elements.
"""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def pack_weights(
    weight,
    packed,
    stride_out,
    stride_in,
    stride_row,
    stride_column,
    GROUP: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    TRANSPOSED: tl.constexpr,
):
    """Writes `packed[tile, tap, reduced channel, result channel]`.

    TRANSPOSED packs for the data gradient: the result channel is a channel of the input, and taps are reversed.
    """
    tile = tl.program_id(0)
    tap = tl.program_id(1)
    row = tap // 3
    column = tap % 3
    reduced = tl.arange(0, BLOCK_C)[:, None]
    result = tl.arange(0, BLOCK_C)[None, :]
    inside = (reduced // GROUP == result // GROUP) & (reduced < TILE) & (result < TILE)
    if TRANSPOSED:
        place = (tile * TILE + reduced) * stride_out + (result % GROUP) * stride_in
        place += (2 - row) * stride_row + (2 - column) * stride_column
    else:
        place = (tile * TILE + result) * stride_out + (reduced % GROUP) * stride_in
        place += row * stride_row + column * stride_column
    values = tl.load(weight + place, mask=inside, other=0.0)
    tl.store(packed + ((tile * 9 + tap) * BLOCK_C + reduced) * BLOCK_C + result, values)


@triton.jit
def _tap(packed, tile, tap, BLOCK_C: tl.constexpr):
    """The matrix of one tap of a tile."""
    reduced = tl.arange(0, BLOCK_C)[:, None]
    result = tl.arange(0, BLOCK_C)[None, :]
    return tl.load(packed + ((tile * 9 + tap) * BLOCK_C + reduced) * BLOCK_C + result)


@triton.jit
def _finished(total, bias, channel, lane, HAS_BIAS: tl.constexpr, RELU: tl.constexpr):
    """Adds the bias, and applies ReLU, in float32."""
    if HAS_BIAS:
        total += tl.load(bias + channel, mask=lane, other=0.0).to(tl.float32)
    if RELU:
        total = tl.maximum(total, 0.0)
    return total


@triton.jit(do_not_specialize=["pixels", "height", "width", "out_height", "out_width", "units"])
def convolve_taps(
    x,
    packed,
    bias,
    out,
    pixels,
    height,
    width,
    out_height,
    out_width,
    units,
    UNIT: tl.constexpr,
    STRIDE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    RELU: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program computes BLOCK_M positions of the result: one product for each tap."""
    tile = tl.program_id(0)
    channels = units * UNIT
    position = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    exists = position < pixels
    left = (position % out_width) * STRIDE - 1
    line = position // out_width
    top = (line % out_height) * STRIDE - 1
    image = line // out_height
    c = tl.arange(0, BLOCK_C)[None, :]
    lane = c < TILE
    channel = tile * TILE + c
    total = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    for tap in range(9):
        y = top + tap // 3
        z = left + tap % 3
        seen = exists & (y >= 0) & (y < height) & (z >= 0) & (z < width)
        place = ((image * height + y) * width + z) * channels
        values = tl.load(x + place[:, None] + channel, mask=seen[:, None] & lane, other=0.0)
        total = tl.dot(values, _tap(packed, tile, tap, BLOCK_C), total, input_precision=PRECISION)
    total = _finished(total, bias, channel, lane, HAS_BIAS, RELU)
    place = (position * channels)[:, None] + channel
    tl.store(out + place, total.to(out.dtype.element_ty), mask=exists[:, None] & lane)


@triton.jit(do_not_specialize=["columns", "height", "width", "units", "rows"])
def convolve_rows(
    x,
    packed,
    bias,
    out,
    columns,
    height,
    width,
    units,
    rows,
    UNIT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    RELU: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program computes `rows` rows of BLOCK_M columns, with stride 1.

    It reads each row of the input once for each of the three horizontal taps. The row contributes to three rows of the
    result, which have an accumulator each; after a row, the accumulators move up by one.
    """
    tile = tl.program_id(0)
    channels = units * UNIT
    column = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    exists = column < columns
    z = column % width
    start = (column // width) * height * width + z
    first = tl.program_id(2) * rows
    c = tl.arange(0, BLOCK_C)[None, :]
    lane = c < TILE
    channel = tile * TILE + c
    above = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    here = tl.zeros((BLOCK_M, BLOCK_C), tl.float32)
    w00 = _tap(packed, tile, 0, BLOCK_C)
    w01 = _tap(packed, tile, 1, BLOCK_C)
    w02 = _tap(packed, tile, 2, BLOCK_C)
    w10 = _tap(packed, tile, 3, BLOCK_C)
    w11 = _tap(packed, tile, 4, BLOCK_C)
    w12 = _tap(packed, tile, 5, BLOCK_C)
    w20 = _tap(packed, tile, 6, BLOCK_C)
    w21 = _tap(packed, tile, 7, BLOCK_C)
    w22 = _tap(packed, tile, 8, BLOCK_C)
    for step in range(rows + 2):
        y = first - 1 + step + tl.zeros_like(z)  # a block, as the masks are
        seen = exists & (y >= 0) & (y < height)
        place = ((start + y * width) * channels)[:, None] + channel
        left = tl.load(x + place - channels, mask=(seen & (z > 0))[:, None] & lane, other=0.0)
        middle = tl.load(x + place, mask=seen[:, None] & lane, other=0.0)
        right = tl.load(x + place + channels, mask=(seen & (z < width - 1))[:, None] & lane, other=0.0)
        above = tl.dot(left, w20, above, input_precision=PRECISION)
        above = tl.dot(middle, w21, above, input_precision=PRECISION)
        above = tl.dot(right, w22, above, input_precision=PRECISION)
        here = tl.dot(left, w10, here, input_precision=PRECISION)
        here = tl.dot(middle, w11, here, input_precision=PRECISION)
        here = tl.dot(right, w12, here, input_precision=PRECISION)
        below = tl.dot(left, w00, input_precision=PRECISION)
        below = tl.dot(middle, w01, below, input_precision=PRECISION)
        below = tl.dot(right, w02, below, input_precision=PRECISION)
        finished = _finished(above, bias, channel, lane, HAS_BIAS, RELU)
        written = ((start + (y - 1) * width) * channels)[:, None] + channel
        tl.store(
            out + written,
            finished.to(out.dtype.element_ty),
            mask=(exists & (y > first) & (y <= height))[:, None] & lane,
        )
        above = here
        here = below


@triton.jit(do_not_specialize=["quads", "height", "width", "out_height", "out_width", "units"])
def input_gradient_quads(
    gradient,
    packed,
    out,
    quads,
    height,
    width,
    out_height,
    out_width,
    units,
    UNIT: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """The data gradient of stride 2: one program computes BLOCK_M squares of 2x2 positions of the input.

    With padding 1, the position (2i, 2j) is under one tap of the result (i, j). The other three positions of the square
    are under two, two and four taps. The taps belong to the results (i, j), (i, j+1), (i+1, j) and (i+1, j+1).
    The taps of `packed` are reversed.
    """
    tile = tl.program_id(0)
    channels = units * UNIT
    quad = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M)
    exists = quad < quads
    j = quad % out_width
    line = quad // out_width
    i = line % out_height
    image = line // out_height
    c = tl.arange(0, BLOCK_C)[None, :]
    lane = c < TILE
    channel = tile * TILE + c
    right = exists & (j + 1 < out_width)
    low = exists & (i + 1 < out_height)
    place = (quad * channels)[:, None] + channel
    here = tl.load(gradient + place, mask=exists[:, None] & lane, other=0.0)
    after = tl.load(gradient + place + channels, mask=right[:, None] & lane, other=0.0)
    below = tl.load(gradient + place + out_width * channels, mask=low[:, None] & lane, other=0.0)
    beyond = tl.load(
        gradient + place + (out_width + 1) * channels, mask=(right & (i + 1 < out_height))[:, None] & lane, other=0.0
    )
    even_even = tl.dot(here, _tap(packed, tile, 4, BLOCK_C), input_precision=PRECISION)
    even_odd = tl.dot(here, _tap(packed, tile, 3, BLOCK_C), input_precision=PRECISION)
    even_odd = tl.dot(after, _tap(packed, tile, 5, BLOCK_C), even_odd, input_precision=PRECISION)
    odd_even = tl.dot(here, _tap(packed, tile, 1, BLOCK_C), input_precision=PRECISION)
    odd_even = tl.dot(below, _tap(packed, tile, 7, BLOCK_C), odd_even, input_precision=PRECISION)
    odd_odd = tl.dot(here, _tap(packed, tile, 0, BLOCK_C), input_precision=PRECISION)
    odd_odd = tl.dot(after, _tap(packed, tile, 2, BLOCK_C), odd_odd, input_precision=PRECISION)
    odd_odd = tl.dot(below, _tap(packed, tile, 6, BLOCK_C), odd_odd, input_precision=PRECISION)
    odd_odd = tl.dot(beyond, _tap(packed, tile, 8, BLOCK_C), odd_odd, input_precision=PRECISION)
    target = (((image * height + 2 * i) * width + 2 * j) * channels)[:, None] + channel
    wide = exists & (2 * j + 1 < width)
    high = exists & (2 * i + 1 < height)
    kind = out.dtype.element_ty
    tl.store(out + target, even_even.to(kind), mask=exists[:, None] & lane)
    tl.store(out + target + channels, even_odd.to(kind), mask=wide[:, None] & lane)
    tl.store(out + target + width * channels, odd_even.to(kind), mask=high[:, None] & lane)
    both = wide & (2 * i + 1 < height)
    tl.store(out + target + (width + 1) * channels, odd_odd.to(kind), mask=both[:, None] & lane)


@triton.jit(do_not_specialize=["pixels", "height", "width", "out_height", "out_width", "units", "steps"])
def weight_gradient_parts(
    gradient,
    x,
    parts,
    pixels,
    height,
    width,
    out_height,
    out_width,
    units,
    steps,
    UNIT: tl.constexpr,
    STRIDE: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_C: tl.constexpr,
    BLOCK_M: tl.constexpr,
    PRECISION: tl.constexpr,
):
    """One program sums three taps (one row of the kernel) over `steps` blocks of positions of the result.

    It writes `parts[split, tile, tap, input channel, result channel]` in float32. `sum_parts` adds the splits in a
    fixed order, so that the gradient is deterministic.
    """
    tile = tl.program_id(0)
    row = tl.program_id(1)
    split = tl.program_id(2)
    channels = units * UNIT
    c = tl.arange(0, BLOCK_C)[None, :]
    lane = c < TILE
    channel = tile * TILE + c
    first = tl.zeros((BLOCK_C, BLOCK_C), tl.float32)
    second = tl.zeros((BLOCK_C, BLOCK_C), tl.float32)
    third = tl.zeros((BLOCK_C, BLOCK_C), tl.float32)
    for step in range(steps):
        position = (split * steps + step) * BLOCK_M + tl.arange(0, BLOCK_M)
        exists = position < pixels
        z = (position % out_width) * STRIDE
        line = position // out_width
        y = (line % out_height) * STRIDE + row - 1
        image = line // out_height
        seen = exists & (y >= 0) & (y < height)
        place = (((image * height + y) * width + z) * channels)[:, None] + channel
        slope = tl.load(gradient + (position * channels)[:, None] + channel, mask=exists[:, None] & lane, other=0.0)
        left = tl.load(x + place - channels, mask=(seen & (z > 0))[:, None] & lane, other=0.0)
        middle = tl.load(x + place, mask=seen[:, None] & lane, other=0.0)
        right = tl.load(x + place + channels, mask=(seen & (z + 1 < width))[:, None] & lane, other=0.0)
        first = tl.dot(tl.trans(left), slope, first, input_precision=PRECISION)
        second = tl.dot(tl.trans(middle), slope, second, input_precision=PRECISION)
        third = tl.dot(tl.trans(right), slope, third, input_precision=PRECISION)
    reduced = tl.arange(0, BLOCK_C)[:, None]
    matrix = BLOCK_C * BLOCK_C
    target = parts + ((split * tl.num_programs(0) + tile) * 9 + row * 3) * matrix + reduced * BLOCK_C + c
    tl.store(target, first)
    tl.store(target + matrix, second)
    tl.store(target + 2 * matrix, third)


@triton.jit(do_not_specialize=["splits", "tiles"])
def sum_parts(
    parts,
    out,
    splits,
    tiles,
    stride_out,
    stride_in,
    stride_row,
    stride_column,
    GROUP: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Adds the splits of a tap of a tile, and writes its blocks on the diagonal into the gradient of the weight."""
    tile = tl.program_id(0)
    tap = tl.program_id(1)
    reduced = tl.arange(0, BLOCK_C)[:, None]
    result = tl.arange(0, BLOCK_C)[None, :]
    inside = (reduced // GROUP == result // GROUP) & (reduced < TILE) & (result < TILE)
    total = tl.zeros((BLOCK_C, BLOCK_C), tl.float32)
    for split in range(splits):
        source = parts + ((split * tiles + tile) * 9 + tap) * BLOCK_C * BLOCK_C
        total += tl.load(source + reduced * BLOCK_C + result, mask=inside, other=0.0)
    place = (tile * TILE + result) * stride_out + (reduced % GROUP) * stride_in
    place += (tap // 3) * stride_row + (tap % 3) * stride_column
    tl.store(out + place, total.to(out.dtype.element_ty), mask=inside)
