"""Every distinct grouped 3x3 convolution of the networks, timed in three directions against its two floors.

A direction (forward, data gradient, weight gradient) reads two tensors and writes one; it does as many multiply-adds as
the forward. Its floors are the time that a copy needs for its bytes, and the time that a bf16 product needs for its
FLOPs; both rates are measured in the same run. No kernel can be faster than the slower of the two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.device import release, with_smaller_batch
from benchmarks.gpu.networks import load_shipped
from benchmarks.gpu.run import Run
from benchmarks.gpu.tax.floors import Floors, measured_floors
from benchmarks.gpu.timing import Step, interleaved, spread

DECISIVE = ("resnext101_32x4d", "resnet101", "regnetx_032", "regnety_032")
"""The networks whose times say how large the tax is: two pairs of about equal FLOPs, and the same with wider groups."""
OTHERS = ("resnext50_32x4d", "resnet50", "resnext101_64x4d")
NETWORKS = (*DECISIVE, *OTHERS)
"""The networks of `tax`."""
BATCH = 128
DIRECTIONS = ("forward", "data gradient", "weight gradient")
LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}


@dataclass(frozen=True, slots=True, order=True)
class Layer:
    """A grouped convolution with a kernel of 3x3.

    Attributes:
        channels: Of the input.
        out_channels: Of the result.
        groups: More than one.
        stride: Height and width.
        height, width: Of the input.
        out_height, out_width: Of the result.
    """

    channels: int
    out_channels: int
    groups: int
    stride: tuple[int, int]
    height: int
    width: int
    out_height: int
    out_width: int

    def text(self) -> str:
        """As it is printed: `128 -> 128 in 32 groups at 56x56 /2`."""
        stride = f" /{self.stride[0]}" if self.stride != (1, 1) else ""
        return f"{self.channels} -> {self.out_channels} in {self.groups} groups at {self.height}x{self.width}{stride}"

    def flops(self, batch: int) -> int:
        """FLOPs of one direction: two for each multiply-add, as products of matrices are counted."""
        positions = batch * self.out_height * self.out_width
        return 2 * positions * self.out_channels * (self.channels // self.groups) * 9

    def bytes(self, batch: int, width: int = 2) -> int:
        """Bytes of the input, the kernel and the result, each once."""
        inside = batch * self.channels * self.height * self.width
        outside = batch * self.out_channels * self.out_height * self.out_width
        return width * (inside + outside + self.out_channels * (self.channels // self.groups) * 9)


def grouped_layers(network: Any) -> list[Layer]:
    """The distinct grouped 3x3 convolutions of a network, in the order of its graph."""
    graph = network.graph
    found: dict[Layer, None] = {}
    for name, node in graph.nodes(data=True):
        attributes = node["attributes"]
        if node["operator"] == "conv" and tuple(attributes.kernel) == (3, 3) and attributes.groups > 1:
            (source,) = graph.predecessors(name)
            channels, *size = graph.nodes[source]["shape"]
            out_channels, *out_size = node["shape"]
            layer = Layer(channels, out_channels, attributes.groups, tuple(attributes.stride), *size, *out_size)
            found[layer] = None
    return list(found)


def distinct(networks: Iterable[Any]) -> dict[Layer, list[str]]:
    """The distinct grouped layers of some networks, and the names of the networks that have them."""
    found: dict[Layer, list[str]] = {}
    for network in networks:
        for layer in grouped_layers(network):
            found.setdefault(layer, []).append(network.name)
    return found


def layers(run: Run) -> None:
    """Times each layer in both layouts, the directions one after the other, layouts in interleaved rounds."""
    if not run.bf16:
        run.left_out("layers in bfloat16", "this card is older than sm_80")
        return
    torch.backends.cudnn.benchmark = True
    floors = measured_floors(run)
    found = distinct(load_shipped(run, name) for name in NETWORKS[: run.size(len(NETWORKS), 1)])
    for layer, names in list(found.items())[: run.size(len(found), 1)]:
        what = layer.text()
        if not run.time_for(what, 1.0):
            continue
        with run.item(what):
            batch, times = with_smaller_batch(
                run.device,
                run.size(BATCH, 1),
                lambda size, layer=layer: _times(run, layer, size),
                lambda said, what=what: run.left_out(f"{what}, first size", said),
            )
            _report(run, layer, names, batch, times, floors)
        release(run.device)


def _times(run: Run, layer: Layer, batch: int) -> dict[str, dict[str, list[float]]]:
    """Seconds of each round, by direction and layout."""
    steps: dict[str, dict[str, Step]] = {direction: {} for direction in DIRECTIONS}
    for layout, memory in LAYOUTS.items():
        for direction, step in _steps(run.device, layer, batch, memory).items():
            steps[direction][layout] = step
    ends = min(run.ends, time.monotonic() + 6.0)
    return {
        direction: interleaved(both, run.device, run.size(5, 1), 0.02 if run.cuda else 0.0, ends)
        for direction, both in steps.items()
    }


def _steps(device: torch.device, layer: Layer, batch: int, memory: torch.memory_format) -> dict[str, Step]:
    """The three directions of a layer in bfloat16, in one layout."""
    padding = [
        _padding(layer.height, layer.out_height, layer.stride[0]),
        _padding(layer.width, layer.out_width, layer.stride[1]),
    ]

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, device=device, dtype=torch.bfloat16).contiguous(memory_format=memory)

    x = noise(batch, layer.channels, layer.height, layer.width)
    kernel = noise(layer.out_channels, layer.channels // layer.groups, 3, 3)
    result = noise(batch, layer.out_channels, layer.out_height, layer.out_width)

    def backward(data: bool) -> Step:
        sizes = (None, list(layer.stride), padding, [1, 1], False, [0, 0], layer.groups, [data, not data, False])
        return lambda: torch.ops.aten.convolution_backward(result, x, kernel, *sizes)

    return {
        "forward": lambda: torch.nn.functional.conv2d(x, kernel, None, layer.stride, padding, 1, layer.groups),
        "data gradient": backward(data=True),
        "weight gradient": backward(data=False),
    }


def _padding(size: int, out_size: int, stride: int) -> int:
    """The padding, equal on both sides, with which a kernel of 3 gives a size."""
    return max(0, math.ceil(((out_size - 1) * stride + 3 - size) / 2))


def _report(
    run: Run, layer: Layer, names: list[str], batch: int, times: dict[str, dict[str, list[float]]], floors: Floors
) -> None:
    """Keeps the numbers of a layer, and a line of how far it is from its floors."""
    memory, arithmetic = floors.seconds(layer.bytes(batch), layer.flops(batch))
    floor = max(memory, arithmetic)
    best = []
    for direction, both in times.items():
        for layout, rounds in both.items():
            run.measured(
                layer.text(),
                table="layers",
                layer=asdict(layer),
                networks=names,
                batch=batch,
                direction=direction,
                layout=layout,
                seconds=spread(rounds)._asdict(),
                rounds=rounds,
                floor_bytes=memory,
                floor_flops=arithmetic,
            )
        layout, rounds = min(both.items(), key=lambda item: spread(item[1]).median)
        best.append(f"{direction} {spread(rounds).median / floor:.1f} ({layout})")
    run.check(layer.text(), True, f"times of the floor, best layout: {', '.join(best)}", gpu_only=True)
