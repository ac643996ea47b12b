"""Times loading the weights of resnext101_64x4d against torch.load and load_state_dict into torchvision's module.

Both sides read the same file and fill a module that exists. Ours also matches the keys, decides among layers that could
be exchanged, and looks for values that are not finite.

python benchmarks/loading.py [rounds]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import torch
from timing import interleaved, line, machine

import resnext_dsl as rx
from resnext_dsl.importing.libraries import declare_missing_operators
from resnext_dsl.weights import load_weights

DECLARED = declare_missing_operators()

import torchvision  # noqa: E402  (its operators come first)

NAME = "resnext101_64x4d"


def main() -> None:
    """Prints the figures."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    print(machine())
    reference = torchvision.models.get_model(NAME)
    network = rx.load(NAME)
    model = network.compile(form="written")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{NAME}.pth"
        torch.save(reference.state_dict(), file)

        def ours() -> None:
            load_weights(model, file, network.ir)

        def theirs() -> None:
            reference.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))

        mine, peer = interleaved(rounds, ours, theirs)
    print(line(f"weights of {NAME}", mine, peer, "torch.load and load_state_dict"))


if __name__ == "__main__":
    main()
