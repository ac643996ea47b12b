"""Every configuration of every direction against float64, for edges and for the shapes that networks have.

The shapes are shared out among processes, since compiling a kernel takes a second of a CPU. Triton keeps what they
compile on the disk, so that the parts after this one need not compile it again.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import time
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.device import set_tf32
from benchmarks.gpu.kernels.network_times import compiling_ahead
from benchmarks.gpu.kernels.processes import ended, started
from benchmarks.gpu.run import Run
from benchmarks.gpu.worker import end_with_parent
from resnext_dsl.kernels.configurations import Configuration, candidates
from resnext_dsl.kernels.layer_shape import DIRECTIONS, FORWARD, INPUT_GRADIENT, LayerShape

GROUPS = ((4, 32), (8, 32), (16, 32), (32, 32), (64, 4), (24, 9), (48, 4), (24, 24), (2, 16), (3, 4), (48, 21))
"""Channels a group, and groups."""

SIZES = ((2, 14, 13, 1), (3, 15, 14, 2), (1, 1, 1, 1), (1, 2, 1, 2), (2, 7, 7, 1), (5, 14, 14, 2))
"""Images, height, width and stride: odd sizes, one position, one image."""

LIMITS = {"bfloat16": 2e-2, "float16": 2e-3, "float32": 1e-5}
"""The largest difference as a part of the largest value; the types round to 8, 11 and 24 bits."""

MOST_PROCESSES = 10

COMPARED = 75.0
"""The most seconds of the comparisons; torch.compile takes longer, and has the cores then."""


def shapes(dtype: str) -> list[LayerShape]:
    """The shapes that are checked in a type."""
    return [
        LayerShape(images, group * groups, groups, height, width, stride, dtype)
        for group, groups in GROUPS
        for images, height, width, stride in SIZES
    ]


def results(run: Run) -> None:
    """The largest difference of each type, over all shapes, directions and configurations."""
    if not run.cuda:
        run.left_out("kernels against float64", "no GPU; tests/kernels runs them in Triton's interpreter")
        return
    count = max(1, min(MOST_PROCESSES, (os.cpu_count() or 2) - 5))
    seconds = max(5.0, min(COMPARED, run.left() - 30))
    ahead, sanitized = compiling_ahead(), _sanitized()
    processes = [started("benchmarks.gpu.kernels.results", index, count, seconds) for index in range(count)]
    try:
        outcomes = []
        for process in processes:
            lines = ended(run, "a process that compares", process, max(1.0, run.left() - 10))
            outcomes += [json.loads(line) for line in lines]
        _report(run, outcomes)
        if sanitized is None:
            run.left_out("compute-sanitizer", "it is not on the PATH")
        else:
            _report_sanitized(run, ended(run, "compute-sanitizer", sanitized, max(1.0, run.left() - 8)))
        for process in ahead:
            for line in ended(run, "a process that compiles networks", process, max(0.5, run.left() - 5)):
                run.check("torch.compile ahead of the times", True, line)
    finally:
        for process in (*processes, *ahead, *([sanitized] if sanitized else [])):
            process.kill()


def _report(run: Run, outcomes: list[dict[str, Any]]) -> None:
    """A line for each direction and type, and one for configurations that do not run."""
    for dtype, limit in LIMITS.items():
        for direction in DIRECTIONS:
            told = [one for one in outcomes if (one["dtype"], one["direction"]) == (dtype, direction)]
            compared = [outcome for outcome in told if "difference" in outcome]
            if not compared:
                run.left_out(f"{direction}, {dtype}", "the time of this part is over")
                continue
            worst = max(compared, key=lambda outcome: float(outcome["difference"]))
            apart = float(worst["difference"])
            figure = f"{apart:.1e} at most (limit {limit:.0e}), {len(compared)} comparisons: {worst['what']}"
            run.check(f"{direction}, {dtype}", apart <= limit, figure)
            failed = [outcome for outcome in told if "error" in outcome]
            if failed:
                said = f"{len(failed)} of {len(told)}, such as {failed[0]['what']}: {failed[0]['error']}"
                run.check(f"{direction}, {dtype}, configurations that do not run", False, said)


def _report_sanitized(run: Run, lines: list[str]) -> None:
    for line in lines:
        if "ERROR SUMMARY" in line:
            run.check("compute-sanitizer, memcheck", ": 0 errors" in line, line.strip("= "))


def _sanitized() -> subprocess.Popen[str] | None:
    """Starts a few comparisons under compute-sanitizer, which finds reads and writes outside of tensors."""
    if shutil.which("compute-sanitizer") is None:
        return None
    prefix = ["compute-sanitizer", "--tool", "memcheck", "--error-exitcode", "9"]
    return started("benchmarks.gpu.kernels.results", 0, len(LIMITS) * len(GROUPS), 40, prefix=prefix)


def compare(shape: LayerShape, direction: str, device: torch.device) -> list[dict[str, Any]]:
    """Every configuration of a direction of a layer against torch's convolution in float64."""
    from resnext_dsl.kernels import launch

    x, weight, slope = tensors_of(shape, device)
    wide = [value.double().detach().requires_grad_() for value in (x, weight)]
    forward = torch.conv2d(*wide, None, shape.stride, 1, 1, shape.groups)
    expected = forward.detach()
    if direction != FORWARD:
        expected = torch.autograd.grad(forward, wide, slope.double())[0 if direction == INPUT_GRADIENT else 1]
    found = []
    for configuration in candidates(direction, shape):
        what = f"{shape.text()}, {configuration.text()}"
        told: dict[str, Any] = {"dtype": shape.dtype, "direction": direction, "what": what}
        try:
            out = torch.full_like(expected, float("nan"), dtype=x.dtype)
            result = called(launch, direction, (x, weight, slope), shape, configuration, out).double()
            apart = float((result - expected).abs().max() / expected.abs().max().clamp_min(1e-30))
            told["difference"] = apart if math.isfinite(apart) else float("inf")
        except Exception as problem:  # a configuration that does not compile is a line
            told["error"] = f"{type(problem).__name__}: {str(problem).strip().splitlines()[-1][:150]}"
        found.append(told)
    return found


