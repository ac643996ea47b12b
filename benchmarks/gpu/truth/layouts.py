"""Both memory layouts, three types of numbers, two batches: equal outputs, and what each layout costs."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from benchmarks.gpu.device import release, set_tf32, with_smaller_batch
from benchmarks.gpu.networks import State, difference, images, load, settled
from benchmarks.gpu.run import Run
from benchmarks.gpu.timing import calls_for, seconds_of

NETWORKS = ("resnet50", "resnext50_32x4d")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
LIMITS = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}


def layouts(run: Run) -> None:
    """Each network in each layout, type and batch, against float32 in contiguous memory on the same device."""
    for name in NETWORKS[: run.size(2, 1)]:
        network = load(run, name)
        state = settled(network, run.device)
        with run.item(f"{network.name}, layout"):
            found = layout_of(network.compile(mode="inference", weights=state, device=run.device))
            run.check(f"{network.name}, layout of `compile`", True, found)
        for batch in (1, run.size(64, 2)):
            for dtype in LIMITS:
                what = f"{network.name}, batch {batch}, {str(dtype).removeprefix('torch.')}"
                if dtype == torch.bfloat16 and not run.bf16:
                    run.left_out(what, "this card is older than sm_80")
                elif run.time_for(what, 0.5):
                    with run.item(what):
                        _both(run, network, state, batch, dtype, what)
        release(run.device)


def layout_of(model: nn.Module) -> str:
    """The memory layout of a module's convolutions: "channels_last", "contiguous" or "mixed"."""
    kernels = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    # a kernel of 1x1, or of one channel a group, is in both layouts
    told = [weight for weight in kernels if weight.shape[1] > 1 and weight.shape[2] * weight.shape[3] > 1]
    innermost = [weight.is_contiguous(memory_format=torch.channels_last) for weight in told]
    if all(innermost):
        return "channels_last"
    return "mixed" if any(innermost) else "contiguous"


def _both(run: Run, network: Any, state: State, batch: int, dtype: torch.dtype, what: str) -> None:
    plain = network.compile(mode="inference", weights=state, device=run.device)
    plain = plain.to(memory_format=torch.contiguous_format)
    set_tf32(False)

    def attempt(size: int) -> tuple[float, dict[str, float]]:
        noise = images(network, size).to(run.device)
        with torch.no_grad():
            expected = plain(noise)
        apart, times = 0.0, {}
        for layout, memory in LAYOUTS.items():
            model = network.compile(mode="inference", weights=state, device=run.device, dtype=dtype)
            model, x = model.to(memory_format=memory), noise.to(dtype).contiguous(memory_format=memory)
            with torch.inference_mode():
                apart = max(apart, difference(model(x), expected))
                calls = calls_for(lambda model=model, x=x: model(x), run.device, 0.05, most=run.size(50, 1))
                times[layout] = seconds_of(lambda model=model, x=x: model(x), run.device, calls)
        return apart, times

    size, (apart, times) = with_smaller_batch(
        run.device, batch, attempt, lambda said: run.left_out(f"{what}, first size", said)
    )
    limit = LIMITS[dtype]
    ratio = times["channels_last"] / times["contiguous"]
    run.measured(what, batch=size, seconds=times, difference=apart)
    figure = f"{apart:.1e} (limit {limit:.0e}); channels_last takes {ratio:.2f} of the time of contiguous"
    run.check(what, apart <= limit, figure, gpu_only=True)
