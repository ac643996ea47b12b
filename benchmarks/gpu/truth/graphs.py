"""Events against the clock, CUDA graphs, torch.compile."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from benchmarks.gpu.device import release, set_tf32, synchronize
from benchmarks.gpu.networks import difference, images, load, outputs, settled
from benchmarks.gpu.run import Run
from benchmarks.gpu.timing import calls_for, seconds_of

LIMIT = 1e-4
COMPILED = ("resnext50_32x4d", "resnet50", "mobilenetv3_large_100")


def events(run: Run) -> None:
    """One inference by events, by the clock with a wait after each, pipelined, and as a CUDA graph."""
    network = load(run, "resnext50_32x4d")
    state = settled(network, run.device)
    for batch in (1, run.size(64, 2)):
        what = f"{network.name}, batch {batch}"
        with run.item(what), torch.inference_mode():
            model = network.compile(mode="inference", weights=state, device=run.device)
            _times(run, model, images(network, batch).to(run.device), what)
        release(run.device)


def _times(run: Run, model: nn.Module, noise: Tensor, what: str) -> None:
    def step() -> object:
        return model(noise)

    calls = calls_for(step, run.device, 0.2, most=run.size(200, 3))
    alone = sum(seconds_of(step, run.device) for _ in range(calls)) / calls
    waits = _clock(step, run, calls, wait=True)
    figures = {"events": alone, "clock": waits, "pipelined": _clock(step, run, calls, wait=False)}
    _graph(run, model, noise, calls, figures, what)
    run.measured(what, seconds=figures)
    text = ", ".join(f"{name} {1000 * seconds:.3f} ms" for name, seconds in figures.items())
    # a pass cannot take longer by events than by a clock that waits for it
    run.check(f"{what}, times of a pass", alone <= 1.1 * waits or not run.cuda, text, gpu_only=True)


def _clock(step: Callable[[], object], run: Run, calls: int, wait: bool) -> float:
    synchronize(run.device)
    start = time.perf_counter()
    for _ in range(calls):
        step()
        if wait:
            synchronize(run.device)
    synchronize(run.device)
    return (time.perf_counter() - start) / calls


def _graph(run: Run, model: nn.Module, noise: Tensor, calls: int, figures: dict[str, float], what: str) -> None:
    """Captures a pass as a CUDA graph, checks its outputs on another input, and times it."""
    set_tf32(False)
    if not run.cuda:
        again = model(noise.flip(0))
        apart = difference(again, model(noise.flip(0)))
        run.check(f"{what}, CUDA graph", apart <= LIMIT, gpu_only=True)
        return
    kept = noise.clone()
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # warm-up off the default stream, as torch asks for before a capture
        for _ in range(3):
            model(kept)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = model(kept)
    other = noise.flip(0) + 1
    kept.copy_(other)
    graph.replay()
    apart = difference(tuple(output.clone() for output in outputs(result)), model(other))
    figures["CUDA graph"] = seconds_of(graph.replay, run.device, calls)
    run.check(f"{what}, CUDA graph", apart <= LIMIT, f"{apart:.1e} (limit {LIMIT:.0e})", gpu_only=True)


def compiled(run: Run) -> None:
    """torch.compile of three networks computes what they do in eager mode, and trains one of them."""
    set_tf32(False)
    for name in COMPILED[: run.size(len(COMPILED), 1)]:
        if not run.time_for(name, 5.0):
            continue
        with run.item(f"{name}, torch.compile"):
            network = load(run, name)
            model = network.compile(mode="inference", weights=settled(network, run.device), device=run.device)
            noise = images(network, 4).to(run.device)
            begun = time.perf_counter()
            with torch.no_grad():
                apart = difference(torch.compile(model)(noise), model(noise))
            figure = f"{apart:.1e} (limit {LIMIT:.0e}), {time.perf_counter() - begun:.0f} s to compile"
            run.check(f"{network.name}, torch.compile", apart <= LIMIT, figure)
    _triton(run)


def _triton(run: Run) -> None:
    """A kernel of Triton copies; in a dry run, in Triton's interpreter."""
    try:
        from benchmarks.gpu.truth.kernel import copy
    except ImportError:
        run.left_out("a Triton kernel", "Triton is not installed")
        return
    with run.item("a Triton kernel"):
        source = torch.randn(run.size(1 << 20, 1000), device=run.device)
        run.check("a Triton kernel", bool(torch.equal(copy(source), source)), "copies", gpu_only=True)
