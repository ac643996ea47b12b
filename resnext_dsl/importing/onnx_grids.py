"""Indices that torch's exporter computes for `as_strided`: offset + stride * position, summed over the axes.

The exporter writes a strided view as `Gather(Reshape(x, [-1]), Range(batch) * stride + ...)`. A view of all numbers in
order is a reshape; other views have no translation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.importing.onnx_builder import Value
from resnext_dsl.importing.onnx_node import OnnxNode, counted
from resnext_dsl.importing.onnx_values import Known, RefusedError, Samples


class Grid(NamedTuple):
    """Indices of a strided view.

    Attributes:
        sizes: The sizes of its axes: numbers and multiples of the batch.
        strides: The step of each axis.
        offset: The first index.
    """

    sizes: list[Any]
    strides: list[int]
    offset: int


def makes_grid(node: OnnxNode, inputs: list[Any]) -> bool:
    """Whether an operator computes indices that depend on the batch, or reads by them."""
    if any(isinstance(value, Grid) for value in inputs):
        return True
    if node.operator != "Range" or not all(isinstance(value, Known) for value in inputs):
        return False
    return any(isinstance(number, Samples) for value in inputs for number in value.flat())


def grid(node: OnnxNode, inputs: list[Any]) -> Any:
    """The indices that an operator computes, or the view that it reads by them.

    Raises:
        RefusedError: If they are no strided view, or if the view is no reshape.
    """
    if node.operator == "Range":
        return _counted_samples(node)
    if node.operator == "Gather":
        return _view(node, inputs[1])
    if node.operator == "Unsqueeze":
        return _unsqueezed(node, inputs[0])
    if node.operator in {"Add", "Mul"}:
        return _combined(node, [_as_grid(value) for value in inputs])
    raise RefusedError("computes with indices that depend on the batch")


def _counted_samples(node: OnnxNode) -> Grid:
    start, limit, delta = (_only(node.value(index)) for index in range(3))
    if start != 0 or delta != 1:
        raise RefusedError("counts to the size of the batch in another way than one by one")
    return Grid([limit], [1], 0)


def _only(value: Any) -> Any:
    """The one number of a known value."""
    numbers = value.flat() if isinstance(value, Known) else []
    if len(numbers) != 1:
        raise RefusedError("counts with several numbers")
    return numbers[0]


def _unsqueezed(node: OnnxNode, indices: Grid) -> Grid:
    axes = (node.integers(1) if node.opset >= 13 else node.integer_list("axes")) or []
    rank = len(indices.sizes) + len(axes)
    if rank > 16:
        raise RefusedError(f"gives a tensor of {rank} dimensions")
    sizes, strides = list(indices.sizes), list(indices.strides)
    for axis in sorted(counted(axis, rank) for axis in axes):
        sizes.insert(axis, 1)
        strides.insert(axis, 0)
    node.take_inputs()
    return Grid(sizes, strides, indices.offset)


def _as_grid(value: Any) -> Grid:
    """Known indices as a grid."""
    if isinstance(value, Grid):
        return value
    if not isinstance(value, Known):
        raise RefusedError("computes with indices that depend on the batch")
    value.integers()
    array = value.numbers.astype(np.int64)
    if not array.size:
        raise RefusedError("has no indices")
    offset = int(array.flat[0])
    strides = []
    for axis, size in enumerate(array.shape):
        second = [1 if other == axis and size > 1 else 0 for other in range(array.ndim)]
        strides.append(int(array[tuple(second)]) - offset)
    positions = np.indices(array.shape, dtype=np.int64)
    expected = offset + sum((stride * part for stride, part in zip(strides, positions, strict=True)), np.int64(0))
    if not np.array_equal(np.broadcast_to(expected, array.shape), array):
        raise RefusedError("reads indices that are no strided view")
    return Grid(list(array.shape), strides, offset)


def _combined(node: OnnxNode, grids: list[Grid]) -> Grid:
    """The sum of two grids, or the product of a grid and a number."""
    node.take_inputs()
    first, second = grids
    if node.operator == "Mul":
        if any(size != 1 for size in second.sizes):
            first, second = second, first
        if any(size != 1 for size in second.sizes):
            raise RefusedError("multiplies two tables of indices")
        return Grid(first.sizes, [stride * second.offset for stride in first.strides], first.offset * second.offset)
    rank = max(len(first.sizes), len(second.sizes))
    sizes: list[Any] = [1] * rank
    strides = [0] * rank
    for part in grids:
        ahead = rank - len(part.sizes)
        for axis, (size, stride) in enumerate(zip(part.sizes, part.strides, strict=True), ahead):
            if size != 1 and sizes[axis] not in (1, size):
                raise RefusedError("has inputs whose shapes do not fit each other")
            sizes[axis] = sizes[axis] if size == 1 else size
            strides[axis] += stride if size != 1 else 0
    return Grid(sizes, strides, first.offset + second.offset)


def _view(node: OnnxNode, indices: Any) -> Value:
    """`Gather(x, indices) -> reshape(x)`, where the indices are those of all numbers of the flat x in order."""
    x = node.tensor(0)
    node.take_inputs()
    node.require("axis", node.integer("axis", 0), 0)
    sizes = node.build.dims(x)
    if not isinstance(indices, Grid) or len(sizes) != 1 or not _in_order(indices, sizes[0]):
        raise RefusedError("is a strided view that is no reshape")
    result: Value = node.build.reshaped(x, list(indices.sizes))
    return result


def _in_order(indices: Grid, total: Any) -> bool:
    """Whether indices run over all of `total` numbers one by one."""
    count: Any = 1
    for size, stride in reversed(list(zip(indices.sizes, indices.strides, strict=True))):
        if size != 1 and stride != count:
            return False
        count = size * count if isinstance(size, Samples) else count * size
    return indices.offset == 0 and bool(count == total)
