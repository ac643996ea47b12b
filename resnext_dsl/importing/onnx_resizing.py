"""`Resize` and `Upsample` of ONNX as ATen operators, where torch reads the same positions of the input."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from resnext_dsl.importing.onnx_node import OnnxNode
from resnext_dsl.importing.onnx_values import RefusedError
from resnext_dsl.importing.trace import Ref, Stored

MAX_SIDE = 1 << 16
"""The longest side of a result."""

DIRECTIONS = {1: "linear1d", 2: "bilinear2d", 3: "trilinear3d"}
"""Number of directions -> the name of torch's linear interpolation."""

COORDINATES: Mapping[str, Callable[[int, float, int, int], float]] = {
    "asymmetric": lambda place, scale, size, result: place / scale,
    "half_pixel": lambda place, scale, size, result: (place + 0.5) / scale - 0.5,
    "pytorch_half_pixel": lambda place, scale, size, result: (place + 0.5) / scale - 0.5 if result > 1 else 0.0,
    "align_corners": lambda place, scale, size, result: place * (size - 1) / (result - 1) if result > 1 else 0.0,
}
"""Mode of ONNX -> the place in the input for a place in the result. Source: the definition of `Resize` in ONNX."""

ROUNDINGS: Mapping[str, Callable[[float], int]] = {
    "floor": math.floor,
    "ceil": math.ceil,
    "round_prefer_floor": lambda place: math.ceil(place - 0.5),
    "round_prefer_ceil": lambda place: math.floor(place + 0.5),
}
"""Mode of ONNX -> the nearest position of the input."""


def resize(node: OnnxNode) -> Any:
    """A result of another size; the positions that each of its positions reads are compared with torch's."""
    x = node.tensor(0)
    mode = node.text("mode", "nearest")
    old = node.opset < 11
    coordinates = node.text("coordinate_transformation_mode", "asymmetric" if old else "half_pixel")
    rounding = node.text("nearest_mode", "floor" if old else "round_prefer_floor")
    cubic = node.number("cubic_coeff_a", -0.75)
    for name, default in (("exclude_outside", 0), ("antialias", 0)):
        node.require(name, node.integer(name, default), default)
    node.require("keep_aspect_ratio_policy", node.text("keep_aspect_ratio_policy", "stretch"), "stretch")
    node.number("extrapolation_value", 0.0)  # for `tf_crop_and_resize`, which is refused
    if coordinates not in COORDINATES:
        raise RefusedError(f"has the attribute `coordinate_transformation_mode` (=`{coordinates}`), which torch lacks")
    if not old:
        node.optional(1)  # `roi`, for `tf_crop_and_resize`
    scales, sizes = _targets(node, x)
    if mode == "nearest":
        return _nearest(node, x, scales, sizes, coordinates, rounding)
    if mode == "cubic":
        node.require("cubic_coeff_a", cubic, -0.75)
    return _interpolated(node, x, mode, scales, sizes, coordinates)


def upsample(node: OnnxNode) -> Any:
    """A larger result by the nearest positions, as before version 10."""
    x = node.tensor(0)
    node.require("mode", node.text("mode", "nearest"), "nearest")
    scales = node.number_list("scales") if node.opset < 9 else node.floats(1)
    factors, sizes = _from_scales(node, x, scales or [])
    return _nearest(node, x, factors, sizes, "asymmetric", "floor")


def _targets(node: OnnxNode, x: Ref | Stored) -> tuple[list[float], list[int]]:
    """The scale and the size of each direction of the result."""
    scales = node.floats(1 if node.opset < 11 else 2)
    sizes = None if node.opset < 11 else node.optional(3) and node.build.numbers(node.optional(3))
    axes = node.integer_list("axes")
    rank = node.build.rank(x)
    if axes is not None:
        ordered = {axis % rank: index for index, axis in enumerate(axes) if -rank <= axis < rank}
        dims = node.build.dims(x)
        scales = scales and [scales[ordered[axis]] if axis in ordered else 1.0 for axis in range(rank)]
        sizes = sizes and [sizes[ordered[axis]] if axis in ordered else dims[axis] for axis in range(rank)]
    if scales:
        return _from_scales(node, x, scales)
    if (
        not sizes
        or len(sizes) != rank
        or list(sizes[:2]) not in (node.build.dims(x)[:2], [node.build.fixed, *node.build.sizes(x)[:1]])
    ):
        raise RefusedError("has no sizes, or changes the batch or the channels")
    if not all(isinstance(size, int) and 0 < size < MAX_SIDE for size in sizes[2:]):
        raise RefusedError(f"gives the sizes {sizes[2:]}")
    before = node.build.sizes(x)[1:]
    return [size / length for size, length in zip(sizes[2:], before, strict=True)], list(sizes[2:])