def called(
    launch: Any,
    direction: str,
    tensors: tuple[Tensor, Tensor, Tensor],
    shape: LayerShape,
    configuration: Configuration,
    out: Tensor | None = None,
) -> Tensor:
    """Calls our kernel for a direction; the tensors are the input, the weight and the gradient of the result."""
    x, weight, slope = tensors
    if direction == FORWARD:
        result: Tensor = launch.forward(x, weight, None, shape, configuration, out=out)
    elif direction == INPUT_GRADIENT:
        result = launch.input_gradient(slope, weight, shape, configuration, out=out)
    else:
        result = launch.weight_gradient(slope, x, shape, configuration, out=out)
    return result


def tensors_of(shape: LayerShape, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Noise in channels_last memory: the input, the weight and the gradient of the result."""
    dtype = getattr(torch, shape.dtype)
    generator = torch.Generator(device).manual_seed(0)

    def noise(*size: int) -> Tensor:
        values = torch.randn(size, generator=generator, device=device).to(dtype)
        return values.contiguous(memory_format=torch.channels_last)

    return (
        noise(shape.batch, shape.channels, shape.height, shape.width),
        noise(shape.channels, shape.group, 3, 3),
        noise(shape.batch, shape.channels, shape.out_height, shape.out_width),
    )


def main() -> None:
    """One of several processes: `INDEX COUNT SECONDS`; it prints a JSON object for each comparison."""
    end_with_parent()
    index, count, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    ends = time.monotonic() + seconds
    device = torch.device("cuda", torch.cuda.current_device())
    set_tf32(False)
    # bfloat16 first: its kernels are those that the parts after this one time
    work = [(group, dtype) for dtype in LIMITS for group in GROUPS]
    for group, dtype in work[index::count]:
        for shape in shapes(dtype):
            if (shape.group, shape.groups) != group:
                continue
            for direction in DIRECTIONS:
                if time.monotonic() > ends:
                    return
                for told in compare(shape, direction, device):
                    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
