"""Imports the networks of a list and compares them with their sources: `python tests/support/import_sweep.py [NAME ...]`."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from references import fill, timm

import resnext_dsl as rx
from resnext_dsl.compiler.torch_module import build
from resnext_dsl.costs.closed_form import cost_of
from resnext_dsl.importing.carried_weights import our_state
from resnext_dsl.importing.lowering import Lowered
from resnext_dsl.importing.module_reading import read_module

LIST = Path(__file__).parents[2] / "tests" / "data" / "import_models.csv"


def names() -> list[str]:
    """The networks of the list."""
    lines = LIST.read_text(encoding="utf-8").splitlines()
    return [line.split(",")[0] for line in lines if line and not line.startswith("#")]


def imported(lowered: Lowered) -> torch.nn.Module:
    """The compiled module of a graph with the weights of its source."""
    module = build(lowered.graph, form="written", mode="train")
    missing, unexpected = module.load_state_dict(our_state(lowered), strict=False)
    assert not unexpected, unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing), missing
    return module


def deviation(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference relative to the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def compared(model: torch.nn.Module, lowered: Lowered, size: tuple[int, ...]) -> Iterator[str]:
    """What differs between a source and its import."""
    theirs = sum(parameter.numel() for parameter in model.parameters())
    cost = cost_of(lowered.graph)
    if cost.params != theirs:
        yield f"params {cost.params} and not {theirs}"
    module = imported(lowered)
    image = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for training in (False, True):
            torch.manual_seed(0)
            expected = model.train(training)(image)
            torch.manual_seed(0)
            result = module.train(training)(image)
            difference = deviation(result, expected)
            if not difference < 1e-5:
                yield f"outputs differ by {difference:.1e} ({'training' if training else 'eval'})"


def swept(name: str, numbers: bool) -> str:
    """The result for one network."""
    model = timm.create_model(name, pretrained=False)
    fill(model, 0)
    model.eval()
    size: tuple[int, ...] = model.default_cfg["input_size"]
    start = time.perf_counter()
    try:
        lowered = read_module(model, size, name, f"timm:{name} (timm {timm.__version__})")
    except rx.ArchError as problem:
        return "refused\n" + "\n".join(f"    {one.headline()}" for one in problem.diagnostics[:8])
    seconds = time.perf_counter() - start
    differences = list(compared(model, lowered, size)) if numbers else []
    return f"lowered {len(lowered.graph.nodes)} nodes, {seconds:.2f} s" if not differences else f"WRONG {differences}"


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
