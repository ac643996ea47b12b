"""Normalizations of ONNX as ATen operators."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from resnext_dsl.importing.onnx_node import OnnxNode
from resnext_dsl.importing.onnx_values import RefusedError
from resnext_dsl.importing.trace import Ref


def batch_norm(node: OnnxNode) -> Any:
    """A batch norm with stored statistics; weights that are standardized have statistics of their own."""
    node.single_output()
    x, training = node.tensor(0), bool(node.integer("training_mode", 0))
    node.require("training_mode", training and isinstance(x, Ref), False)
    node.require("spatial", node.integer("spatial", 1), 1)
    mean, variance = node.stored(3), node.stored(4)
    return node.build.emit(
        "batch_norm",
        input=x,
        weight=node.stored(1),
        bias=node.stored(2),
        running_mean=None if training else mean,
        running_var=None if training else variance,
        training=training,
        momentum=round(1 - node.number("momentum", 0.9), 7),
        eps=node.number("epsilon", 1e-5),
        cudnn_enabled=True,
    )


def instance_norm(node: OnnxNode) -> Any:
    """A normalization of each channel of each sample."""
    return node.build.emit(
        "instance_norm",
        input=node.tensor(0),
        weight=node.tensor(1),
        bias=node.tensor(2),
        running_mean=None,
        running_var=None,
        use_input_stats=True,
        momentum=0.1,
        eps=node.number("epsilon", 1e-5),
        cudnn_enabled=True,
    )


def group_norm(node: OnnxNode) -> Any:
    """A normalization of groups of channels; before version 21 the scale had one number for each group."""
    x, groups = node.tensor(0), node.integer("num_groups")
    node.require("stash_type", node.integer("stash_type", 1), 1)
    scale: Any = node.tensor(1)
    bias: Any = node.tensor(2)
    channels = node.build.sizes(x)[0]
    if groups < 1 or channels % groups:
        raise RefusedError(f"divides {channels} channels into {groups} groups")
    if node.opset < 21:
        for_each = {"repeats": channels // groups, "dim": 0}
        scale, bias = (node.build.emit("repeat_interleave", self=tensor, **for_each) for tensor in (scale, bias))
    return node.build.emit(
        "group_norm",
        input=x,
        num_groups=groups,
        weight=scale,
        bias=bias,
        eps=node.number("epsilon", 1e-5),
        cudnn_enabled=True,
    )


def layer_norm(node: OnnxNode) -> Any:
    """A normalization over the last axes."""
    node.single_output()
    x, shape = _normalized(node)
    return node.build.emit(
        "layer_norm",
        input=x,
        normalized_shape=shape,
        weight=_scale(node, 1, shape),
        bias=_scale(node, 2, shape),
        eps=node.number("epsilon", 1e-5),
        cudnn_enable=True,
    )


def rms_norm(node: OnnxNode) -> Any:
    """A division by the root of the mean square over the last axes."""
    x, shape = _normalized(node)
    eps = node.number("epsilon", 1e-5)
    return node.build.emit("rms_norm", input=x, normalized_shape=shape, weight=_scale(node, 1, shape), eps=eps)


def _normalized(node: OnnxNode) -> tuple[Any, list[int]]:
    x = node.tensor(0)
    rank = node.build.rank(x)
    axis = node.axis("axis", -1, rank)
    node.require("stash_type", node.integer("stash_type", 1), 1)
    if not axis:
        raise RefusedError("normalizes over the batch")
    return x, node.build.sizes(x)[axis - 1 :]


def _scale(node: OnnxNode, index: int, shape: list[int]) -> Any:
    """A scale or bias of the normalized shape."""
    value = node.optional(index)
    if value is None:
        return None
    tensor = node.tensor(index)
    if node.build.dims(tensor) == shape:
        return tensor
    return node.build.emit("expand", self=tensor, size=shape)


def local_response_norm(node: OnnxNode) -> Any:
    """X / (bias + alpha * mean of squares over neighbouring channels) ^ beta, with the calls of torch's function.

    Source: `torch.nn.functional.local_response_norm`.
    """
    build, x, size = node.build, node.tensor(), node.integer("size")
    alpha, beta, bias = node.number("alpha", 1e-4), node.number("beta", 0.75), node.number("bias", 1.0)
    rank = build.rank(x)
    if rank < 3 or not 0 < size < 1 << 16:
        raise RefusedError(f"averages {size} channels of a tensor of {rank} dimensions")
    before, after = (size - 1) // 2, size // 2
    channels, *positions = build.sizes(x)
    squares = build.emit("mul", self=x, other=x)
    if rank == 3:
        stacked = build.emit("unsqueeze", self=squares, dim=1)
        padded = build.emit("pad", self=stacked, pad=[0, 0, before, after], mode="constant", value=0.0)
        pooled = build.emit("avg_pool2d", self=padded, kernel_size=[size, 1], stride=[1])
        means = build.emit("squeeze", self=pooled, dim=1)
    else:
        last = math.prod(positions[1:])
        stacked = build.emit("view", self=squares, size=[-1, 1, channels, positions[0], last])
        padded = build.emit("pad", self=stacked, pad=[0, 0, 0, 0, before, after], mode="constant", value=0.0)
        pooled = build.emit("avg_pool3d", self=padded, kernel_size=[size, 1, 1], stride=[1])
        means = build.emit("view", self=build.emit("squeeze", self=pooled, dim=1), size=[-1, channels, *positions])
    scaled = build.emit("add", self=build.emit("mul", self=means, other=alpha), other=bias)
    return build.emit("div", self=x, other=build.emit("pow", self=scaled, exponent=beta))


TRANSLATIONS: Mapping[str, Any] = {
    "BatchNormalization": batch_norm,
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": local_response_norm,
    "LayerNormalization": layer_norm,
    "RMSNormalization": rms_norm,
}
"""Operator of ONNX -> its translation."""
