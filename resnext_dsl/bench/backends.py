"""Opens a subject on a backend, as a function that runs once. Each backend imports its own libraries only."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnext_dsl.bench.peak_memory import Memory, of_device, of_process
from resnext_dsl.bench.variants import BenchSubject, Conditions
from resnext_dsl.devices.memory_format import format_of
from resnext_dsl.devices.run_time import run_seconds, wall_seconds
from resnext_dsl.export.targets import without_telemetry
from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    import torch
    from torch import nn

Once = Callable[[], object]

WARM = 2
"""Runs before the first run that counts."""


class Ready(NamedTuple):
    """A variant that is ready to run.

    Attributes:
        seconds: Runs the variant once and gives the seconds on its device.
        versions: Versions of the libraries that run it.
        memory: Measures the memory of the variant.
        queued: Starts several runs, waits once at the end, and gives the seconds of one run. None if a run is over
            when its call returns.
        warm: Runs before the first run that counts.
    """

    seconds: Callable[[], float]
    versions: dict[str, str]
    memory: Memory
    queued: Callable[[int], float] | None = None
    warm: int = WARM


GRAPHS = "compile-graphs"
"""The backend that records CUDA graphs. It records in its second run, so that it needs more runs to warm up."""

GRAPHS_WARM = 4


def opened(subject: BenchSubject, backend: str, conditions: Conditions, weights: Path, file: Path) -> Ready:
    """Opens a variant. Backends that run the module read `weights`; backends of exported files read `file`."""
    if backend == "onnxruntime":
        return _onnxruntime(subject, conditions, file)
    if backend == "openvino":
        return _openvino(subject, conditions, file)
    return _torch(subject, backend, conditions, weights, file)


def _torch(subject: BenchSubject, backend: str, conditions: Conditions, weights: Path, file: Path) -> Ready:
    import torch

    torch.set_num_threads(conditions.threads)
    place = torch.device(conditions.device)
    images = _images(subject, conditions).to(place)
    if images.dim() == 4 and backend != "aoti":  # a package takes contiguous images, as its example was
        images = images.contiguous(memory_format=format_of(conditions.layout))
    if conditions.mode == "train":
        once = _step(_module(subject, backend, conditions, weights), images)
    else:
        once = _inference(subject, backend, conditions, weights, file, images)
    if backend == GRAPHS:
        once = _in_graphs(once)
    versions, memory = {"torch": str(torch.__version__)}, of_device(place)
    queued = _queued(once, place) if place.type == "cuda" else None
    warm = GRAPHS_WARM if backend == GRAPHS else WARM
    return Ready(lambda: run_seconds(once, place), versions, memory, queued, warm)


def _images(subject: BenchSubject, conditions: Conditions) -> torch.Tensor:
    import torch

    drawn = torch.randn((conditions.batch, *subject.shape), generator=torch.Generator().manual_seed(1))
    return drawn.to(getattr(torch, conditions.dtype))


def _module(subject: BenchSubject, backend: str, conditions: Conditions, weights: Path) -> nn.Module:
    import torch

    from resnext_dsl.bench.subjects import module_of

    model = module_of(subject, conditions, weights)
    if backend == "eager":
        return model
    mode = "reduce-overhead" if backend == GRAPHS else None
    return torch.compile(model, dynamic=False, mode=mode)  # type: ignore[return-value]


def _inference(
    subject: BenchSubject, backend: str, conditions: Conditions, weights: Path, file: Path, images: torch.Tensor
) -> Once:
    import torch

    if backend == "aoti":
        from resnext_dsl.export.aoti import loaded

        run: Callable[[torch.Tensor], object] = loaded(file, conditions.device)
    else:
        run = _module(subject, backend, conditions, weights).requires_grad_(False)
        if backend != "eager":
            _compile_frozen(run, images)
    guard = torch.inference_mode if backend == "eager" else torch.no_grad

    def once() -> object:
        with guard():
            return run(images)

    return once


def _compile_frozen(run: Callable[[torch.Tensor], object], images: torch.Tensor) -> None:
    """Compiles with weights as constants, which Inductor lays out for the processor.

    The settings are global: options of `torch.compile` would take effect after Dynamo has made the weights inputs, and
    Inductor would freeze nothing. Inductor discards the module's own copies of the weights, so that no peak counts
    them.
    """
    import torch
    from torch._inductor import config

    with torch.no_grad(), config.patch(freezing=True, freezing_discard_parameters=True):
        run(images)


def _in_graphs(once: Once) -> Once:
    """Marks the beginning of each run for torch: it may then overwrite the outputs of the run before."""
    import torch

    def marked() -> object:
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        return once()

    return marked


def _step(model: nn.Module, images: torch.Tensor) -> Once:
    """A training step: forward, backward and SGD with momentum, on the mean square of every output."""
    import torch

    from resnext_dsl.export.interface import outputs_of

    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def once() -> None:
        optimizer.zero_grad()
        loss = sum(output.square().mean() for output in outputs_of(model(images)))
        loss.backward()  # type: ignore[union-attr]
        optimizer.step()

    return once


def _queued(once: Once, place: torch.device) -> Callable[[int], float]:
    """Seconds of one run among several. The host waits for the device once, after the last run."""
    import torch

    def seconds(count: int) -> float:
        torch.cuda.synchronize(place)
        start = time.perf_counter()
        for _ in range(count):
            once()
        torch.cuda.synchronize(place)
        return (time.perf_counter() - start) / count

    return seconds


def _numbers(subject: BenchSubject, conditions: Conditions, dtype: str) -> Any:
    import numpy

    drawn = numpy.random.default_rng(1).standard_normal((conditions.batch, *subject.shape), dtype="float32")
    return drawn.astype(dtype)


def _onnxruntime(subject: BenchSubject, conditions: Conditions, file: Path) -> Ready:
    with without_telemetry():
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = conditions.threads
        options.log_severity_level = 3  # errors
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: _numbers(subject, conditions, conditions.dtype)}
    versions = {"onnxruntime": onnxruntime.__version__}
    return Ready(lambda: wall_seconds(lambda: session.run(None, feed)), versions, of_process())


_PRECISION = {"float32": "f32", "bfloat16": "bf16", "float16": "f16"}


def _openvino(subject: BenchSubject, conditions: Conditions, file: Path) -> Ready:
    with without_telemetry():
        import openvino

    options = {
        "INFERENCE_PRECISION_HINT": _PRECISION[conditions.dtype],
        "INFERENCE_NUM_THREADS": conditions.threads,
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = openvino.Core().compile_model(file, "CPU", options).create_infer_request()
    images = _numbers(subject, conditions, "float32")

    def once() -> object:
        return request.infer({0: images}, share_inputs=True, share_outputs=True)

    return Ready(lambda: wall_seconds(once), {"openvino": openvino.__version__.partition("-")[0]}, of_process())
