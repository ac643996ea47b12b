"""Operators of ONNX on known numbers, computed while the file is read: the shapes that exporters write as operators."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from resnext_dsl.importing.onnx_builder import Value
from resnext_dsl.importing.onnx_node import OnnxNode, counted
from resnext_dsl.importing.onnx_tensors import NUMBER_TYPES
from resnext_dsl.importing.onnx_values import ELEMENTWISE, MAX_KNOWN, Known, RefusedError, Samples, elementwise, known
from resnext_dsl.importing.trace import Stored

SOURCES = {"Shape", "Size"}
"""Operators that give known numbers for any tensor."""


def folds(node: OnnxNode, inputs: list[Value | None]) -> bool:
    """Whether an operator is computed while the file is read."""
    if node.operator in SOURCES:
        return True
    if node.operator not in FOLDED or not (node.operator == "Cast" or any(isinstance(v, Known) for v in inputs)):
        return False
    return all(value is None or _small(node, value) for value in inputs)


def folded(node: OnnxNode, inputs: list[Value | None]) -> Any:
    """The known result of an operator."""
    if node.operator in SOURCES:
        return FOLDED[node.operator](node)
    values = [_known(node, index) for index, value in enumerate(inputs) if value is not None]
    if node.operator in ELEMENTWISE:
        node.integer("fmod", 0)
        return elementwise(node.operator, values)
    return FOLDED[node.operator](node)


def _small(node: OnnxNode, value: Value) -> bool:
    """Whether a value is known, or a small constant of a formula."""
    if isinstance(value, Known):
        return True
    return (
        isinstance(value, Stored) and not node.build.tensors[value.key].named and node.build.numbers(value) is not None
    )


def _known(node: OnnxNode, index: int) -> Known:
    value = node.value(index)
    if isinstance(value, Known):
        return value
    shape = tuple(size for size in node.build.dims(value) if isinstance(size, int))
    return known(node.build.numbers(value) or [], shape)


def _shape(node: OnnxNode) -> Known:
    """The sizes of a tensor, from `start` to `end`."""
    sizes = node.build.known_dims(node.value()).flat()
    start, end = node.integer("start", 0), node.integer("end", len(sizes))
    return known(sizes[start:end])


def _size(node: OnnxNode) -> Known:
    product: Any = 1
    for size in node.build.known_dims(node.value()).flat():
        product = size * product if isinstance(size, Samples) else product * size
    return known([product], ())


def _gather(node: OnnxNode) -> Known:
    x, indices = _known(node, 0), _known(node, 1)
    axis = node.axis("axis", 0, len(x.shape))
    places = [counted(index, x.shape[axis]) for index in indices.integers()]
    result = np.take(x.numbers, np.array(places, dtype=np.int64).reshape(indices.shape), axis=axis)
    array = np.asarray(result, dtype=object)
    return known(array.ravel(), array.shape)


def _concat(node: OnnxNode) -> Known:
    parts = [_known(node, index) for index in range(node.count)]
    axis = node.axis("axis", 0, len(parts[0].shape))
    try:
        joined = np.concatenate([part.numbers for part in parts], axis=axis)
    except ValueError:
        raise RefusedError("has inputs whose shapes do not fit each other") from None
    return known(joined.ravel(), joined.shape)


def _cut(node: OnnxNode) -> Known:
    x = _known(node, 0)
    if node.opset < 10:
        starts, ends, axes = (node.integer_list(name) for name in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (node.integers(index) for index in range(1, 5))
    starts, ends = starts or [], ends or []
    places = [slice(None)] * len(x.shape)
    if len(starts) != len(ends):
        raise RefusedError("has lists of different lengths")
    for index, (start, end) in enumerate(zip(starts, ends, strict=True)):
        axis = counted(axes[index] if axes else index, len(x.shape))
        step = steps[index] if steps else 1
        if not step:
            raise RefusedError("has a step of 0")
        stop = None if step < 0 and end < -x.shape[axis] else end
        places[axis] = slice(start, stop, step)
    part = x.numbers[tuple(places)]
    return known(part.ravel(), part.shape)


def _squeezed(node: OnnxNode) -> Known:
    x = _known(node, 0)
    stated = node.integers(1) if node.opset >= 13 else node.integer_list("axes")
    axes = None if stated is None else {counted(axis, len(x.shape)) for axis in stated}
    if axes and any(x.shape[axis] != 1 for axis in axes):
        raise RefusedError("drops an axis whose size is not 1")
    kept = [size for axis, size in enumerate(x.shape) if (size != 1 if axes is None else axis not in axes)]
    return known(x.flat(), tuple(kept))


def _unsqueezed(node: OnnxNode) -> Known:
    x = _known(node, 0)
    axes = (node.integers(1) if node.opset >= 13 else node.integer_list("axes")) or []
    rank = len(x.shape) + len(axes)
    if rank > 16:
        raise RefusedError(f"gives a tensor of {rank} dimensions")
    sizes = list(x.shape)
    for axis in sorted(counted(axis, rank) for axis in axes):
        sizes.insert(axis, 1)
    return known(x.flat(), tuple(sizes))


def _reshaped(node: OnnxNode) -> Known:
    x, sizes = _known(node, 0), node.integers(1) or []
    node.integer("allowzero", 0)
    try:
        array = x.numbers.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)])
    except (ValueError, IndexError):
        raise RefusedError(f"gives the shape {sizes[:8]}") from None
    return known(array.ravel(), array.shape)


def _expanded(node: OnnxNode) -> Known:
    x, sizes = _known(node, 0), node.integers(1) or []
    if not all(0 <= size <= MAX_KNOWN for size in sizes) or math.prod(sizes) > MAX_KNOWN:
        raise RefusedError(f"gives the shape {sizes[:8]}")
    try:
        array = np.broadcast_to(x.numbers, np.broadcast_shapes(x.shape, tuple(sizes)))
    except ValueError:
        raise RefusedError(f"gives the shape {sizes[:8]}") from None
    return known(array.ravel(), array.shape)


def _transposed(node: OnnxNode) -> Known:
    x = _known(node, 0)
    order = node.integer_list("perm") or list(reversed(range(len(x.shape))))
    if sorted(order) != list(range(len(x.shape))):
        raise RefusedError(f"has the order {order[:8]} of axes")
    array = x.numbers.transpose(order)
    return known(array.ravel(), array.shape)


def _cast(node: OnnxNode) -> Known:
    x, kind = _known(node, 0), NUMBER_TYPES.get(node.integer("to"))
    node.integer("saturate", 1)
    if kind is None:
        raise RefusedError("changes numbers to a type that is not read")
    if kind.name == "bool":
        return known([bool(number) for number in x.flat()], x.shape)
    if "float" not in kind.name:
        return known([n if isinstance(n, Samples) else _whole(n) for n in x.flat()], x.shape)
    return known([n if isinstance(n, Samples) else float(n) for n in x.flat()], x.shape)


def _whole(number: Any) -> int:
    if not math.isfinite(number):
        raise RefusedError(f"changes {number} to an integer")
    return int(number)


def _range(node: OnnxNode) -> Known:
    start, limit, delta = (_known(node, index).flat()[0] for index in range(3))
    if any(isinstance(number, Samples) for number in (start, limit, delta)) or not delta:
        raise RefusedError("counts to the size of the batch, or in steps of 0")
    count = max(0, math.ceil((limit - start) / delta))
    if count > MAX_KNOWN:
        raise RefusedError(f"gives {count} numbers of a shape; at most {MAX_KNOWN} are computed")
    return known([start + index * delta for index in range(count)])


def _product(node: OnnxNode) -> Known:
    x = _known(node, 0)
    axes = node.integers(1) if node.opset >= 18 else node.integer_list("axes")
    keep = bool(node.integer("keepdims", 1))
    node.require("noop_with_empty_axes", node.integer("noop_with_empty_axes", 0), 0)
    if len(x.shape) > 1 or (axes and [counted(axis, 1) for axis in axes] != [0]):
        raise RefusedError("multiplies along an axis of a matrix of sizes")
    product: Any = 1
    for number in x.flat():
        product = number * product if isinstance(number, Samples) else product * number
    return known([product], (1,) if keep and x.shape else ())


def _same(node: OnnxNode) -> Known:
    return _known(node, 0)


FOLDED: Mapping[str, Callable[[OnnxNode], Any]] = {
    **dict.fromkeys(ELEMENTWISE, _same),
    "Cast": _cast,
    "Concat": _concat,
    "Expand": _expanded,
    "Gather": _gather,
    "Identity": _same,
    "Range": _range,
    "ReduceProd": _product,
    "Reshape": _reshaped,
    "Shape": _shape,
    "Size": _size,
    "Slice": _cut,
    "Squeeze": _squeezed,
    "Transpose": _transposed,
    "Unsqueeze": _unsqueezed,
}
"""Operator of ONNX -> its result for known numbers; those of `ELEMENTWISE` are computed number by number."""
