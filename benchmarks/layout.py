"""Times inference with channels innermost in the weights of convolutions, against the other layout.

python benchmarks/layout.py
"""

from __future__ import annotations

from functools import partial

import torch
from timing import interleaved, line, machine

import resnext_dsl as rx

NAMES = ("resnext50_32x4d", "resnet50", "mobilenetv2_100")


def main() -> None:
    """Prints the figures."""
    print(machine())
    for name in NAMES:
        network = rx.load(name)
        innermost = network.compile(mode="inference", seed=0)
        outermost = network.compile(mode="inference", seed=0).to(memory_format=torch.contiguous_format)
        x = torch.randn(4, *network.ir.nodes[0].shape)
        with torch.no_grad():
            ours, theirs = interleaved(15, partial(innermost, x), partial(outermost, x))
        print(line(f"{name}, channels innermost, batch 4", ours, theirs, "outermost"))


if __name__ == "__main__":
    main()
