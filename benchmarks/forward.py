"""Times forward pass and training step of the compiled resnext50_32x4d against torchvision's module, in eager mode.

Both have the same weights. The bound is 2%, and a shared machine is noisier than that. So the two run in turn on one or
two images, in one thread, and CPU time is compared (on a GPU: wall-clock time). Each ratio is of four runs, ours,
theirs, theirs, ours, in which a steady drift cancels. The place of their memory makes a difference too, so both are
built again for every group of rounds, in changing order.

python benchmarks/forward.py [cpu|cuda] [rounds]
"""

from __future__ import annotations

import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from timing import interval, machine
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import resnext_dsl as rx

GROUPS = 4
LIMIT = 1.02


def main() -> None:
    """Prints the figures."""
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 40
    torch.set_num_threads(1)
    print(machine(), device)
    for name, prepare, batch in (("forward", forward, 1), ("training step", training_step, 2)):
        images = torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(0)).to(device)
        ratios: list[float] = []
        for group in range(GROUPS):
            ours, theirs = (prepare(model, images) for model in models(device, ours_first=group % 2 == 0))
            ratios += paired(ours, theirs, rounds // GROUPS, clock_of(device))
        median, low, high = interval(ratios)
        kept = "kept" if high < LIMIT else "NOT kept" if low > LIMIT else "open"
        print(
            f"{name}, batch {batch}: ratio to torchvision {median:.3f} (95% interval {low:.3f} to {high:.3f}, "
            f"{len(ratios)} rounds)\n  bound {LIMIT}: {kept}"
        )
    print(f"operators that torch runs in a training step: {difference()}")


def models(device: str, ours_first: bool) -> tuple[nn.Module, nn.Module]:
    """Our module and torchvision's with the same weights."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
    from references import reference

    if ours_first:
        ours = rx.load("resnext50_32x4d").compile(device=device)
        theirs = reference("resnext50_32x4d").to(device)
    else:
        theirs = reference("resnext50_32x4d").to(device)
        ours = rx.load("resnext50_32x4d").compile(device=device)
    with torch.no_grad():
        for mine, other in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
            mine.copy_(other)
    return ours, theirs


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
    """Waits for the device, so that the time includes its work."""
    if images.is_cuda:
        torch.cuda.synchronize()


def clock_of(device: str) -> Callable[[], float]:
    """CPU time of this process; on another device wall-clock time."""
    return time.process_time if device == "cpu" else time.perf_counter


def paired(
    ours: Callable[[], object], theirs: Callable[[], object], rounds: int, clock: Callable[[], float], warm: int = 3
) -> list[float]:
    """The ratio of our time to theirs in each round of four runs, two each, after `warm` warm-up runs of each."""
    for run in itertools.chain.from_iterable(itertools.repeat((ours, theirs), warm)):
        run()
    ratios = []
    for _ in range(rounds):
        times = []
        for run in (ours, theirs, theirs, ours):
            start = clock()
            run()
            times.append(clock() - start)
        ratios.append((times[0] + times[3]) / (times[1] + times[2]))
    return ratios


class Calls(TorchDispatchMode):
    """Counts the operators that torch runs."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):  # type: ignore[no-untyped-def]
        self.counts[str(function)] += 1
        return function(*arguments, **(keywords or {}))


def difference() -> str:
    """The differences between the operators of our training step and torchvision's."""
    counts = []
    for model in models("cpu", ours_first=True):
        step = training_step(model, torch.randn(2, 3, 64, 64))
        with Calls() as calls:
            step()
        counts.append(calls.counts)
    more, fewer = counts[0] - counts[1], counts[1] - counts[0]
    changed = [f"{count} more {name}" for name, count in more.items()]
    changed += [f"{count} fewer {name}" for name, count in fewer.items()]
    return f"{counts[0].total()}, torchvision {counts[1].total()}; {', '.join(changed) or 'the same'}"


if __name__ == "__main__":
    main()
