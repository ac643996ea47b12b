"""Costs as fvcore measures them on a module: the oracle that closed forms are held against."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from resnext_dsl.cost import Cost, NetworkCost
from resnext_dsl.diagnostics import ArchError, Diagnostic
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class Measured:
    """What fvcore counts on a module at batch 1 in eval mode.

    Attributes:
        cost: Totals; `macs` is the part of convolutions and linear layers.
        flops_by_operator: fvcore's own names: conv, linear, batch_norm, ...
    """

    cost: Cost
    flops_by_operator: dict[str, int]


MULTIPLIES = ("conv", "linear", "addmm", "matmul")


def measure(model: nn.Module, shape: Shape) -> Measured:
    """Runs fvcore on a module on the CPU (it fails on meta tensors); the module's mode is put back.

    Args:
        model: The compiled network.
        shape: Input shape without batch.
    """
    training = model.training
    model.eval()
    try:
        with warnings.catch_warnings():
            # fvcore counts on a trace; torch has deprecated tracing, which is no news to who counts.
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=r"`torch\.jit")
            return _counted(model, shape)
    finally:
        model.train(training)


def _counted(model: nn.Module, shape: Shape) -> Measured:
    import torch
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

    example = (torch.zeros(1, *shape),)
    counted = FlopCountAnalysis(model, example).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    by_operator = {name: int(count) for name, count in counted.by_operator().items()}
    activations = ActivationCountAnalysis(model, example)
    activations = activations.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    cost = Cost(
        params=sum(parameter.numel() for parameter in model.parameters()),
        flops=sum(by_operator.values()),
        macs=sum(by_operator.get(name, 0) for name in MULTIPLIES),
        activations=int(activations.total()),
    )
    return Measured(cost, by_operator)


def agree(closed: NetworkCost, measured: Measured) -> None:
    """Holds the closed form against the measurement.

    Raises:
        ArchError: E801 with every figure that differs; that is a mistake of the compiler, not of the spec.
    """
    pairs = [
        (name, getattr(closed, name), getattr(measured.cost, name))
        for name in ("params", "flops", "macs", "activations")
    ]
    wrong = [f"{name} {ours:,} in closed form, {theirs:,} by fvcore" for name, ours, theirs in pairs if ours != theirs]
    if wrong:
        message = f"two counts of the same network differ: {'; '.join(wrong)}"
        raise ArchError([Diagnostic("E801", message, hint="please report this, with the spec")])
