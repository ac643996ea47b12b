"""Moves tensors along a `WeightMap`: into a rewritten network, and back out of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from resnext_dsl.rewrite.steps import WeightMap

Formula = Callable[..., Sequence[Tensor]]


def _join(sources: Sequence[Tensor], axis: int, sizes: Sequence[int]) -> Sequence[Tensor]:
    return [torch.cat(list(sources), axis)]


def _cut(sources: Sequence[Tensor], axis: int, sizes: Sequence[int]) -> Sequence[Tensor]:
    return torch.split(sources[0], list(sizes), axis)


def _share(sources: Sequence[Tensor], count: int) -> Sequence[Tensor]:
    return [sources[0]]


def _copy(sources: Sequence[Tensor], count: int) -> Sequence[Tensor]:
    return [sources[0]] * count


def _normalized(sources: Sequence[Tensor], eps: float) -> Sequence[Tensor]:
    """Factor and shift of a batch norm in eval mode: Ioffe and Szegedy, ICML 2015, Algorithm 2, line 11."""
    *affine, mean, variance, _ = sources
    factor = (variance.double() + eps).rsqrt()
    if not affine:
        return [factor, -mean * factor]
    weight, bias = affine
    factor = weight.double() * factor
    return [factor, bias - mean * factor]


def _constant(sources: Sequence[Tensor], factor: float, channels: int) -> Sequence[Tensor]:
    return [torch.full((channels,), factor, dtype=torch.double), torch.zeros(channels, dtype=torch.double)]


def _factors(sources: Sequence[Tensor]) -> Sequence[Tensor]:
    return [sources[0].double(), torch.zeros_like(sources[0], dtype=torch.double)]


def _scaled(sources: Sequence[Tensor], rows: int, groups: int) -> Sequence[Tensor]:
    """A weight times a factor for each output channel; and bias * factor + shift, where there is a shift."""
    weight, factor, *others = sources
    factor = factor.to(weight.device)
    if rows == 0:
        shape = [-1] + [1] * (weight.dim() - 1)
        scaled = weight * factor.view(shape)
    else:  # a transposed convolution: the inputs of each group lie along axis 0, its outputs along axis 1
        parts = weight.view(groups, -1, *weight.shape[1:]) * factor.view(groups, 1, -1, *[1] * (weight.dim() - 2))
        scaled = parts.flatten(0, 1)
    if not others:
        return [scaled]
    shift, *bias = others
    return [scaled, shift.to(weight.device) + (bias[0] * factor if bias else 0)]


def _copying(sources: Sequence[Tensor], channels: int, groups: int) -> Sequence[Tensor]:
    """The 1x1 kernel that copies each channel, or multiplies it by its factor; the shift with it."""
    like, *factor_and_shift = sources
    inside = channels // groups
    eye = torch.eye(inside, dtype=torch.double, device=like.device).repeat(groups, 1)[:, :, None, None]
    if not factor_and_shift:
        return [eye]
    factor, shift = factor_and_shift
    return [eye * factor.view(-1, 1, 1, 1), shift]


def _kernels(sources: Sequence[Tensor], kernel: Sequence[int]) -> Sequence[Tensor]:
    """The sum of kernels, smaller ones with zeros around them."""
    padded = []
    for weight in sources:
        rows, columns = ((whole - own) // 2 for whole, own in zip(kernel, weight.shape[2:], strict=True))
        padded.append(functional.pad(weight.double(), (columns, columns, rows, rows)))
    return _sum(padded)


def _sum(sources: Sequence[Tensor]) -> Sequence[Tensor]:
    return [torch.stack([source.double() for source in sources]).sum(0)]


def _product(sources: Sequence[Tensor], first_bias: bool, second_bias: bool) -> Sequence[Tensor]:
    """The matrix of two linear maps in a row, and its bias."""
    first, second, *biases = (source.double() for source in sources)
    weight = (second.flatten(1) @ first.flatten(1)).view(*second.shape[:1], *first.shape[1:])
    if not biases:
        return [weight]
    moved = [second.flatten(1) @ biases[0]] if first_bias else []
    return [weight, *_sum([*moved, *(biases[-1:] if second_bias else [])])]


FORMULAS: dict[str, Formula] = {
    "join": _join,
    "cut": _cut,
    "share": _share,
    "copy": _copy,
    "normalized": _normalized,
    "constant": _constant,
    "factors": _factors,
    "scaled": _scaled,
    "copying": _copying,
    "kernels": _kernels,
    "sum": _sum,
    "product": _product,
}
"""Kind of a step -> (sources, arguments) -> targets. What computes does so in float64."""


def carry(weights: WeightMap, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state_dict under the keys of the rewritten network, in its order.

    Gradients and an optimizer's moments go the same way as the parameters, where steps only move elements. Keys that
    are missing on one side are missing on the other, so that a map of parameters alone can be carried too.

    Args:
        weights: The way.
        state: State_dict key -> tensor; other keys than those of the map are an error of ours.
    """
    known = {weights.before[key]: tensor.detach() for key, tensor in state.items()}
    for step in weights.steps:
        if any(source not in known for source in step.sources):
            continue
        made = FORMULAS[step.kind]([known[source] for source in step.sources], *step.arguments)
        known.update(zip(step.targets, made, strict=True))
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    return {key: _own(known[source], dtype) for key, source in weights.after.items() if source in known}


def _own(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of its own: views of one another, or of the caller's, could not be trained apart."""
    typed = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return typed.clone(memory_format=torch.contiguous_format)
