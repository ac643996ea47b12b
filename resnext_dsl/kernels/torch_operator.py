"""The operators of torch that compute grouped convolutions with a kernel of 3x3 and padding 1.

`resnext_dsl::grouped_conv3x3` and its two gradients are registered with shapes for tracing, gradients of any order,
autocast, and a FLOP count. On a CUDA device each call takes the kernel that `kernel_choice` gives; elsewhere it takes
torch's convolution.

The gradients are convolutions of the same kind. The derivatives of the data gradient are a convolution and a weight
gradient. The derivatives of the weight gradient are a convolution and a data gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.library import Library, custom_op
from torch.utils.flop_counter import register_flop_formula

from resnext_dsl.kernels.configurations import Configuration
from resnext_dsl.kernels.kernel_choice import chosen, shape_of
from resnext_dsl.kernels.layer_shape import FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, LayerShape

NAMESPACE = "resnext_dsl"


@custom_op(f"{NAMESPACE}::grouped_conv3x3", mutates_args=())
def grouped_conv3x3(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int, relu: bool) -> Tensor:
    """The convolution, and ReLU if asked for.

    Args:
        x: The input, (N, C, H, W).
        weight: (C, C / groups, 3, 3), in the type of `x`.
        bias: (C,) in the type of `x`, or None.
        stride: 1 or 2.
        groups: The groups of channels.
        relu: Whether ReLU is applied to the result.

    Returns:
        The result in channels_last memory.
    """
    _require(x, weight, bias, groups, stride)
    x = _channels_last(x)
    shape = shape_of(x, groups, stride)

    def run(images: int, configuration: Configuration) -> Tensor:
        from resnext_dsl.kernels import launch

        return launch.forward(x[:images], weight, bias, shape._replace(batch=images), configuration, relu)

    def torch_run(images: int) -> Tensor:
        result = torch.conv2d(x[:images], weight, bias, stride, 1, 1, groups)
        return _channels_last(result.relu_() if relu else result)

    configuration = chosen(FORWARD, shape, x.device, run, torch_run)
    return torch_run(shape.batch) if configuration is None else run(shape.batch, configuration)


@custom_op(f"{NAMESPACE}::grouped_conv3x3_input_gradient", mutates_args=())
def input_gradient(gradient: Tensor, weight: Tensor, height: int, width: int, stride: int, groups: int) -> Tensor:
    """The gradient of the input.

    Args:
        gradient: The gradient of the result, (N, C, OH, OW).
        weight: (C, C / groups, 3, 3), in the type of `gradient`.
        height: The height H of the input.
        width: The width W of the input.
        stride: 1 or 2.
        groups: The groups of channels.

    Returns:
        The gradient, (N, C, H, W) in channels_last memory.
    """
    _require(gradient, weight, None, groups, stride)
    gradient = _channels_last(gradient)
    shape = shape_of(gradient, groups, stride, height, width)
    _require_result(gradient, shape)

    def run(images: int, configuration: Configuration) -> Tensor:
        from resnext_dsl.kernels import launch

        return launch.input_gradient(gradient[:images], weight, shape._replace(batch=images), configuration)

    def torch_run(images: int) -> Tensor:
        size = (images, shape.channels, height, width)
        like = torch.empty(size, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)
        return _channels_last(_backward(gradient[:images], like, weight, stride, groups, 0))

    configuration = chosen(INPUT_GRADIENT, shape, gradient.device, run, torch_run)
    return torch_run(shape.batch) if configuration is None else run(shape.batch, configuration)


@custom_op(f"{NAMESPACE}::grouped_conv3x3_weight_gradient", mutates_args=())
def weight_gradient(gradient: Tensor, x: Tensor, stride: int, groups: int, channels_last: bool) -> Tensor:
    """The gradient of the weight.

    Args:
        gradient: The gradient of the result, (N, C, OH, OW).
        x: The input, (N, C, H, W), in the type of `gradient`.
        stride: 1 or 2.
        groups: The groups of channels.
        channels_last: Whether the gradient is in channels_last memory, as the weight is; else it is contiguous.

    Returns:
        The gradient, (C, C / groups, 3, 3).
    """
    gradient, x = _channels_last(gradient), _channels_last(x)
    shape = shape_of(x, groups, stride)
    _require_result(gradient, shape)
    if gradient.dtype != x.dtype or gradient.device != x.device:
        raise ValueError(f"the gradient is {gradient.dtype} on {gradient.device}, the input {x.dtype} on {x.device}")
    memory = torch.channels_last if channels_last else torch.contiguous_format

    def run(images: int, configuration: Configuration) -> Tensor:
        from resnext_dsl.kernels import launch

        part = shape._replace(batch=images)
        return launch.weight_gradient(
            gradient[:images], x[:images], part, configuration, _weight_like(x, shape, memory)
        )

    def torch_run(images: int) -> Tensor:
        like = _weight_like(x, shape, torch.channels_last)
        return _backward(gradient[:images], x[:images], like, stride, groups, 1).contiguous(memory_format=memory)

    configuration = chosen(WEIGHT_GRADIENT, shape, x.device, run, torch_run)
    return torch_run(shape.batch) if configuration is None else run(shape.batch, configuration)


def _require(x: Tensor, weight: Tensor, bias: Tensor | None, groups: int, stride: int) -> None:
    """Raises ValueError if tensors do not fit each other; a kernel would read outside of them."""
    if x.dim() != 4 or stride not in (1, 2):
        raise ValueError(f"expected (N, C, H, W) and stride 1 or 2; found {tuple(x.shape)} and stride {stride}")
    channels = x.shape[1]
    if groups < 1 or channels % groups or weight.shape != (channels, channels // max(1, groups), 3, 3):
        raise ValueError(f"{channels} channels in {groups} groups do not fit a weight of shape {tuple(weight.shape)}")
    if bias is not None and bias.shape != (channels,):
        raise ValueError(f"{channels} channels do not fit a bias of shape {tuple(bias.shape)}")
    for other in (weight, bias):
        if other is not None and (other.dtype != x.dtype or other.device != x.device):
            raise ValueError(f"the input is {x.dtype} on {x.device}, a parameter {other.dtype} on {other.device}")


def _require_result(gradient: Tensor, shape: LayerShape) -> None:
    """Raises ValueError if a gradient does not have the shape of the result."""
    expected = (shape.batch, shape.channels, shape.out_height, shape.out_width)
    if gradient.shape != expected:
        raise ValueError(f"expected a gradient of shape {expected}; found {tuple(gradient.shape)}")


def _weight_like(x: Tensor, shape: LayerShape, memory: torch.memory_format) -> Tensor:
    size = (shape.channels, shape.group, 3, 3)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory)


def _channels_last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _is_channels_last(x: Tensor) -> bool:
    return x.is_contiguous(memory_format=torch.channels_last)


def _backward(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, groups: int, which: int) -> Tensor:
    """One gradient by torch's kernel: 0 for that of the input, 1 for that of the weight."""
    mask = [which == 0, which == 1, False]
    results = torch.ops.aten.convolution_backward(
        gradient, x, weight, None, [stride, stride], [1, 1], [1, 1], False, [0, 0], groups, mask
    )
    result: Tensor = results[which]
    return result


