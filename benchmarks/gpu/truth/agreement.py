"""Whether a compiled module computes on the GPU as on the CPU: inference, gradients, float64, every shipped network."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu.device import release, set_tf32
from benchmarks.gpu.libraries import Oracle, errors, oracle
from benchmarks.gpu.networks import (
    State,
    difference,
    gradient,
    gradient_difference,
    images,
    input_shape,
    load,
    load_shipped,
    loss_of,
    settled,
    shipped,
    without_dropout,
)
from benchmarks.gpu.run import Run

SIX = (
    "resnet50",
    "resnext50_32x4d",
    "regnety_032",
    "densenet121",
    "mobilenetv3_large_100",
    "convnext_tiny",
)
FLOAT32, FLOAT64 = 1e-4, 1e-10
"""Limits of the largest difference, as a share of the largest output."""
CPU_MARGIN = 10.0
"""Results in float32 may be so many times as far from float64 as those of the CPU in float32."""
GRADIENT_SIZE = 96
"""Pixels of the images of which gradients are taken: float64 on a CPU is slow."""
FLOAT64_SAMPLE = ("resnet18", "resnext50_32x4d", "mobilenetv2_100", "shufflenet_v2_x1_0")
BATCH = 2
CPU = torch.device("cpu")


def six_networks(run: Run) -> None:
    """Six networks: inference in float32 and TF32, and gradients in float32."""
    for name in SIX[1:2] if run.dry else SIX:
        if not run.time_for(name, 1.0):
            continue
        with run.item(name):
            found = oracle(run, name)
            network = load_shipped(run, name)
            state = settled(network, run.device) if found is None else found.state
            _inference(run, network, state)
            if run.bf16:
                _tf32(run, name, found)
            _gradients(run, network, state)
        release(run.device)


def every_network(run: Run) -> None:
    """All other shipped networks, in inference, in float32."""
    names = [name for name in shipped(run) if name not in SIX]
    for name in names[: run.size(len(names), 1)]:
        if not run.time_for(name, 1.0):
            continue
        with run.item(name):
            network = load(run, name)
            _inference(run, network, settled(network, run.device))
        release(run.device)


def float64(run: Run) -> None:
    """A sample of networks in float64."""
    for name in FLOAT64_SAMPLE[: run.size(len(FLOAT64_SAMPLE), 1)]:
        if not run.time_for(name, 1.0):
            continue
        with run.item(name):
            network = load(run, name)
            _inference(run, network, settled(network, run.device), dtype=torch.float64)


def _inference(run: Run, network: Any, state: State, dtype: torch.dtype = torch.float32) -> None:
    """The module for inference on both devices."""
    set_tf32(False)
    title = str(dtype).removeprefix("torch.")
    noise = images(network, BATCH)

    def results(device: torch.device, dtype: torch.dtype) -> Any:
        model = network.compile(mode="inference", weights=state, dtype=dtype, device=device)
        with torch.no_grad():
            return model(noise.to(device, dtype))

    limit = FLOAT64 if dtype == torch.float64 else FLOAT32
    expected = results(CPU, dtype)
    apart = difference(results(run.device, dtype), expected)
    if dtype == torch.float32 and FLOAT32 < apart < float("inf"):  # a deep network: the CPU's own error is the measure
        limit = CPU_MARGIN * difference(expected, results(CPU, torch.float64))
    figure = f"{apart:.1e} (limit {limit:.1e})"
    run.check(f"{network.name}, inference, {title}", apart <= limit, figure, gpu_only=True)


def _tf32(run: Run, name: str, found: Oracle | None) -> None:
    """The module for inference in TF32, against the library's module in TF32."""
    what = f"{name}, inference, TF32"
    if found is None:
        run.left_out(what, "neither torchvision nor timm can be imported: there is no oracle")
        return
    noise = images(found.network, BATCH).to(run.device)
    exact = found.exact(run.device, noise)
    ours = found.network.compile(mode="inference", weights=found.state, device=run.device)
    theirs = found.moved(run.device, torch.float32)
    set_tf32(True)
    with torch.no_grad():
        apart = errors(found, ours(noise), theirs(noise), exact, torch.float32)
    set_tf32(False)
    run.check(what, apart.right, apart.text(), gpu_only=True)


def _gradients(run: Run, network: Any, state: State) -> None:
    """The gradients of a training step on both devices, against the CPU's in float64."""
    channels, height, width = input_shape(network)
    small = network.at((channels, min(height, GRADIENT_SIZE), min(width, GRADIENT_SIZE)))
    noise = images(small, BATCH)

    def gradients(device: torch.device, dtype: torch.dtype) -> State:
        model = without_dropout(small.compile(weights=state, device=device, dtype=dtype))
        loss_of(model(noise.to(device, dtype))).backward()
        return gradient(model)

    exact = gradients(CPU, torch.float64)
    usual = gradient_difference(gradients(CPU, torch.float32), exact)
    limit = max(FLOAT32, CPU_MARGIN * usual)
    set_tf32(False)
    apart = gradient_difference(gradients(run.device, torch.float32), exact)
    figure = f"{apart:.1e} from float64; the CPU in float32: {usual:.1e} (limit {limit:.1e})"
    run.check(f"{network.name}, gradients, float32", apart <= limit, figure, gpu_only=True)
