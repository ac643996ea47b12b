"""Times channels innermost in the weights of convolutions (channels_last) against channels outermost (contiguous).

`inference` times three networks. `train` times a training step of every shipped network on small images, and prints the
layout in which `train` and `search` train it (`resnext_dsl.devices.memory_format`). It then times resnext50_32x4d in
that layout against torchvision's module as its constructor makes it, in one thread and in two.

python benchmarks/layout.py [inference|train] [network ...]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from forward import models, paired
from forward import training_step as classifier_step
from timing import interleaved, interval, line, machine
from torch import Tensor, nn

import resnext_dsl as rx
from resnext_dsl.devices.memory_format import CHANNELS_LAST, laid_out, training_layout
from resnext_dsl.foundation.diagnostics import ArchError

NAMES = ("resnext50_32x4d", "resnet50", "mobilenetv2_100")
SPECS = Path(__file__).parent.parent / "specs"
SIZES = (64, 96, 160)
"""Pixels of the images of training steps: the first size that a network accepts, else its own."""
BATCH, ROUNDS = 2, 3
WORST, BEST = 1.02, 0.85
"""Bounds of ratios: every network in the layout of `train` over contiguous; resnext50_32x4d over torchvision's."""


def main(mode: str = "inference", *names: str) -> None:
    """Prints the figures."""
    if mode == "inference":
        print(machine())
        inferences(names or NAMES)
        return
    torch.set_num_threads(1)
    print(machine())
    training_steps(names or sorted(path.stem for path in SPECS.glob("*.arch")))
    for threads in (1, 2):
        against_torchvision(threads)


def inferences(names: Sequence[str]) -> None:
    """A line for each network."""
    for name in names:
        network = rx.load(name)
        innermost = network.compile(mode="inference", seed=0)
        outermost = network.compile(mode="inference", seed=0).to(memory_format=torch.contiguous_format)
        x = torch.randn(4, *network.ir.nodes[0].shape)
        with torch.no_grad():
            ours, theirs = interleaved(15, partial(innermost, x), partial(outermost, x))
        print(line(f"{name}, channels innermost, batch 4", ours, theirs, "outermost"))


def training_steps(names: Sequence[str]) -> None:
    """A line for each network, by CPU time of one thread; then the largest ratio if `train` uses channels_last."""
    largest = 0.0
    for name in names:
        network = small(name)
        x = torch.randn(BATCH, *network.ir.nodes[0].shape, generator=torch.Generator().manual_seed(0))
        steps = [step(network.compile(seed=0, layout=layout), x) for layout in ("channels_last", "contiguous")]
        ratios = paired(*steps, ROUNDS, time.process_time, warm=1)
        median = sorted(ratios)[len(ratios) // 2]
        chosen = training_layout(network.compile(device="meta"), "cpu", "float32")
        if chosen == CHANNELS_LAST:
            largest = max(largest, median)
        print(
            f"{name}, training step, {x.shape[2]}x{x.shape[3]}, batch {BATCH}: channels_last takes {median:.3f} "
            f"({min(ratios):.3f} to {max(ratios):.3f}, {ROUNDS} rounds) of the time of contiguous; `train`: {chosen}",
            flush=True,
        )
    print(f"largest ratio of a network that `train` puts in channels_last: {largest:.3f}")
    print(f"  bound {WORST}: {kept(largest, WORST)}")


def against_torchvision(threads: int) -> None:
    """resnext50_32x4d in the layout of `train` against torchvision's module.

    One thread is timed by CPU time, and two by the clock: threads that wait for each other spin.
    """
    torch.set_num_threads(threads)
    images = torch.randn(BATCH, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    ours, theirs = models("cpu", ours_first=True)
    chosen = training_layout(ours, "cpu", "float32")
    steps = [classifier_step(model, images) for model in (laid_out(ours, chosen), theirs)]
    ratios = paired(*steps, 6, time.process_time if threads == 1 else time.perf_counter, warm=1)
    median, low, high = interval(ratios)
    print(
        f"resnext50_32x4d, training step, 224x224, batch {BATCH}, {threads} threads: {chosen} takes {median:.3f} of "
        f"the time of torchvision's module (95% interval {low:.3f} to {high:.3f}, {len(ratios)} rounds)\n"
        f"  bound {BEST}: {kept(median, BEST)}",
        flush=True,
    )


def small(name: str) -> Any:
    """A shipped network for small images."""
    network = rx.load(name)
    channels, height, _ = network.ir.nodes[0].shape
    for size in SIZES:
        if size < height:
            try:
                return network.at((channels, size, size))
            except ArchError:  # a feature map would vanish, or a head needs its size
                continue
    return network


def step(model: nn.Module, x: Tensor) -> Callable[[], None]:
    """Forward, backward of the mean square of all outputs, and an SGD step."""
    optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-4, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        result = model(x)
        outputs = (result,) if isinstance(result, Tensor) else tuple(result)
        torch.stack([output.square().mean() for output in outputs]).sum().backward()
        optimizer.step()

    return run


def kept(ratio: float, bound: float) -> str:
    """Whether a ratio keeps a bound."""
    return "kept" if ratio <= bound else "NOT kept"


if __name__ == "__main__":
    main(*sys.argv[1:])