@grouped_conv3x3.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int, relu: bool) -> Tensor:
    batch, channels, height, width = x.shape
    size = (batch, channels, (height - 1) // stride + 1, (width - 1) // stride + 1)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


@input_gradient.register_fake
def _(gradient: Tensor, weight: Tensor, height: int, width: int, stride: int, groups: int) -> Tensor:
    size = (gradient.shape[0], gradient.shape[1], height, width)
    return torch.empty(size, dtype=gradient.dtype, device=gradient.device, memory_format=torch.channels_last)


@weight_gradient.register_fake
def _(gradient: Tensor, x: Tensor, stride: int, groups: int, channels_last: bool) -> Tensor:
    memory = torch.channels_last if channels_last else torch.contiguous_format
    size = (x.shape[1], x.shape[1] // groups, 3, 3)
    return torch.empty(size, dtype=x.dtype, device=x.device, memory_format=memory)


def _keep_forward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, weight, bias, ctx.stride, ctx.groups, ctx.relu = inputs
    ctx.save_for_backward(x, weight, output if ctx.relu else None)
    ctx.has_bias = bias is not None


def _forward_gradients(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, output = ctx.saved_tensors
    if ctx.relu:
        gradient = torch.where(output > 0, gradient, 0)
    needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
    height, width = x.shape[2:]
    return (
        input_gradient(gradient, weight, height, width, ctx.stride, ctx.groups) if needs_x else None,
        weight_gradient(gradient, x, ctx.stride, ctx.groups, _is_channels_last(weight)) if needs_weight else None,
        gradient.sum((0, 2, 3)) if ctx.has_bias and needs_bias else None,
        None,
        None,
        None,
    )


def _keep_input_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    gradient, weight, _, _, ctx.stride, ctx.groups = inputs
    ctx.save_for_backward(gradient, weight)


def _input_gradient_gradients(ctx: Any, x: Tensor) -> tuple[Tensor | None, ...]:
    gradient, weight = ctx.saved_tensors
    needs_gradient, needs_weight = ctx.needs_input_grad[:2]
    return (
        grouped_conv3x3(x, weight, None, ctx.stride, ctx.groups, False) if needs_gradient else None,
        weight_gradient(gradient, x, ctx.stride, ctx.groups, _is_channels_last(weight)) if needs_weight else None,
        None,
        None,
        None,
        None,
    )


def _keep_weight_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    gradient, x, ctx.stride, ctx.groups, _ = inputs
    ctx.save_for_backward(gradient, x)


def _weight_gradient_gradients(ctx: Any, weight: Tensor) -> tuple[Tensor | None, ...]:
    gradient, x = ctx.saved_tensors
    needs_gradient, needs_x = ctx.needs_input_grad[:2]
    height, width = x.shape[2:]
    return (
        grouped_conv3x3(x, weight, None, ctx.stride, ctx.groups, False) if needs_gradient else None,
        input_gradient(gradient, weight, height, width, ctx.stride, ctx.groups) if needs_x else None,
        None,
        None,
        None,
    )


grouped_conv3x3.register_autograd(_forward_gradients, setup_context=_keep_forward)
input_gradient.register_autograd(_input_gradient_gradients, setup_context=_keep_input_gradient)
weight_gradient.register_autograd(_weight_gradient_gradients, setup_context=_keep_weight_gradient)


def _under_autocast(kind: str) -> Any:
    """The operator under autocast: it computes in the type of autocast, as torch's convolution does."""

    def cast(x: Tensor, weight: Tensor, bias: Tensor | None, stride: int, groups: int, relu: bool) -> Tensor:
        dtype = torch.get_autocast_dtype(kind)
        if x.dtype == torch.float64:
            dtype = x.dtype
        with torch.autocast(kind, enabled=False):
            b = None if bias is None else bias.to(dtype)
            result: Tensor = grouped_conv3x3(x.to(dtype), weight.to(dtype), b, stride, groups, relu)
        return result

    return cast


_library = Library(NAMESPACE, "FRAGMENT")  # type: ignore[no-untyped-call]
_library.impl("grouped_conv3x3", _under_autocast("cuda"), "AutocastCUDA")  # type: ignore[no-untyped-call]
_library.impl("grouped_conv3x3", _under_autocast("cpu"), "AutocastCPU")  # type: ignore[no-untyped-call]


def _flops(positions: int, channels: int, groups: int) -> int:
    """Two FLOPs for each multiply-add of a direction."""
    return 2 * positions * channels * (channels // groups) * 9


@register_flop_formula(getattr(torch.ops, NAMESPACE).grouped_conv3x3)
def _forward_flops(x: Any, weight: Any, bias: Any, stride: int, groups: int, *_: Any, out_shape: Any, **__: Any) -> int:
    batch, channels, height, width = out_shape
    return _flops(batch * height * width, channels, groups)


@register_flop_formula(getattr(torch.ops, NAMESPACE).grouped_conv3x3_input_gradient)
def _input_gradient_flops(
    gradient: Any, weight: Any, height: int, width: int, stride: int, groups: int, **_: Any
) -> int:
    batch, channels, out_height, out_width = gradient
    return _flops(batch * out_height * out_width, channels, groups)


@register_flop_formula(getattr(torch.ops, NAMESPACE).grouped_conv3x3_weight_gradient)
def _weight_gradient_flops(gradient: Any, x: Any, stride: int, groups: int, *_: Any, **__: Any) -> int:
    batch, channels, out_height, out_width = gradient
    return _flops(batch * out_height * out_width, channels, groups)
