"""Imports the networks of a list and compares them with their sources.

Usage: `python tests/support/import_sweep.py [--numbers] [--small] [NAME ...]`. With `--numbers`, costs, outputs and
gradients are compared; with `--small`, images have 128x128 pixels.
"""

from __future__ import annotations

import sys
import time
import traceback
from pathlib import Path
from typing import Any

from import_oracle import differences
from references import fill, timm

import resnext_dsl as rx
from resnext_dsl.importing.module_reading import read_module

LIST = Path(__file__).parents[2] / "tests" / "data" / "import_models.csv"


UNCOUNTED = frozenset({"convmixer_768_32"})
"""Networks whose convolutions fvcore does not count, because their padding is a word."""


def names() -> list[str]:
    """The networks of the list."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [line.split(",")[0] for line in lines if line and not line.startswith("#")]


def swept(name: str, numbers: bool) -> str:
    """The result for one network."""
    model = timm.create_model(name, pretrained=False)
    fill(model, 0)
    model.eval()
    size = (3, 128, 128) if "--small" in sys.argv else model.default_cfg["input_size"]
    start = time.perf_counter()
    try:
        lowered = read_module(model, size, name, f"timm:{name} (timm {timm.__version__})")
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
