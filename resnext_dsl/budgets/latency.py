"""Times a network's inference on a device of this machine. Functions import torch when called."""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from resnext_dsl.devices.device_locks import exclusive
from resnext_dsl.devices.run_time import run_seconds
from resnext_dsl.devices.torch_device import device_name, device_of
from resnext_dsl.foundation.diagnostics import Span, error
from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

    from resnext_dsl.budgets.measures import Measurable
    from resnext_dsl.operators.base import Shape

WARM_UP_RUNS, WARM_UP_SECONDS = 3, 0.3
"""The fewest runs and seconds of the warm-up, which fills caches, raises clocks and selects kernels.

The seconds start after the very first run, which loads libraries and may take longer than the warm-up on a GPU.
"""
LEAST_RUNS, MOST_RUNS, SECONDS = 10, 200, 2.0
"""Bounds of the runs that count; the runs end after `SECONDS` between the two bounds."""


class Timing(NamedTuple):
    """The time of one inference, and the conditions of the measurement.

    Attributes:
        median, low, high: Seconds: the median of all runs, and the quartiles around it.
        machine: Name, system and architecture.
        device: The name of the processor or accelerator.
        threads: Threads that torch uses within an operator, on the CPU.
        layout: The memory format of the weights.
        settings: Further settings of a GPU: TF32, cudnn.benchmark, cuDNN's version; empty on a CPU.
    """

    median: float
    low: float
    high: float
    runs: int
    machine: str
    device: str
    threads: int
    torch: str
    dtype: str
    batch: int
    input: Shape
    layout: str = ""
    settings: Mapping[str, str] = MappingProxyType({})

    def to_json(self) -> dict[str, object]:
        """The fields by name."""
        return self._asdict() | {"input": list(self.input), "settings": dict(self.settings)}


def latency(network: Measurable, device: str, batch: int, dtype: str, span: Span) -> Timing:
    """Times the inference of a compiled network, in eval mode, on random input that is already on the device.

    Args:
        network: The network, with the input shape to time.
        device: "cpu", "cuda" or "cuda:N".
        batch: Samples of a run.
        dtype: The name of a torch dtype.
        span: The limit of the latency, for errors.

    Raises:
        ArchError: E603 if this machine does not have the device, or cannot run the network on it.
    """
    import torch

    from resnext_dsl.devices.float32_precision import settings_of
    from resnext_dsl.devices.memory_format import layout_in

    place = device_of(device, span)
    try:
        model = network.compile(mode="inference", device=place, dtype=getattr(torch, dtype), seed=0)
        times = _inferences(model, place, (batch, *network.ir.nodes[0].shape), getattr(torch, dtype))
    except (RuntimeError, MemoryError) as problem:
        reason = (str(problem).splitlines() or [type(problem).__name__])[0]
        message = f"batch {batch} in {dtype} does not run on {device}: {reason[:200]}"
        raise error("E603", message, span) from None
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    machine = f"{platform.node()}, {platform.system()} {platform.machine()}"
    shape = network.ir.nodes[0].shape
    used = (machine, device_name(place), torch.get_num_threads(), torch.__version__, dtype, batch, shape)
    return Timing(median, low, high, len(times), *used, layout_in(model), settings_of(place))


def _inferences(model: nn.Module, place: torch.device, shape: Shape, dtype: torch.dtype) -> list[float]:
    """Seconds of each inference that counts."""
    import torch

    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(place, dtype)
    with torch.inference_mode(), exclusive(str(place)):
        return _times(lambda: model(images), place)


def _times(run: Callable[[], object], place: torch.device) -> list[float]:
    """Seconds of each run that counts."""
    run_seconds(run, place)
    start, warm = time.perf_counter(), 0
    while warm < WARM_UP_RUNS or time.perf_counter() - start < WARM_UP_SECONDS:
        run_seconds(run, place)
        warm += 1
    start = time.perf_counter()
    times: list[float] = []
    while len(times) < LEAST_RUNS or (len(times) < MOST_RUNS and time.perf_counter() - start < SECONDS):
        times.append(run_seconds(run, place))
    return times
