"""Evaluators of searches: `benchmarks.gpu.evaluators:NAME`.

One trains on noise, to keep the device busy. The other has a fault in each of its first two calls, which create a file
each; later calls are evaluated. On the CPU it raises the errors by hand, so that a dry run takes the same way.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

BATCH = 256


def trains_on_noise(model: Any, candidate: Any, device: str, seconds: float) -> dict[str, float]:
    """Trains on noise for some seconds; the share of a batch of noise that it knows by heart then."""
    model = model.to(device).train()
    images = torch.randn(BATCH, 1, 8, 8, generator=torch.Generator().manual_seed(0)).to(device)
    labels = torch.arange(BATCH, device=device) % 10
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    ends = time.monotonic() + seconds
    while True:
        scores = model(images)
        optimizer.zero_grad()
        functional.cross_entropy(scores, labels).backward()
        optimizer.step()
        right = float((scores.argmax(1) == labels).float().mean())  # waits for the device
        if time.monotonic() > ends:
            return {"accuracy": right}


def faults_once(model: Any, candidate: Any, mark: str, device: str) -> dict[str, float]:
    """The first call asks for more memory than the card has. The second call breaks the CUDA context of its process."""
    if _first(f"{mark}.memory"):
        if device == "cpu":
            raise torch.OutOfMemoryError("out of memory, raised by hand")
        whole = torch.cuda.get_device_properties(device).total_memory
        torch.empty(2 * whole, dtype=torch.uint8, device=device)
    if _first(f"{mark}.assert"):
        if device == "cpu":
            raise RuntimeError("CUDA error: device-side assert triggered, raised by hand")
        provoke_assert(torch.device(device))
    return _evaluated(model, device)


def provoke_assert(device: torch.device) -> None:
    """Has a kernel fail an assertion, and waits for it."""
    table = torch.zeros(4, device=device)
    table[torch.tensor([9], device=device)].sum().item()


def _first(mark: str) -> bool:
    try:
        Path(mark).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _evaluated(model: Any, device: str) -> dict[str, float]:
    with torch.no_grad():
        score = model.to(device).eval()(torch.ones(2, 1, 8, 8, device=device)).abs().mean()
    return {"accuracy": 1 / (1 + float(score))}
