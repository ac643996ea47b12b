"""The seconds of one run on a device: by the wall clock on a CPU, by events on a GPU."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def run_seconds(run: Callable[[], object], place: torch.device) -> float:
    """Runs once and gives the seconds that the device takes."""
    return cuda_seconds(run, place) if place.type == "cuda" else wall_seconds(run)


def wall_seconds(run: Callable[[], object]) -> float:
    """Seconds of the wall clock, for a run that is over when the call returns."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def cuda_seconds(run: Callable[[], object], place: torch.device) -> float:
    """Seconds between two events on the GPU. They do not include the time until the host learns of the end."""
    import torch

    with torch.cuda.device(place):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
        start.record()
        run()
        end.record()
        end.synchronize()
    return float(start.elapsed_time(end)) / 1000  # it counts milliseconds
