"""Memory of training and inference on the GPU, against what `net.memory` says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.device import release, synchronize, with_smaller_batch
from benchmarks.gpu.networks import images, load
from benchmarks.gpu.run import Run
from benchmarks.gpu.truth.training import Step, checkpoint_stages, labels

LOWEST, HIGHEST = 0.8, 2.0
"""Bounds of the ratio of measured to expected bytes, in float32: cuDNN's workspaces come on top."""

COMPILING = 15.0
"""Seconds that must be left to compile a variant."""


def variants(run: Run) -> None:
    """Five variants of a training step of resnext50_32x4d, and an inference."""
    network = load(run, "resnext50_32x4d")
    batch = run.size(32, 2)
    with run.item("inference, float32"):
        _inference(run, network, batch)
    half = torch.bfloat16 if run.bf16 else torch.float16
    last = torch.channels_last
    cases: dict[str, tuple[torch.dtype | None, Callable[[nn.Module], object] | None]] = {
        "float32": (None, None),
        "bf16 autocast": (torch.bfloat16, None),
        "fp16 autocast": (torch.float16, None),
        "channels_last, half autocast": (half, lambda model: model.to(memory_format=last)),
        "checkpoints, float32": (None, checkpoint_stages),
    }
    peaks: dict[str, int] = {}
    for what, (dtype, change) in cases.items():
        if dtype == torch.bfloat16 and not run.bf16:
            run.left_out(f"training, {what}", "this card is older than sm_80")
        elif run.time_for(f"training, {what}", 1.0):
            with run.item(f"training, {what}"):
                peaks[what] = _training(run, network, batch, what, dtype, change)
        release(run.device)
    if {"float32", "checkpoints, float32"} <= peaks.keys():
        ratio = peaks["checkpoints, float32"] / max(1, peaks["float32"])
        run.check("checkpoints take less memory", ratio < 1 or not run.cuda, f"ratio {ratio:.2f}", gpu_only=True)


def compiled(run: Run) -> None:
    """A training step of resnext50_32x4d under torch.compile."""
    what = "torch.compile, half autocast"
    if run.dry:
        run.left_out(f"training, {what}", "a dry run compiles in the part `compile` only")
    elif run.time_for(f"training, {what}", COMPILING):
        with run.item(f"training, {what}"):
            half = torch.bfloat16 if run.bf16 else torch.float16
            network = load(run, "resnext50_32x4d")
            _training(run, network, run.size(32, 2), what, half, lambda model: model.compile())


def _training(
    run: Run,
    network: Any,
    batch: int,
    what: str,
    dtype: torch.dtype | None,
    change: Callable[[nn.Module], object] | None,
) -> int:
    """The peak of a step, once gradients and momentum are there."""
    model = network.compile(seed=0).to(run.device)
    if change is not None:
        change(model)

    def attempt(size: int) -> int:
        noise = images(network, size).to(run.device)
        step = Step(run.device, model, dtype, noise, labels(size, run.device))
        step()  # makes momentum, and whatever libraries keep
        return peak_of(run.device, step)

    size, peak = with_smaller_batch(run.device, batch, attempt, lambda said: run.left_out(f"training, {what}", said))
    stated = network.memory(dtype="float32", batch=size)
    # weights, gradients, momentum; running statistics; what autograd keeps
    expected = 3 * stated.weights + stated.buffers + stated.saved_activations
    ratio = peak / expected
    right = LOWEST <= ratio <= HIGHEST if what == "float32" and run.cuda else True
    run.measured(f"training, {what}", batch=size, peak=peak, expected=expected)
    figure = f"{peak / 2**20:.0f} MiB, {ratio:.2f} of what `net.memory` gives for float32, batch {size}"
    run.check(f"training, {what}", right, figure, gpu_only=True)
    return peak


def _inference(run: Run, network: Any, batch: int) -> None:
    model = network.compile(mode="inference", seed=0, device=run.device)
    noise = images(network, batch).to(run.device)
    stated = network.memory(dtype="float32", batch=batch)
    expected = stated.weights + stated.buffers + stated.peak_activations

    def step() -> None:
        with torch.inference_mode():
            model(noise)

    step()
    peak = peak_of(run.device, step)
    ratio = peak / expected
    right = LOWEST <= ratio <= HIGHEST or not run.cuda
    figure = f"{peak / 2**20:.0f} MiB, {ratio:.2f} of what `net.memory` gives, batch {batch}"
    run.check("inference, float32", right, figure, gpu_only=True)


def peak_of(device: torch.device, step: Callable[[], object]) -> int:
    """The most bytes that torch had allocated on the device during a step; 0 on the CPU, where it does not count."""
    synchronize(device)
    if device.type != "cuda":
        step()
        return 0
    release(device)
    torch.cuda.reset_peak_memory_stats(device)
    step()
    synchronize(device)
    return torch.cuda.max_memory_allocated(device)
