"""Imports the networks of a list and compares them with their sources.

Usage: `python tests/support/import_sweep.py [--numbers] [--small] [NAME or torchvision:NAME ...]`. With `--numbers`, costs, outputs and
gradients are compared. With `--torchvision`, the convolutional networks of torchvision are read. With `--small`, images have 128x128 pixels.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from typing import Any

from import_oracle import differences
from references import fill, timm, torchvision

import resnext_dsl as rx
from resnext_dsl.importing.module_reading import read_module

LIST = Path(__file__).parents[2] / "tests" / "data" / "import_models.csv"


UNCOUNTED = frozenset({"convmixer_768_32"})
"""Networks whose convolutions fvcore does not count, because their padding is a word."""


LARGE = frozenset({"inception_v3"})
"""Networks that need images of their own size."""


def names() -> list[str]:
    """The networks of the list."""
    if "--torchvision" in sys.argv:
        listed = torchvision.models.list_models(torchvision.models)
        return [f"torchvision:{name}" for name in listed if not name.startswith(("vit", "swin", "maxvit"))]
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [line.split(",")[0] for line in lines if line and not line.startswith("#")]


def swept(name: str, numbers: bool) -> str:
    """The result for one network."""
    library, _, network = name.rpartition(":")
    if library == "torchvision":
        model, size = torchvision.models.get_model(network, weights=None), (3, 224, 224)
    else:
        model = timm.create_model(network, pretrained=False)
        size = model.default_cfg["input_size"]
    fill(model, 0)
    model.eval()
    size = (3, 128, 128) if "--small" in sys.argv and network not in LARGE else size
    start = time.perf_counter()
    try:
        lowered = read_module(model, size, network, f"{library or 'timm'}:{network}")
    except rx.ArchError as problem:
        return "refused\n" + "\n".join(f"    {one.headline()}" for one in problem.diagnostics[:8])
    seconds = time.perf_counter() - start
    wrong = list(differences(model, lowered, size, counted=name not in UNCOUNTED)) if numbers else []
    return f"lowered {len(lowered.graph.nodes)} nodes, {seconds:.2f} s" if not wrong else f"WRONG {wrong}"


def main(arguments: list[str]) -> None:
    """Prints a line for each network."""
    numbers = "--numbers" in arguments
    chosen: list[Any] = [argument for argument in arguments if not argument.startswith("-")] or names()
    for name in chosen:
        try:
            print(name, swept(name, numbers), flush=True)
        except Exception:
            print(name, "FAILED", "".join(traceback.format_exc().splitlines(keepends=True)[-7:]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