def _from_scales(node: OnnxNode, x: Ref | Stored, scales: list[float]) -> tuple[list[float], list[int]]:
    rank = node.build.rank(x)
    if len(scales) != rank or list(scales[:2]) != [1, 1] or not all(0 < scale < MAX_SIDE for scale in scales):
        raise RefusedError(f"has the scales {scales[:8]} for {rank} dimensions")
    sizes = [math.floor(size * scale) for size, scale in zip(node.build.sizes(x)[1:], scales[2:], strict=True)]
    if not all(0 < size < MAX_SIDE for size in sizes):
        raise RefusedError(f"gives the sizes {sizes}")
    return list(scales[2:]), sizes


def _nearest(
    node: OnnxNode, x: Ref | Stored, scales: list[float], sizes: list[int], coordinates: str, rounding: str
) -> Any:
    if rounding not in ROUNDINGS:
        node.require("nearest_mode", rounding, "floor")
    before = node.build.sizes(x)[1:]
    place, nearest = COORDINATES[coordinates], ROUNDINGS[rounding]
    asked = [
        [min(max(nearest(place(p, scale, size, result)), 0), size - 1) for p in range(result)]
        for scale, size, result in zip(scales, before, sizes, strict=True)
    ]
    for operation, shift in (("upsample_nearest", 0.0), ("_upsample_nearest_exact", 0.5)):
        for by_scale in (False, True):
            steps = [1 / s if by_scale else size / r for s, size, r in zip(scales, before, sizes, strict=True)]
            if asked == [_torch_places(*side, shift) for side in zip(steps, before, sizes, strict=True)]:
                target = _target(before, sizes, scales if by_scale else None)
                return node.build.emit(f"{operation}{_directions(sizes)}d", input=x, **target)
    raise RefusedError(f"reads other positions than torch (`{coordinates}`, `{rounding}`)")


def _torch_places(step: float, size: int, result: int, shift: float) -> list[int]:
    """The positions that torch reads. Source: `nearest_idx` and `nearest_exact_idx` in `UpSample.h`, in float32."""
    places = np.floor((np.arange(result, dtype=np.float32) + np.float32(shift)) * np.float32(step))
    return [min(int(place), size - 1) for place in places]


def _interpolated(
    node: OnnxNode, x: Ref | Stored, mode: str, scales: list[float], sizes: list[int], coordinates: str
) -> Any:
    """A weighted mean of neighbours; torch computes the scale from the sizes."""
    before = node.build.sizes(x)[1:]
    if mode not in {"linear", "cubic"} or (mode == "cubic" and len(sizes) != 2):
        node.require("mode", mode, "linear")
    if coordinates == "asymmetric":
        raise RefusedError("has the attribute `coordinate_transformation_mode` (=`asymmetric`), which torch lacks")
    corners = coordinates == "align_corners"
    whole = all(abs(s * size - r) < 1e-3 for s, size, r in zip(scales, before, sizes, strict=True))
    if coordinates == "pytorch_half_pixel" and 1 in sizes and before != sizes:
        raise RefusedError(
            "has the attribute `coordinate_transformation_mode` (=`pytorch_half_pixel`) for one position"
        )
    operation = "bicubic2d" if mode == "cubic" else DIRECTIONS[_directions(sizes)]
    target = _target(before, sizes, None if whole or corners else scales)
    return node.build.emit(f"upsample_{operation}", input=x, align_corners=corners, **target)


def _directions(sizes: list[int]) -> int:
    if not 1 <= len(sizes) <= 3:
        raise RefusedError(f"resizes {len(sizes)} directions")
    return len(sizes)


def _target(before: list[int], sizes: list[int], scales: list[float] | None) -> dict[str, Any]:
    """The factors, if torch computes with them or all are whole, as its modules state them; the sizes otherwise."""
    if scales is None and all(result % size == 0 for size, result in zip(before, sizes, strict=True)):
        scales = [float(result // size) for size, result in zip(before, sizes, strict=True)]
    return {"output_size": sizes if scales is None else None, "scale_factors": scales}


TRANSLATIONS: Mapping[str, Any] = {"Resize": resize, "Upsample": upsample}
"""Operator of ONNX -> its translation."""
