"""Moves tensors along a `WeightMap`: into a rewritten network, or back."""

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
    """The factor and the shift of a batch norm in eval mode: Ioffe and Szegedy, ICML 2015, Algorithm 2, line 11."""
    *affine, mean, variance, _ = sources
    factor = (variance.double() + eps).rsqrt()
    if not affine:
        return [factor, -mean * factor]
    weight, bias = affine
    factor = weight.double() * factor
    return [factor, bias - mean * factor]


def _constant(sources: Sequence[Tensor], factor: float, channels: int) -> Sequence[Tensor]:
    return [torch.full((channels,), factor, dtype=torch.double), torch.zeros(channels, dtype=torch.double)]


def _factors(sources: Sequence[Tensor], channels: int) -> Sequence[Tensor]:
    factor = sources[0].double().expand(channels)
    return [factor, torch.zeros_like(factor)]


def _scaled(sources: Sequence[Tensor], rows: int, groups: int) -> Sequence[Tensor]:
    """A weight times a factor for each output channel; with a shift, also bias * factor + shift."""
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


def _standardized(sources: Sequence[Tensor], eps: float, gamma: float) -> Sequence[Tensor]:
    """Weights of mean 0 and variance 1 in each output channel; with a gain, of variance (gamma * gain)**2 / fan-in."""
    weight, *gain = (source.double() for source in sources)
    rows = weight.flatten(1)
    variance, mean = torch.var_mean(rows, 1, correction=0, keepdim=True)
    standardized = ((rows - mean) * (variance + eps).rsqrt()).view_as(weight)
    return [standardized * gain[0] * (gamma * rows.shape[1] ** -0.5) if gain else standardized]


def _copying(sources: Sequence[Tensor], channels: int, groups: int) -> Sequence[Tensor]:
    """The kernel of size 1 that copies each channel, or multiplies it by a factor; with a factor, also the shift."""
    like, *factor_and_shift = sources
    inside = channels // groups
    eye = torch.eye(inside, dtype=torch.double, device=like.device).repeat(groups, 1)
    eye = eye.view(*eye.shape, *[1] * (like.dim() - 2))
    if not factor_and_shift:
        return [eye]
    factor, shift = factor_and_shift
    return [eye * factor.view(-1, *[1] * (like.dim() - 1)), shift]


def _kernels(sources: Sequence[Tensor], kernel: Sequence[int]) -> Sequence[Tensor]:
    """The sum of kernels; smaller kernels are padded with zeros."""
    padded = []
    for weight in sources:
        around = [(whole - part) // 2 for whole, part in zip(kernel, weight.shape[2:], strict=True)]
        padded.append(functional.pad(weight.double(), [extra for extra in reversed(around) for _ in range(2)]))
    return _sum(padded)


def _sum(sources: Sequence[Tensor]) -> Sequence[Tensor]:
    return [torch.stack([source.double() for source in sources]).sum(0)]


def _product(sources: Sequence[Tensor], first_bias: bool, second_bias: bool) -> Sequence[Tensor]:
    """The matrix and the bias of two linear maps in a row."""
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
    "standardized": _standardized,
    "copying": _copying,
    "kernels": _kernels,
    "sum": _sum,
    "product": _product,
}
"""Kind of a step -> a function (sources, arguments) -> targets. Formulas that compute use float64."""


def carry(weights: WeightMap, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a state_dict under the keys of the rewritten network, in its order.

    If the steps only move elements, gradients and an optimizer's moments can be moved like the parameters. Keys may
    be missing, as in a dictionary of parameters without buffers; they are then missing in the result.

    Args:
        weights: The map from one state_dict to the other.
        state: State_dict key -> tensor; every key must be a key of the map.
    """
    known = {weights.before[key]: tensor.detach() for key, tensor in state.items()}
    for step in weights.steps:
        if any(source not in known for source in step.sources):
            continue
        targets = FORMULAS[step.kind]([known[source] for source in step.sources], *step.arguments)
        known.update(zip(step.targets, targets, strict=True))
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    return {key: _copied(known[source], dtype) for key, source in weights.after.items() if source in known}


def _copied(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy: tensors that share memory with each other or with the caller's could not be trained separately."""
    typed = tensor.to(dtype) if tensor.is_floating_point() else tensor
    return typed.clone(memory_format=torch.contiguous_format)
