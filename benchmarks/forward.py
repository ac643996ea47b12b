"""Forward pass and training step of the compiled resnext50_32x4d against torchvision's module: eager, same weights.

python benchmarks/forward.py [cpu|cuda] [rounds]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import torch
from timing import interleaved, line, machine
from torch import nn

import resnext_dsl as rx


def main() -> None:
    """Prints the figures."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from references import reference

    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 20
    peer = reference("resnext50_32x4d").to(device)
    ours = rx.load("resnext50_32x4d").compile(weights=peer.state_dict(), device=device)
    images = torch.randn(8, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
    print(machine(), device)
    for name, prepare in (("forward", forward), ("training step", training_step)):
        runs = [prepare(model, images) for model in (ours, peer)]
        times = interleaved(rounds, *runs)
        print(line(f"{name}, batch {len(images)}", times[0], times[1], "torchvision"))


def forward(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """One inference."""
    model = model.eval()

    def run() -> None:
        with torch.inference_mode():
            model(images)
        settle(images)

    return run


def training_step(model: nn.Module, images: torch.Tensor) -> Callable[[], object]:
    """Forward, backward and an SGD step."""
    model = model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4, momentum=0.9)
    labels = torch.arange(len(images), device=images.device)

    def run() -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        settle(images)

    return run


def settle(images: torch.Tensor) -> None:
    """Waits for the device, so that the time is that of the work."""
    if images.is_cuda:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
