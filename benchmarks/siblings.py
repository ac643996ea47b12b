"""Times convolutions that read one value: joined into one whose result is sliced, against each by itself.

python benchmarks/siblings.py
"""

from __future__ import annotations

from functools import partial

import torch
from timing import interleaved, line, machine

import resnext_dsl as rx
from resnext_dsl.compiler.torch_module import build

NAMES = ("googlenet", "inception_v3", "inception_v4")


def main() -> None:
    """Prints the figures."""
    print(machine())
    for name in NAMES:
        network = rx.load(name)
        apart = build(network.ir, network.init, mode="inference", seed=0)
        together = build(network.ir, network.init, mode="inference", seed=0, siblings=True)
        x = torch.randn(4, *network.ir.nodes[0].shape)
        with torch.no_grad():
            torch.testing.assert_close(together(x), apart(x), rtol=1e-3, atol=1e-3)
            ours, theirs = interleaved(15, partial(together, x), partial(apart, x))
        print(line(f"{name}, siblings as one, batch 4", ours, theirs, "apart"))


if __name__ == "__main__":
    main()
