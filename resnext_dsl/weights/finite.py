"""Finds tensors of a checkpoint with NaN or infinite values."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from resnext_dsl.foundation.diagnostics import Diagnostic
from resnext_dsl.weights.shown import shown

MAX_NAMED_TENSORS = 4


def not_finite(state: Mapping[str, Tensor], file: str) -> list[Diagnostic]:
    """W912 with the names of the tensors that have values which are not finite; empty if all values are finite."""
    sums = {key: _sum(tensor) for key, tensor in state.items() if _has_values(tensor)}
    if not sums or torch.stack(list(sums.values())).isfinite().all():
        return []
    counts = {key: _count(state[key]) for key, total in sums.items() if not total.isfinite()}
    counts = {key: count for key, count in counts.items() if count}
    if not counts:
        return []
    named = [
        f"`{shown(key)}` ({count:,} of {state[key].numel():,})"
        for key, count in list(counts.items())[:MAX_NAMED_TENSORS]
    ]
    more = f" and {len(counts) - MAX_NAMED_TENSORS} more tensors" if len(counts) > MAX_NAMED_TENSORS else ""
    message = f"the checkpoint has values that are NaN or infinite: {', '.join(named)}{more}"
    hint = "a training that diverged leaves such values; take an earlier checkpoint"
    return [Diagnostic("W912", message, hint=hint, file=file, severity="warning")]


def _has_values(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and not tensor.is_meta and tensor.numel() > 0


def _sum(tensor: Tensor) -> Tensor:
    """The sum, which is not finite if a value is not: NaN and infinity carry on. A sum of huge values may overflow."""
    return tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32)).double().cpu()


def _count(tensor: Tensor) -> int:
    return int((~tensor.isfinite()).sum())
