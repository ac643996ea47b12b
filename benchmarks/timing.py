"""Interleaved timing: runs in turn and ratios pair by pair, so that the drift of a machine cancels.

Wall-clock time and CPU time are both taken, child processes included. On a shared machine CPU time leaves out the time
that a run waits for other programs.
"""

from __future__ import annotations

import gc
import random
import resource
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Times(NamedTuple):
    """Milliseconds of one run in each round: wall-clock time and CPU time."""

    passed: list[float]
    processor: list[float]

    @property
    def median(self) -> float:
        """The median of the wall-clock time."""
        return statistics.median(self.passed)

    @property
    def work(self) -> float:
        """The median of the CPU time."""
        return statistics.median(self.processor)


def interleaved(rounds: int, *runs: Callable[[], object]) -> list[Times]:
    """Times of each run in each round, after one warm-up round; every second round has the opposite order."""
    for run in runs:
        run()
    # Objects of the libraries are frozen, so that no run pays for collecting another's.
    gc.collect()
    gc.freeze()
    times = [Times([], []) for _ in runs]
    order = list(zip(runs, times, strict=True))
    for _ in range(rounds):
        for run, taken in order:
            start, before = time.perf_counter(), processor_time()
            run()
            taken.processor.append(1000 * (processor_time() - before))
            taken.passed.append(1000 * (time.perf_counter() - start))
        order.reverse()
    return times


def processor_time() -> float:
    """Seconds of CPU time of this process and of its finished children."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def process(command: Sequence[str], environment: dict[str, str] | None = None) -> Callable[[], object]:
    """A run that starts a process and waits for it."""
    return lambda: subprocess.run(command, check=True, capture_output=True, env=environment)


def line(name: str, ours: Times, peer: Times, peer_name: str) -> str:
    """A line of a report: medians of both, and the median of the ratios."""
    ratios = sorted(a / b for a, b in zip(ours.passed, peer.passed, strict=True))
    low, high = ratios[len(ratios) // 10], ratios[-1 - len(ratios) // 10]
    return (
        f"{name}: {ours.median:.2f} ms ({ours.work:.2f} of the processor), {peer_name}: {peer.median:.2f} ms, "
        f"ratio {statistics.median(ratios):.3f} (10% to 90%: {low:.3f} to {high:.3f}, {len(ratios)} rounds)"
    )


def verdict(ours: Times, limit: float) -> str:
    """Whether a bound in milliseconds is kept, by wall-clock time, else by CPU time."""
    kept = ours.median < limit
    alone = "" if kept else f"; by the processor's time {'kept' if ours.work < limit else 'NOT kept'}"
    return f"  bound {limit:g} ms: {'kept' if kept else 'NOT kept'}{alone}"


def interval(ratios: Sequence[float], draws: int = 2000) -> tuple[float, float, float]:
    """The median of ratios, and the ends of its 95% interval (percentile bootstrap: Efron and Tibshirani 1993)."""
    generator = random.Random(0)
    medians = sorted(statistics.median(generator.choices(ratios, k=len(ratios))) for _ in range(draws))
    return statistics.median(ratios), medians[draws // 40], medians[-1 - draws // 40]


def machine() -> str:
    """The machine and the versions that the figures are for."""
    import os
    import platform

    import torch

    cores = len(os.sched_getaffinity(0))
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{cores} cores, {torch.get_num_threads()} threads, {versions}"
