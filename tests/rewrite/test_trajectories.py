"""A form that only moves parameters trains the same way: the same losses, step by step, under each optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
import torch
from torch import nn

import resnext_dsl as rx

SPEC = """
network net {
    input image: 3x12x12
    template path_(d, c, stride) { conv(d, 1x1); bn; relu; conv(d, 3x3, stride=stride); bn; relu; conv(c, 1x1) }
    stem { conv(16, 3x3); bn; relu }
    stage s repeat 2 { residual { split 4 { path_(4, 32, first(2, 1)) } merge add; bn }; relu }
    head { avgpool(global); flatten; linear(5) }
}
"""

OPTIMIZERS: dict[str, Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer]] = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-2, weight_decay=1e-3),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-2),
}


def losses(model: nn.Module, make: Callable[..., torch.optim.Optimizer], steps: int = 12) -> list[float]:
    """The loss of every step on the same batches."""
    generator = torch.Generator().manual_seed(0)
    optimizer = make(model.parameters())
    history = []
    for _ in range(steps):
        x = torch.randn(8, 3, 12, 12, generator=generator, dtype=torch.float64)
        y = torch.randint(5, (8,), generator=generator)
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    return history


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_form_has_the_same_losses(optimizer: str) -> None:
    network = rx.loads(SPEC)
    history = {
        form: losses(network.compile(form=form, seed=0, dtype=torch.float64), OPTIMIZERS[optimizer])
        for form in ("written", "a", "b", "c", "fastest")
    }
    assert history["written"][0] != history["written"][-1]
    for form, values in history.items():
        assert values == pytest.approx(history["written"], rel=1e-8), form
