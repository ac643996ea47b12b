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
    counts = {key: _count(tensor) for key, tensor in state.items() if not _is_finite(tensor)}
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


def _is_finite(tensor: Tensor) -> bool:
    """False if a value is not finite, and for a few tensors of huge values: the sum carries NaN and infinity on."""
    if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
        return True
    kind = torch.promote_types(tensor.dtype, torch.float32)
    return bool(tensor.sum(dtype=kind).isfinite())


def _count(tensor: Tensor) -> int:
    return int((~tensor.isfinite()).sum())
