"""Operators of ONNX that move, join or cut tensors, as ATen operators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from resnext_dsl.importing.model_file import MAX_NUMBER
from resnext_dsl.importing.onnx_node import OnnxNode, counted
from resnext_dsl.importing.onnx_values import Known, RefusedError, Samples
from resnext_dsl.importing.trace import Ref, Stored

PAD_MODES = {"constant": "constant", "edge": "replicate", "reflect": "reflect", "wrap": "circular"}
"""Mode of ONNX -> mode of torch."""


def identity(node: OnnxNode) -> Any:
    """The same value."""
    return node.value()


def concat(node: OnnxNode) -> Any:
    """Tensors one after the other along an axis."""
    tensors = [node.tensor(index) for index in range(node.count)]
    if not tensors:
        raise RefusedError("has no inputs")
    return node.build.emit("cat", tensors=tensors, dim=node.axis("axis", 1, node.build.rank(tensors[0])))


def split(node: OnnxNode) -> Any:
    """Parts of a tensor along an axis."""
    x = node.tensor()
    dims = node.build.dims(x)
    axis = node.axis("axis", 0, len(dims))
    total, count = dims[axis], len(node.outputs)
    stated = node.integers(1) if node.opset >= 13 else node.integer_list("split")
    if node.opset >= 18:
        node.require("num_outputs", node.integer("num_outputs", count), count)
    if not isinstance(total, int):
        raise RefusedError("cuts the batch into parts")
    width = -(-total // count)
    sizes = stated or [width] * (count - 1) + [total - width * (count - 1)]
    if len(sizes) != count:
        raise RefusedError(f"has {len(sizes)} sizes for {count} parts")
    several = node.build.emit("split_with_sizes", self=x, split_sizes=sizes, dim=axis)
    return node.build.parts(several, count)


def cut(node: OnnxNode) -> Any:
    """A range of positions along axes."""
    x: Any = node.tensor()
    dims = node.build.dims(x)
    if node.opset < 10:
        starts, ends, axes = (node.integer_list(name) for name in ("starts", "ends", "axes"))
        steps = None
    else:
        starts, ends, axes, steps = (node.integers(index) for index in range(1, 5))
    starts, ends = starts or [], ends or []
    axes, steps = axes or list(range(len(starts))), steps or [1] * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise RefusedError("has lists of different lengths")
    for stated, start, end, step in zip(axes, starts, ends, steps, strict=True):
        axis = counted(stated, len(dims))
        size = dims[axis]
        if not 0 < step < MAX_NUMBER:
            raise RefusedError(f"has a step of {step}, and torch's slices run forward")
        if not isinstance(size, int):
            if start or end < MAX_NUMBER or step != 1:
                raise RefusedError("cuts the batch")
            continue
        first, last = (min(max(place + size if place < 0 else place, 0), size) for place in (start, end))
        if (first, last, step) != (0, size, 1):
            x = node.build.emit("slice", self=x, dim=axis, start=first, end=last, step=step)
    return x


def gather(node: OnnxNode) -> Any:
    """Positions of an axis by known indices."""
    x, indices = node.tensor(0), node.value(1)
    dims = node.build.dims(x)
    axis = node.axis("axis", 0, len(dims))
    size = dims[axis]
    if not isinstance(indices, Known) or not isinstance(size, int):
        raise RefusedError("chooses by indices that depend on the data or the batch")
    places = [counted(index, size) for index in indices.integers()]
    if not indices.shape:
        return node.build.emit("select", self=x, dim=axis, index=places[0])
    if len(indices.shape) != 1 or not places:
        raise RefusedError(f"has indices of shape {list(indices.shape)}")
    if places == list(range(places[0], places[0] + len(places))):
        return node.build.emit("slice", self=x, dim=axis, start=places[0], end=places[-1] + 1, step=1)
    import torch

    return node.build.emit("index_select", self=x, dim=axis, index=node.build.constant(torch.tensor(places)))


def transpose(node: OnnxNode) -> Any:
    """Axes in another order."""
    x = node.tensor()
    rank = node.build.rank(x)
    order = node.integer_list("perm") or list(reversed(range(rank)))
    if sorted(order) != list(range(rank)):
        raise RefusedError(f"has the order {order[:8]} of axes for a tensor of {rank} dimensions")
    return x if order == list(range(rank)) else node.build.emit("permute", self=x, dims=order)


def reshape(node: OnnxNode) -> Any:
    """Another shape; 0 keeps a size and -1 follows from the others."""
    x, shape = node.tensor(0), node.value(1)
    if not isinstance(shape, Known):
        raise RefusedError("computes its shape from the data")
    keeps = not node.integer("allowzero", 0)
    dims = node.build.dims(x)
    sizes = shape.flat()
    if any(size == 0 for size in sizes[len(dims) :]) or (not keeps and 0 in sizes):
        raise RefusedError(f"gives the shape {sizes[:16]}")
    return node.build.reshaped(x, [dims[axis] if size == 0 else size for axis, size in enumerate(sizes)])


def flatten(node: OnnxNode) -> Any:
    """A matrix: the axes before `axis`, and those from it on."""
    x = node.tensor()
    dims = node.build.dims(x)
    axis = node.integer("axis", 1)
    axis = len(dims) if axis == len(dims) else counted(axis, len(dims))
    if axis == 1:
        return node.build.reshaped(x, [dims[0], -1])
    lead: Any = 1
    for size in dims[:axis]:
        if size is None:
            raise RefusedError("has an input whose size depends on the batch")
        lead = size * lead if isinstance(size, Samples) else lead * size
    return node.build.reshaped(x, [lead, -1])


def _axes(node: OnnxNode) -> list[int] | None:
    return node.integers(1) if node.opset >= 13 else node.integer_list("axes")


def squeeze(node: OnnxNode) -> Any:
    """Without axes of size 1."""
    x: Any = node.tensor()
    dims = node.build.dims(x)
    stated = _axes(node)
    axes = [axis for axis, size in enumerate(dims) if size == 1] if stated is None else stated
    for axis in sorted({counted(axis, len(dims)) for axis in axes}, reverse=True):
        if dims[axis] != 1:
            raise RefusedError(f"drops the axis {axis} of size {dims[axis]}")
        x = node.build.emit("squeeze", self=x, dim=axis)
    return x


def unsqueeze(node: OnnxNode) -> Any:
    """With new axes of size 1."""
    x: Any = node.tensor()
    axes = _axes(node) or []
    rank = node.build.rank(x) + len(axes)
    for axis in sorted(counted(axis, rank) for axis in axes):
        x = node.build.emit("unsqueeze", self=x, dim=axis)
    return x


def expand(node: OnnxNode) -> Any:
    """The same numbers along axes of size 1, or along new axes in front."""
    x, shape = node.tensor(0), node.value(1)
    if not isinstance(shape, Known):
        raise RefusedError("computes its shape from the data")
    sizes = shape.flat()
    dims = node.build.dims(x)
    sizes = [1] * (len(dims) - len(sizes)) + sizes
    before = [1] * (len(sizes) - len(dims)) + dims
    if sizes[0] == node.build.fixed and isinstance(before[0], Samples):
        sizes[0] = before[0]
    target = [dim if size == 1 else size for size, dim in zip(sizes, before, strict=True)]
    if target == dims:
        return x
    if any(isinstance(size, Samples) and size.factor != 1 for size in target) or None in target:
        raise RefusedError(f"gives the shape {target}")
    return node.build.emit("expand", self=x, size=[_expanded(node, *pair) for pair in zip(target, before, strict=True)])


def _expanded(node: OnnxNode, size: Any, before: Any) -> Any:
    if isinstance(size, Samples):
        return -1 if size == before else node.build.samples()
    return size


def tile(node: OnnxNode) -> Any:
    """Copies of a tensor along axes."""
    repeats = node.integers(1) or []
    if not all(0 < number < 1 << 16 for number in repeats):
        raise RefusedError(f"has the repeats {repeats[:8]}")
    return node.build.emit("repeat", self=node.tensor(0), repeats=repeats)


def pad(node: OnnxNode) -> Any:
    """More positions on both sides of axes."""
    x = node.tensor()
    rank = node.build.rank(x)
    mode = node.text("mode", "constant")
    if mode not in PAD_MODES:
        node.require("mode", mode, "constant")
    if node.opset < 11:
        pads, axes, value = node.integer_list("pads") or [], None, [node.number("value", 0.0)]
    else:
        pads, axes = node.integers(1) or [], node.integers(3) if node.opset >= 18 else None
        value = node.floats(2) or [0.0]
    axes = list(range(rank)) if axes is None else [counted(axis, rank) for axis in axes]
    if len(pads) != 2 * len(axes) or not all(abs(size) < 1 << 16 for size in pads) or len(set(axes)) != len(axes):
        raise RefusedError(f"has the pads {pads[:16]} for {len(axes)} axes")
    sides = {axis: [pads[index], pads[index + len(axes)]] for index, axis in enumerate(axes)}
    last = [axis for axis in range(rank) if sides.get(axis, [0, 0]) != [0, 0]]
    if not last:
        return x
    if last[0] == 0:
        raise RefusedError("pads the batch")
    amounts = [size for axis in reversed(range(last[0], rank)) for size in sides.get(axis, [0, 0])]
    fill = float(value[0]) if mode == "constant" else None
    return node.build.emit("pad", self=x, pad=amounts, mode=PAD_MODES[mode], value=fill)


def depth_to_space(node: OnnxNode) -> Any:
    """Channels become positions; in the order of torch's pixel shuffle, the channel comes first."""
    x, block = node.tensor(), node.integer("blocksize")
    channels, height, width = _image(node, x, block)
    mode = node.text("mode", "DCR")
    rest = channels // block**2
    if mode == "CRD" or rest == 1:
        return node.build.emit("pixel_shuffle", self=x, upscale_factor=block)
    node.require("mode", mode, "DCR")
    apart = node.build.emit("reshape", self=x, shape=[-1, block, block, rest, height, width])
    moved = node.build.emit("permute", self=apart, dims=[0, 3, 4, 1, 5, 2])
    return node.build.emit("reshape", self=moved, shape=[-1, rest, height * block, width * block])


