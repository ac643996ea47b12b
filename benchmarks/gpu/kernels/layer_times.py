"""Each grouped 3x3 layer of the networks: our fastest kernel beside torch's, in three directions, against the floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import torch
from torch import Tensor

from benchmarks.gpu.device import release
from benchmarks.gpu.kernels.results import called, tensors_of
from benchmarks.gpu.networks import load_shipped
from benchmarks.gpu.run import Run
from benchmarks.gpu.tax.floors import Floors, measured_floors
from benchmarks.gpu.tax.layers import BATCH, Layer, distinct
from benchmarks.gpu.timing import Step, interleaved, seconds_of, spread
from resnext_dsl.kernels import tuning
from resnext_dsl.kernels.configurations import candidates
from resnext_dsl.kernels.layer_shape import DIRECTIONS, FORWARD, INPUT_GRADIENT, LayerShape

NETWORKS = ("resnext101_32x4d", "regnetx_032", "regnety_032", "resnext101_64x4d", "resnext50_32x4d")

LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


def layer_times(run: Run) -> None:
    """All layers in bfloat16, batch 128."""
    if not run.cuda or not run.bf16:
        run.left_out("layers", "no GPU that computes in bfloat16")
        return
    torch.backends.cudnn.benchmark = True
    floors = measured_floors(run)
    for layer, names in distinct(load_shipped(run, name) for name in NETWORKS).items():
        if run.time_for(layer.text(), 1.0):
            with run.item(layer.text()):
                _layer(run, layer, names, floors)
            release(run.device)


def _layer(run: Run, layer: Layer, names: list[str], floors: Floors) -> None:
    from resnext_dsl.kernels import launch

    shape = LayerShape(BATCH, layer.channels, layer.groups, layer.height, layer.width, layer.stride[0], "bfloat16")
    tensors = tensors_of(shape, run.device)
    floor = max(floors.seconds(layer.bytes(BATCH), layer.flops(BATCH)))
    said = []
    for direction in DIRECTIONS:
        torchs = {name: torch_call(direction, shape, tensors, memory) for name, memory in LAYOUTS.items()}
        ours = partial(called, launch, direction, tensors, shape)
        choice = tuning.measured(candidates(direction, shape), ours, torchs["channels_last"], run.device)
        steps: dict[str, Step] = {f"torch, {name}": call for name, call in torchs.items()}
        if choice.configuration is not None:
            steps[choice.configuration.text()] = partial(ours, choice.configuration)
        taken = interleaved(steps, run.device, 5, 0.01, min(run.ends, time.monotonic() + 2))
        medians = {name: spread(rounds).median for name, rounds in taken.items()}
        graphs = {name: in_graph(call) for name, call in steps.items()}
        for name, rounds in taken.items():
            run.measured(
                layer.text(),
                table="kernels",
                graph_seconds=graphs[name],
                layer=asdict(layer),
                networks=names,
                batch=BATCH,
                direction=direction,
                kernel=name,
                seconds=spread(rounds)._asdict(),
                rounds=rounds,
                floor=floor,
            )
        theirs = min(median for name, median in medians.items() if name.startswith("torch"))
        if choice.configuration is None:
            said.append(f"{direction}: torch's, {theirs / floor:.2f} of the floor, ours {choice.seconds / floor:.2f}")
        else:
            name = choice.configuration.text()
            own = medians[name]
            inside = f"{graphs[name] / min(graphs[other] for other in graphs if other != name):.2f} in a CUDA graph"
            said.append(
                f"{direction}: {own / theirs:.2f} of torch's ({inside}), {own / floor:.2f} of the floor ({name})"
            )
    run.check(layer.text(), True, "; ".join(said), gpu_only=True)


def in_graph(step: Step, calls: int = 10) -> float:
    """Seconds of a call in a CUDA graph of several calls: the time of the device, without the time of the host."""
    step()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            step()
    graph.replay()
    device = torch.device("cuda", torch.cuda.current_device())
    return min(seconds_of(graph.replay, device) for _ in range(5)) / calls


def torch_call(
    direction: str, shape: LayerShape, tensors: tuple[Tensor, Tensor, Tensor], memory: torch.memory_format
) -> Callable[[], Tensor]:
    """A call of torch's kernel for a direction, with the tensors in a memory format."""
    x, weight, slope = (value.contiguous(memory_format=memory) for value in tensors)
    stride = [shape.stride, shape.stride]
    if direction == FORWARD:
        return lambda: torch.conv2d(x, weight, None, stride, 1, 1, shape.groups)
    place = 0 if direction == INPUT_GRADIENT else 1

    def backward() -> Tensor:
        results: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            slope, x, weight, None, stride, [1, 1], [1, 1], False, [0, 0], shape.groups, [place == 0, place == 1, False]
        )
        return results[place]

    return backward
