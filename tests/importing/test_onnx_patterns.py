"""Operators of torch that exporters write as several operators of ONNX come back as one, with equal outputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from onnx import helper
from onnx_models import integers, model, number, runtime_outputs, saved
from torch import Tensor, nn
from trace_oracle import run

from resnext_dsl.importing.onnx_trace import read_onnx
from resnext_dsl.importing.trace import Trace


def exported(module: nn.Module, path: Path, *shape: int, opset: int) -> Trace:
    """The trace of the file that torch's older exporter writes; its outputs are those of the module."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    images = torch.randn(3, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and files of it are everywhere
        torch.onnx.export(
            module.eval(),
            (images,),
            path,
            dynamo=False,
            opset_version=opset,
            input_names=["x"],
            dynamic_axes={"x": {0: "batch"}},
        )
    trace = read_onnx(path)
    with torch.no_grad():
        torch.testing.assert_close(run(trace, images)["main"], module(images), atol=1e-5, rtol=1e-4)
    return trace


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


@pytest.mark.parametrize(
    ("module", "opset", "expected"),
    [
        (nn.GELU(), 14, ["gelu"]),
        (nn.GELU(approximate="tanh"), 14, ["gelu"]),
        (nn.GELU(), 20, ["gelu"]),
        (nn.Hardswish(), 11, ["hardswish"]),
        (nn.Hardswish(), 14, ["hardswish"]),
        (nn.Hardsigmoid(), 11, ["hardsigmoid"]),
        (nn.SiLU(), 14, ["silu"]),
        (nn.Mish(), 14, ["mish"]),
        (nn.ReLU6(), 14, ["hardtanh"]),
        (nn.LayerNorm(7, eps=1e-4), 14, ["layer_norm"]),
        (nn.LayerNorm([5, 7]), 14, ["layer_norm"]),
        (nn.LayerNorm(7, elementwise_affine=False), 14, ["layer_norm"]),
        (nn.LayerNorm(7), 17, ["layer_norm"]),
        (nn.GroupNorm(2, 4, eps=1e-4), 14, ["group_norm"]),
        (nn.GroupNorm(1, 4, affine=False), 14, ["group_norm"]),
        (nn.InstanceNorm2d(4, affine=True), 14, ["instance_norm"]),
        (nn.Linear(7, 3), 14, ["linear"]),
        (nn.Linear(7, 3, bias=False), 14, ["linear"]),
        (nn.PReLU(4), 14, ["prelu"]),
        (nn.PixelShuffle(2), 14, ["pixel_shuffle"]),
        (nn.LocalResponseNorm(5, alpha=0.5, beta=0.6, k=2.0), 14, ["local_response_norm"]),
        (Function(lambda x: torch.stack([x, x.relu()], 1)), 14, ["relu", "stack"]),
        (Function(lambda x: x * x.mean((2, 3), keepdim=True).sigmoid().expand_as(x)), 14, ["mean", "sigmoid", "mul"]),
        (Function(lambda x: x * torch.clamp(x + 3, 0, 6) / 6), 14, ["hardswish"]),
        (Function(lambda x: 0.5 * x * (1 + torch.erf(x / 2**0.5))), 14, ["gelu"]),
        (Function(lambda x: nn.functional.hardtanh(x + 3, 0, 6) / 6), 14, ["hardsigmoid"]),
        (Function(lambda x: nn.functional.interpolate(x, scale_factor=2)), 14, ["upsample_nearest2d"]),
        (Function(lambda x: nn.functional.pad(x, (1, 2, 3, 0), value=1.0)), 14, ["pad"]),
        (Function(lambda x: torch.roll(x, 1, 2)), 14, ["slice", "slice", "cat"]),
        (Function(lambda x: 1 - x), 14, ["rsub"]),
        (Function(lambda x: x.flatten(2).transpose(1, 2)), 14, ["reshape", "permute"]),
        (Function(nn.functional.normalize), 14, ["linalg_vector_norm", "clamp_min", "div"]),
    ],
)  # fmt: skip
def test_a_pattern(module: nn.Module, opset: int, expected: list[str], tmp_path: Path) -> None:
    trace = exported(
        module,
        tmp_path / "model.onnx",
        *((16, 5, 7) if isinstance(module, nn.PixelShuffle) else (4, 5, 7)),
        opset=opset,
    )
    assert [call.operation for call in trace.calls] == expected


def test_the_keys_of_joined_layers_are_those_of_the_state_dict(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(7, 6), nn.GroupNorm(2, 4), nn.Sequential(nn.LayerNorm(6), nn.GELU()))
    trace = exported(module, tmp_path / "model.onnx", 4, 7, opset=14)
    assert [(call.operation, call.path) for call in trace.calls] == [
        ("linear", "0"),
        ("group_norm", "1"),
        ("layer_norm", "2.0"),
        ("gelu", "2.1"),
    ]
    assert set(trace.tensors) == set(module.state_dict())
    for key, value in module.state_dict().items():
        torch.testing.assert_close(trace.value(key), value, rtol=0, atol=0)
    assert {tensor.kind for tensor in trace.tensors.values()} == {"parameter"}
    assert list(trace.modules) == ["", "0", "1", "2", "2.0", "2.1"]


def node(text: str, inputs: str, output: str) -> onnx.NodeProto:
    return helper.make_node(text, inputs.split(), [output])


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        ([node("Sigmoid", "x", "s"), node("Mul", "x s", "p"), node("Add", "p s", "y")], ["sigmoid", "mul", "add"]),
        ([node("Relu", "x", "r"), node("Sigmoid", "r", "s"), node("Mul", "x s", "y")], ["relu", "sigmoid", "mul"]),
        ([node("Erf", "x", "e"), node("Add", "e one", "a"), node("Mul", "x a", "m"), node("Mul", "m half", "y")], ["erf", "add", "mul", "mul"]),
        ([node("Unsqueeze", "x at", "u"), node("Relu", "u", "v"), node("Concat", "u v", "y")], ["unsqueeze", "relu", "cat"]),
    ],
)  # fmt: skip
def test_operators_that_only_look_alike_stay(nodes: list[onnx.NodeProto], expected: list[str], tmp_path: Path) -> None:
    stored = {
        "one": number(1),
        "half": number(0.5),
        "at": integers(1),
        "last": integers(3),
        "like": integers(0, 1, 4, 5),
    }
    if nodes[-1].op_type == "Concat":
        nodes[-1].attribute.add(name="axis", type=onnx.AttributeProto.INT, i=1)
    path = saved(model(nodes, ["batch", 4, 5], stored, opset=13), tmp_path)
    trace = read_onnx(path)
    images = torch.randn((2, 4, 5), generator=torch.Generator().manual_seed(1))
    (wanted,) = runtime_outputs(path, images)
    torch.testing.assert_close(run(trace, images)["main"], wanted)
    assert [call.operation for call in trace.calls] == expected
