"""Whole networks with our kernels, beside ResNet of the same depth and beside torch's kernels, in bf16.

The goal is a ratio to ResNet's own best setting: ResNeXt-101 32x4d against ResNet-101, in training and in inference.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import Any, NamedTuple

import torch

from benchmarks.gpu.device import release
from benchmarks.gpu.kernels.processes import started
from benchmarks.gpu.networks import images, settled
from benchmarks.gpu.run import Run
from benchmarks.gpu.timing import Step, interleaved, ratios, spread
from benchmarks.gpu.truth.training import Step as TrainingStep
from benchmarks.gpu.truth.training import labels
from benchmarks.gpu.worker import end_with_parent
from resnext_dsl.kernels.choice_table import CACHE_VARIABLE

BATCHES = {"inference": 256, "train": 128}

BASES = {"resnext101_32x4d": "resnet101", "resnext50_32x4d": "resnet50"}
"""The ResNet that a network is compared with; others are compared with themselves on torch's kernels."""

NETWORKS = ("resnext101_32x4d", "regnetx_032", "regnety_032", "resnext50_32x4d")


class Way(NamedTuple):
    """One way to run a network.

    Attributes:
        network: Its name.
        kernels: "torch" or "auto".
        layout: The memory format.
        compiled: Whether torch.compile compiles it.
    """

    network: str
    kernels: str
    layout: str
    compiled: bool

    def text(self) -> str:
        """The way as it is printed."""
        how = "torch.compile" if self.compiled else "eager"
        return f"{self.network}, {self.kernels} kernels, {self.layout}, {how}"


def ways(network: str, compiled: bool) -> list[Way]:
    """The ways of a network; the first is the base of the ratios. Compiling takes a minute, so there are two ways."""
    base = BASES.get(network)
    ours, torchs = (Way(network, kernels, "channels_last", compiled) for kernels in ("auto", "torch"))
    if base:
        chosen = [Way(base, "torch", "channels_last", compiled), ours, torchs]
    else:
        chosen = [Way(network, "torch", "contiguous", compiled), ours, torchs]
    return chosen[:2] if compiled else chosen


COMPILED = (("inference", "resnext101_32x4d"), ("train", "resnext101_32x4d"), ("inference", "regnetx_032"))
"""The cases of torch.compile."""


def eager(run: Run) -> None:
    """All networks in eager mode."""
    _all(run, compiled=False, needed=4.0)


def compiled(run: Run) -> None:
    """All networks compiled by torch.compile."""
    _all(run, compiled=True, needed=20.0)


def compiling_ahead() -> list[subprocess.Popen[str]]:
    """Starts processes that fill the cache of torch.compile. What they measure of kernels goes to a scratch folder."""
    scratch = tempfile.mkdtemp(prefix="kernels-")
    environment = {**os.environ, CACHE_VARIABLE: scratch}
    environment["TORCHINDUCTOR_COMPILE_THREADS"] = "4"
    module = "benchmarks.gpu.kernels.network_times"
    cases = [(mode, *way[:3]) for mode, name in COMPILED for way in ways(name, compiled=True)]
    return [started(module, *case, environment=environment) for case in cases]


def _all(run: Run, compiled: bool, needed: float) -> None:
    if not run.cuda or not run.bf16:
        run.left_out("networks", "no GPU that computes in bfloat16")
        return
    torch.backends.cudnn.benchmark = True
    for mode, name in COMPILED if compiled else [(mode, name) for name in NETWORKS for mode in BATCHES]:
        what = f"{name}, {mode}, batch {BATCHES[mode]}"
        if run.time_for(what, needed):
            with run.item(what):
                _case(run, ways(name, compiled), mode, what)
        torch.compiler.reset()
        release(run.device)


def _case(run: Run, chosen: list[Way], mode: str, what: str) -> None:
    steps: dict[str, Step] = {}
    for way in chosen:
        begun = time.monotonic()
        step = ready(run.device, way, mode)
        step()
        steps[way.text()] = step
        if way.compiled:
            run.measured(what, table="compiled in", way=way.text(), seconds=time.monotonic() - begun)
    taken = interleaved(steps, run.device, 7, 0.1, min(run.ends, time.monotonic() + 6))
    compared = ratios(taken)
    for name, times in taken.items():
        run.measured(
            what,
            table="kernel networks",
            way=name,
            mode=mode,
            batch=BATCHES[mode],
            seconds=spread(times)._asdict(),
            rounds=times,
            ratio=compared[name]._asdict(),
        )
    base, *others = taken
    said = "; ".join(f"{name} {compared[name].text()}" for name in others)
    how = "torch.compile" if chosen[0].compiled else "eager"
    run.check(
        f"{what}, {how}", True, f"{base} {1000 * spread(taken[base]).median:.2f} ms; ratios: {said}", gpu_only=True
    )


def ready(device: torch.device, way: Way, mode: str) -> Step:
    """A step of a network: bf16 weights in inference, autocast with SGD in training."""
    training = mode == "train"
    dtype = None if training else torch.bfloat16
    network = _network(way.network)
    options: dict[str, Any] = {"mode": mode, "device": device, "dtype": dtype, "layout": way.layout}
    model = network.compile(weights=_state(way.network, device), kernels=way.kernels, **options)
    memory = torch.channels_last if way.layout == "channels_last" else torch.contiguous_format
    x = images(network, BATCHES[mode]).to(device, dtype).contiguous(memory_format=memory)
    if way.compiled:
        model.compile()
    if training:
        return TrainingStep(device, model, torch.bfloat16, x, labels(len(x), device))

    def infer() -> object:
        with torch.inference_mode():
            return model(x)

    return infer


_known: dict[str, Any] = {}


def _network(name: str) -> Any:
    import resnext_dsl as rx

    if name not in _known:
        _known[name] = rx.load(name)
    return _known[name]


def _state(name: str, device: torch.device) -> Any:
    key = f"{name} state"
    if key not in _known:
        _known[key] = settled(_network(name), device)
    return _known[key]


def main() -> None:
    """Compiles one network: `MODE NETWORK KERNELS LAYOUT`."""
    end_with_parent()
    mode, name, kernels, layout = sys.argv[1:5]
    begun = time.monotonic()
    torch.backends.cudnn.benchmark = True
    step = ready(torch.device("cuda", 0), Way(name, kernels, layout, True), mode)
    step()
    torch.cuda.synchronize()
    print(f"{name}, {mode}, {kernels} kernels: compiled in {time.monotonic() - begun:.0f} s", flush=True)


if __name__ == "__main__":
    main()
