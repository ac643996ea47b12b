"""Times on a device: CUDA events on a GPU, the clock on the CPU; interleaved rounds with ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch

from benchmarks.gpu.device import synchronize

Step = Callable[[], object]


class Spread(NamedTuple):
    """The median of some numbers, and their quartiles."""

    median: float
    low: float
    high: float

    def text(self, digits: int = 3) -> str:
        """As it is printed: `1.023 (1.019 to 1.031)`."""
        return f"{self.median:.{digits}f} ({self.low:.{digits}f} to {self.high:.{digits}f})"


def spread(numbers: list[float]) -> Spread:
    """The median and the quartiles."""
    if len(numbers) == 1:
        return Spread(numbers[0], numbers[0], numbers[0])
    low, middle, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(middle, low, high)


def seconds_of(step: Step, device: torch.device, times: int = 1) -> float:
    """Seconds of one call of a step, the mean of `times` calls that follow one another without a wait.

    On a GPU it is the time between two events on the device. If the host is slower than the device, as it is at batch
    1 in eager mode, it is the time that the host takes to launch a call.
    """
    synchronize(device)
    if device.type != "cuda":
        start = time.perf_counter()
        for _ in range(times):
            step()
        return (time.perf_counter() - start) / times
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(times):
        step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000 / times


def calls_for(step: Step, device: torch.device, seconds: float, most: int = 1000) -> int:
    """How many calls of a step take some seconds, after a first call that loads and chooses kernels."""
    step()
    one = seconds_of(step, device, 2)
    return max(1, min(most, round(seconds / max(one, 1e-7))))


def interleaved(
    steps: Mapping[str, Step], device: torch.device, rounds: int, seconds: float, ends: float
) -> dict[str, list[float]]:
    """Seconds of a call of each step in each round; each round begins with another step.

    Args:
        steps: What is timed, by name; the first is the base of the ratios.
        device: Where it runs.
        rounds: The most rounds.
        seconds: How long one turn of a step lasts.
        ends: When no more rounds begin, by `time.monotonic`; one round is always made.
    """
    calls = {name: calls_for(step, device, seconds) for name, step in steps.items()}
    taken: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for _ in range(rounds):
        for name in order:
            steps[name]()  # caches are as another step has left them
            taken[name].append(seconds_of(steps[name], device, calls[name]))
        order = [*order[1:], order[0]]
        if time.monotonic() > ends:
            break
    return taken


def ratios(taken: Mapping[str, list[float]]) -> dict[str, Spread]:
    """The time of each step over that of the first one, round by round."""
    base = next(iter(taken.values()))
    return {name: spread([a / b for a, b in zip(times, base, strict=True)]) for name, times in taken.items()}
