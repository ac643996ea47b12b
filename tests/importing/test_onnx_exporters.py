"""ONNX files of our `export` and of torch's two exporters: outputs of the trace and of the imported network are the source's."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from import_oracle import compiled, deviation
from onnx_models import runtime_outputs
from references import timm
from torch import nn
from trace_oracle import run

import resnext_dsl as rx
from resnext_dsl.importing.lowering import lower
from resnext_dsl.importing.onnx_trace import read_onnx
from resnext_dsl.importing.trace import Trace

TOLERANCE = 1e-5

TIMM = [
    *("test_byobnet", "test_convnext", "resnet26t", "regnety_002", "mobilenetv2_050", "tf_efficientnet_b0", "mixnet_s"),
    *("ghostnet_100", "resnest14d", "skresnet18", "convnextv2_atto", "inception_next_atto", "poolformer_s12"),
    *("ecaresnet26t", "hrnet_w18_small", "cs3darknet_focus_s", "eca_nfnet_l0", "rexnet_100", "lcnet_050", "dla46_c"),
    *("repvgg_a0", "mobileone_s0"),
]
FAST = {"test_byobnet"}
SPECS = [
    "resnet18",
    "shufflenet_v2_x1_0",
    "mobilenetv3_large_100",
    "convnext_tiny",
    "unet",
    "unet3d",
    "resnext29_8x64d",
]


def marked(names: list[str], fast: set[str]) -> list[Any]:
    """The names as parameters, those that are not fast as slow ones."""
    return [name if name in fast else pytest.param(name, marks=pytest.mark.slow) for name in names]


def source(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network of timm with weights and statistics that differ from layer to layer, and the shape of its input."""
    torch.manual_seed(0)
    module = timm.create_model(name).eval()
    for tensor in [*module.parameters(), *module.buffers()]:
        if tensor.is_floating_point() and tensor.ndim == 1:
            tensor.data.add_(torch.rand_like(tensor) * 0.1)
    return module, tuple(module.default_cfg["input_size"]) if module.default_cfg.get("fixed_input_size") else (
        3,
        128,
        128,
    )


def agrees(path: Path, module: nn.Module, shape: tuple[int, ...]) -> Trace:
    """Compares the trace and the imported network with ONNX Runtime and the source, for a batch of another size."""
    trace = read_onnx(path)
    assert trace.input == shape
    images = torch.randn((3, *shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = module(images)
    assert deviation(runtime_outputs(path, images)[0], wanted) <= TOLERANCE
    assert deviation(run(trace, images)["main"], wanted) <= TOLERANCE
    with torch.no_grad():
        assert deviation(compiled(lower(trace)).eval()(images), wanted) <= TOLERANCE
    return trace


@pytest.mark.parametrize("name", marked(TIMM, FAST))
def test_a_file_of_the_exporter_that_traces(name: str, tmp_path: Path) -> None:
    module, shape = source(name)
    path = tmp_path / f"{name}.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated, and files of it are everywhere
        torch.onnx.export(
            module,
            (torch.randn(2, *shape),),
            path,
            dynamo=False,
            input_names=["image"],
            dynamic_axes={"image": {0: "batch"}},
        )
    trace = agrees(path, module, shape)
    assert trace.name == name
    assert trace.origin == f"{name}.onnx (ONNX opset 20 of pytorch {torch.__version__.partition('+')[0]})"
    named = set(dict(module.named_modules())) & set(trace.modules)
    assert len(named) > 0.9 * len(trace.modules)  # names of operators state no parent for `self.head.fc(x)`
    keys = {key for key, tensor in trace.tensors.items() if tensor.kind != "constant"} & set(module.state_dict())
    assert len(keys) > len(trace.tensors) / 2


@pytest.mark.parametrize("name", marked(TIMM, FAST))
def test_a_file_of_the_exporter_on_torch_export(name: str, tmp_path: Path) -> None:
    module, shape = source(name)
    path = tmp_path / f"{name}.onnx"
    sizes = ({0: torch.export.Dim("batch")},)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(module, (torch.randn(2, *shape),), path, dynamo=True, dynamic_shapes=sizes, verbose=False)
    trace = agrees(path, module, shape)
    modules = dict(module.named_modules())
    classes = {path: type(modules[path]).__name__ for path in trace.modules if path in modules}
    assert set(trace.modules) == set(classes)
    assert [path for path, name in trace.modules.items() if name not in (classes[path], "Module", "Conv2d")] == []
    assert trace.calls[0].place.rpartition("/")[2].partition(".py:")[0] in {"byobnet", "convnext", *place_names(module)}


def place_names(module: nn.Module) -> set[str]:
    """The files of the classes of a module."""
    return {type(part).__module__.rpartition(".")[2] for part in module.modules()}


@pytest.mark.parametrize("name", marked(SPECS, {"resnet18"}))
def test_a_file_of_export(name: str, tmp_path: Path) -> None:
    network = rx.load(name)
    path = tmp_path / f"{name}.onnx"
    network.export("onnx", path, seed=0)
    module = network.compile(mode="inference", seed=0).eval()
    trace = agrees(path, module, network.ir.nodes[0].shape)
    assert trace.name == name
    assert len(trace.calls) <= len(network.compile(mode="inference", seed=0).state_dict()) + len(network.ir.nodes)