def space_to_depth(node: OnnxNode) -> Any:
    """Positions become channels; the place in the block comes first, and in torch's operator the channel does."""
    x, block = node.tensor(), node.integer("blocksize")
    node.require("mode", node.text("mode", "DCR"), "DCR")
    channels, height, width = _image(node, x, block)
    if channels == 1:
        return node.build.emit("pixel_unshuffle", self=x, downscale_factor=block)
    rows, columns = height // block, width // block
    apart = node.build.emit("reshape", self=x, shape=[-1, channels, rows, block, columns, block])
    moved = node.build.emit("permute", self=apart, dims=[0, 3, 5, 1, 2, 4])
    return node.build.emit("reshape", self=moved, shape=[-1, channels * block**2, rows, columns])


def _image(node: OnnxNode, x: Ref | Stored, block: int) -> list[int]:
    """Channels, height and width of an input of blocks."""
    if node.build.rank(x) != 4 or not 0 < block < 1 << 12:
        raise RefusedError(f"has blocks of {block} positions and an input of {node.build.rank(x)} dimensions")
    return node.build.sizes(x)


TRANSLATIONS: Mapping[str, Any] = {
    "Concat": concat,
    "DepthToSpace": depth_to_space,
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "Identity": identity,
    "Pad": pad,
    "Reshape": reshape,
    "Slice": cut,
    "SpaceToDepth": space_to_depth,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Unsqueeze": unsqueeze,
}
"""Operator of ONNX -> its translation."""
