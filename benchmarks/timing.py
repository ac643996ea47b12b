"""Interleaved timing: two things in turn and ratios pair by pair, so that a machine that drifts does not decide."""

from __future__ import annotations

import gc
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence


def interleaved(rounds: int, *runs: Callable[[], object]) -> list[list[float]]:
    """Seconds of each run in each round, after one warm-up round."""
    for run in runs:
        run()
    # What the libraries hold is out of the collector's way, so that no run pays for another's objects.
    gc.collect()
    gc.freeze()
    times: list[list[float]] = [[] for _ in runs]
    for _ in range(rounds):
        for run, taken in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            taken.append(time.perf_counter() - start)
    return times


def process(command: Sequence[str]) -> Callable[[], object]:
    """A run that starts a process and waits for it."""
    return lambda: subprocess.run(command, check=True, capture_output=True)


def line(name: str, ours: list[float], peer: list[float], peer_name: str) -> str:
    """A line of a report: both medians and the median of the ratios."""
    ratio = statistics.median(a / b for a, b in zip(ours, peer, strict=True))
    spread = sorted(a / b for a, b in zip(ours, peer, strict=True))
    low, high = spread[len(spread) // 10], spread[-1 - len(spread) // 10]
    return (
        f"{name}: {1000 * statistics.median(ours):.2f} ms, {peer_name}: {1000 * statistics.median(peer):.2f} ms, "
        f"ratio {ratio:.3f} (10% to 90%: {low:.3f} to {high:.3f}, {len(ours)} rounds)"
    )


def machine() -> str:
    """What the figures were measured on."""
    import os
    import platform

    import torch

    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{cores} cores, {torch.get_num_threads()} threads, {versions}"
