"""Both memory layouts, three types of numbers, two batches: right outputs, and the time of each layout.

Outputs are held against torchvision's module in the same type and layout (`libraries.Oracle`).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from benchmarks.gpu.device import release, set_tf32, with_smaller_batch
from benchmarks.gpu.libraries import Errors, Oracle, errors, oracle
from benchmarks.gpu.networks import images
from benchmarks.gpu.run import Run
from benchmarks.gpu.timing import calls_for, seconds_of

NETWORKS = ("resnet50", "resnext50_32x4d")
LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
TYPES = (torch.float32, torch.float16, torch.bfloat16)


def layouts(run: Run) -> None:
    """Each network in each batch, type and layout."""
    set_tf32(False)
    for name in NETWORKS[: run.size(2, 1)]:
        with run.item(name):
            found = oracle(run, name)
            if found is None:
                run.left_out(name, "torchvision cannot be imported: there is no oracle")
                continue
            for dtype in TYPES:
                model = found.network.compile(mode="inference", weights=found.state, device=run.device, dtype=dtype)
                run.check(f"{name}, layout of `compile` in {_title(dtype)}", True, layout_of(model))
            for batch in (1, run.size(64, 2)):
                if run.time_for(f"{name}, batch {batch}", 2.0):
                    _batch(run, found, name, batch)
        release(run.device)


def _title(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def layout_of(model: nn.Module) -> str:
    """The memory layout of a module's convolutions: "channels_last", "contiguous" or "mixed"."""
    kernels = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    # a kernel of 1x1, or of one channel a group, is in both layouts
    told = [weight for weight in kernels if weight.shape[1] > 1 and weight.shape[2] * weight.shape[3] > 1]
    innermost = [weight.is_contiguous(memory_format=torch.channels_last) for weight in told]
    if all(innermost):
        return "channels_last"
    return "mixed" if any(innermost) else "contiguous"


def _batch(run: Run, found: Oracle, name: str, batch: int) -> None:
    """All types of one batch, against one exact result."""

    def exact(size: int) -> tuple[Tensor, Tensor]:
        noise = images(found.network, size).to(run.device)
        return noise, found.exact(run.device, noise)

    def smaller(said: str) -> None:
        run.left_out(f"{name}, batch {batch}, first size", said)

    size, (noise, expected) = with_smaller_batch(run.device, batch, exact, smaller)
    for dtype in TYPES:
        what = f"{name}, batch {size}, {_title(dtype)}"
        if dtype == torch.bfloat16 and not run.bf16:
            run.left_out(what, "this card is older than sm_80")
        elif run.time_for(what, 0.5):
            with run.item(what):
                _both(run, found, noise, expected, dtype, what)


def _both(run: Run, found: Oracle, noise: Tensor, expected: Tensor, dtype: torch.dtype, what: str) -> None:
    """Both layouts of one type: the layout with the larger error is reported, and the ratio of the times."""
    apart: dict[str, Errors] = {}
    times: dict[str, float] = {}
    for layout, memory in LAYOUTS.items():
        model = found.network.compile(mode="inference", weights=found.state, device=run.device, dtype=dtype)
        model, x = model.to(memory_format=memory), noise.to(dtype).contiguous(memory_format=memory)
        with torch.inference_mode():
            theirs = found.moved(run.device, dtype, memory)(x)
            apart[layout] = errors(found, model(x), theirs, expected, dtype)
            calls = calls_for(lambda model=model, x=x: model(x), run.device, 0.05, most=run.size(50, 1))
            times[layout] = seconds_of(lambda model=model, x=x: model(x), run.device, calls)
    ratio = times["channels_last"] / times["contiguous"]
    run.measured(what, batch=len(noise), seconds=times, errors={name: one._asdict() for name, one in apart.items()})
    worst = max(apart.values(), key=lambda one: one.ours / one.limit)
    figure = f"{worst.text()}; channels_last takes {ratio:.2f} of the time of contiguous"
    run.check(what, worst.right, figure, gpu_only=True)
