"""Runs the Triton kernels in Triton's interpreter, and prints their differences from float64 as JSON lines.

It is a process of its own (`TRITON_INTERPRET=1 python interpreted_kernels.py [--few] NAME ...`), since Triton reads the
variable when it is imported. `--few` takes one size and one number of positions for each stride, in float32. Every tensor of a result holds NaN before the kernel writes it.
"""

import json
import sys

import torch

from resnext_dsl.kernels import launch
from resnext_dsl.kernels.configurations import candidates
from resnext_dsl.kernels.layer_shape import DIRECTIONS, FORWARD, INPUT_GRADIENT, LayerShape

GROUPS = {
    "4": (4, 8),
    "8": (8, 4),
    "16": (16, 2),
    "32": (32, 2),
    "64": (64, 2),
    "24": (24, 3),
    "48": (48, 2),
    "2": (2, 6),
    "3": (3, 4),
    "6": (6, 5),
}
"""Channels a group, and groups."""

SIZES = ((2, 5, 7, 1), (1, 6, 4, 2), (2, 5, 7, 2), (1, 1, 1, 1), (2, 1, 3, 2), (1, 9, 2, 1))
"""Images, height, width, stride."""

FEW = ((1, 5, 4, 1), (1, 4, 5, 2))


def main(names):
    torch.backends.cudnn.allow_tf32 = False
    few = "--few" in names
    for name in [name for name in names if name != "--few"]:
        group, groups = GROUPS[name]
        for images, height, width, stride in FEW if few else SIZES:
            for dtype in ("float32",) if few else ("float32", "float16"):
                compare(LayerShape(images, group * groups, groups, height, width, stride, dtype), few)


def compare(shape, few):
    torch.manual_seed(0)
    dtype = getattr(torch, shape.dtype)
    x = noise(dtype, shape.batch, shape.channels, shape.height, shape.width)
    weight = noise(dtype, shape.channels, shape.group, 3, 3)
    bias = torch.randn(shape.channels).to(dtype)
    wide = [value.double().requires_grad_() for value in (x, weight)]
    result = torch.nn.functional.conv2d(*wide, bias.double(), shape.stride, 1, 1, shape.groups)
    slope = noise(dtype, *result.shape)
    gradients = torch.autograd.grad(result, wide, slope.double())
    for direction in DIRECTIONS:
        seen = set()
        for configuration in candidates(direction, shape):
            sizes = (configuration.kernel, configuration.block, None if few else configuration.positions)
            if sizes in seen:  # the interpreter has no warps and no stages
                continue
            seen.add(sizes)
            if direction == FORWARD:
                out = poisoned(result, dtype)
                found, expected = (
                    launch.forward(x, weight, bias, shape, configuration, True, out),
                    result.detach().relu(),
                )
            elif direction == INPUT_GRADIENT:
                found, expected = (
                    launch.input_gradient(slope, weight, shape, configuration, poisoned(x, dtype)),
                    gradients[0],
                )
            else:
                out = poisoned(weight, dtype)
                found, expected = launch.weight_gradient(slope, x, shape, configuration, out), gradients[1]
            difference = float((found.double() - expected).abs().max() / expected.abs().max().clamp_min(1e-9))
            told = {"what": f"{direction}: {shape.text()}, {configuration.text()}", "difference": difference}
            print(json.dumps(told | {"dtype": shape.dtype, "kernel": configuration.kernel}))


def noise(dtype, *size):
    return torch.randn(size).to(dtype).contiguous(memory_format=torch.channels_last)


def poisoned(like, dtype):
    values = torch.full_like(like, float("nan"), dtype=dtype, requires_grad=False)
    return values.contiguous(memory_format=torch.channels_last)


if __name__ == "__main__":
    main(sys.argv[1:])
