"""The floors of a card, measured: bytes a second of a copy, FLOPs a second of a product in bfloat16."""

from __future__ import annotations

from typing import NamedTuple

import torch

from benchmarks.gpu.run import Run
from benchmarks.gpu.timing import Step, calls_for, seconds_of, spread

ROUNDS = 7
COPY_BYTES = 2**30
PRODUCT = 8192
"""Rows and columns of the matrices that are multiplied."""


class Floors(NamedTuple):
    """The largest rates of a card.

    Attributes:
        bytes_per_second: Read and written by a copy.
        flops_per_second: Of a product of bf16 matrices, two for each multiply-add.
    """

    bytes_per_second: float
    flops_per_second: float

    def seconds(self, moved: int, flops: int) -> tuple[float, float]:
        """The least seconds for moving bytes and for computing FLOPs."""
        return moved / self.bytes_per_second, flops / self.flops_per_second


def measured_floors(run: Run) -> Floors:
    """Measures the floors: the fastest of some rounds of each."""
    size = run.size(COPY_BYTES, 2**16)
    source = torch.zeros(size, dtype=torch.uint8, device=run.device)
    target = torch.empty_like(source)
    copied = _rounds(run, lambda: target.copy_(source))
    rows = run.size(PRODUCT, 64)
    left, right = (torch.randn(rows, rows, device=run.device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(left)
    multiplied = _rounds(run, lambda: torch.mm(left, right, out=product))
    run.measured("floors", table="floors", copy_bytes=size, copy=copied, product_rows=rows, product=multiplied)
    return Floors(2 * size / min(copied), 2 * rows**3 / min(multiplied))


def _rounds(run: Run, step: Step) -> list[float]:
    calls = calls_for(step, run.device, 0.05 if run.cuda else 0.0)
    return [seconds_of(step, run.device, calls) for _ in range(run.size(ROUNDS, 1))]


def floors(run: Run) -> None:
    """A line for each floor."""
    if not run.bf16:
        run.left_out("a product in bfloat16", "this card is older than sm_80")
        return
    found = measured_floors(run)
    run.check("a copy", True, f"{found.bytes_per_second / 1e9:.0f} GB/s read and written", gpu_only=True)
    run.check("a product in bfloat16", True, f"{found.flops_per_second / 1e12:.0f} TFLOP/s", gpu_only=True)
    again = spread([measured_floors(run).bytes_per_second / found.bytes_per_second for _ in range(run.size(3, 1))])
    run.check("a copy, measured again", True, f"ratio {again.text()}", gpu_only=True)
