"""Whether a compiled module computes on the GPU as on the CPU: inference, gradients, float64, every shipped network."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.gpu.device import release, set_tf32
from benchmarks.gpu.networks import (
    State,
    difference,
    gradient,
    gradient_difference,
    images,
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
FLOAT32, FLOAT64, TF32 = 1e-4, 1e-10, 1e-1
"""Limits of the largest difference, as a share of the largest output. TF32 keeps 10 of 23 bits of each factor."""
GRADIENT_MARGIN = 10.0
"""Gradients may be so many times as far from float64 as those of the CPU in float32."""
FLOAT64_SAMPLE = ("resnet18", "resnext50_32x4d", "mobilenetv2_100", "shufflenet_v2_x1_0")
BATCH = 2


def six_networks(run: Run) -> None:
    """Six networks, in inference and in training, in float32 with TF32 off and on."""
    for name in SIX[1:2] if run.dry else SIX:
        if not run.time_for(name, 1.0):
            continue
        with run.item(name):
            network = load_shipped(run, name)
            state = settled(network, run.device)
            _inference(run, network, state, with_tf32=True)
            _training(run, network, state)
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


def _inference(
    run: Run,
    network: Any,
    state: State,
    dtype: torch.dtype = torch.float32,
    with_tf32: bool = False,
) -> None:
    """The module for inference on both devices."""
    noise = images(network, BATCH).to(dtype)
    here = network.compile(mode="inference", weights=state, dtype=dtype)
    there = network.compile(mode="inference", weights=state, dtype=dtype, device=run.device)
    limit = FLOAT64 if dtype == torch.float64 else FLOAT32
    title = str(dtype).removeprefix("torch.")
    with torch.no_grad():
        expected = here(noise)
        set_tf32(False)
        apart = difference(there(noise.to(run.device)), expected)
        run.check(
            f"{network.name}, inference, {title}", apart <= limit, f"{apart:.1e} (limit {limit:.0e})", gpu_only=True
        )
        if with_tf32 and run.bf16:
            set_tf32(True)
            apart = difference(there(noise.to(run.device)), expected)
            run.check(
                f"{network.name}, inference, TF32", apart <= TF32, f"{apart:.1e} (limit {TF32:.0e})", gpu_only=True
            )
            set_tf32(False)


def _training(run: Run, network: Any, state: State) -> None:
    """The gradients of a training step on both devices, against the CPU's in float64."""
    noise = images(network, 2 * BATCH)

    def gradients(device: torch.device, dtype: torch.dtype) -> State:
        model = without_dropout(network.compile(weights=state, device=device, dtype=dtype))
        loss_of(model(noise.to(device, dtype))).backward()
        return gradient(model)

    cpu = torch.device("cpu")
    exact = gradients(cpu, torch.float64)
    usual = gradient_difference(gradients(cpu, torch.float32), exact)
    limit = max(FLOAT32, GRADIENT_MARGIN * usual)
    set_tf32(False)
    apart = gradient_difference(gradients(run.device, torch.float32), exact)
    figure = f"{apart:.1e} from float64; the CPU in float32: {usual:.1e} (limit {limit:.1e})"
    run.check(f"{network.name}, gradients, float32", apart <= limit, figure, gpu_only=True)
