"""Archives of torch.export as traces: the calls are those of the program, and the outputs are equal."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest
import torch
from import_examples import program, tiny, tiny_archive
from import_oracle import compiled, deviation
from references import timm
from torch import Tensor, nn
from trace_oracle import run

import resnext_dsl as rx
from resnext_dsl.graph.ir import fingerprint
from resnext_dsl.importing.archive_trace import read_archive
from resnext_dsl.importing.carried_weights import source_state
from resnext_dsl.importing.lowering import lower
from resnext_dsl.importing.module_reading import read_module
from resnext_dsl.importing.trace import BATCH, INPUT, Ref, Stored, Trace

FAST = ["resnet18", "shufflenet_v2_x1_0", "mobilenetv3_large_100"]
SLOW = ["densenet121", "convnext_tiny", "ghostnetv2_100", "hrnet_w18", "nfnet_l0", "skresnext50_32x4d", "unet", "unet3d", "inception_v3"]  # fmt: skip

TIMM = ["resnet26t", "regnety_002", "tf_efficientnet_b0", "skresnet18", "convnextv2_atto", "poolformer_s12", "eca_nfnet_l0"]  # fmt: skip


def traced(module: nn.Module, path: Path, *shape: int, batch: int = 2, dynamic: bool = True) -> Trace:
    """The trace of the archive of a module; its outputs are those of the module."""
    torch.export.save(program(module, *shape, batch=batch, dynamic=dynamic), path)
    trace = read_archive(path)
    images = torch.randn((batch, *shape), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = module(images)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for output, want in zip(run(trace, images).values(), wanted, strict=True):
        torch.testing.assert_close(output, want)
    return trace


@pytest.mark.parametrize("name", [*FAST, *[pytest.param(name, marks=pytest.mark.slow) for name in SLOW]])
def test_a_file_of_export(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.pt2"
    rx.load(name).export("pt2", path)
    trace = read_archive(path)
    ours = torch.export.load(path)  # this process has written it
    nodes = [node for node in ours.graph.nodes if node.op == "call_function"]
    kept = [(call.operation, call.path) for call in trace.calls if call.operation != "getitem"]
    stacks = [list(node.meta["nn_module_stack"].values())[-1][0] for node in nodes if "getitem" not in str(node.target)]
    names = [re.sub(r"_?\..*", "", str(node.target).removeprefix("aten.")) for node in nodes]
    assert [operation for operation, _ in kept] == [
        "size" if name == "sym_size" else name for name in names if "getitem" not in name
    ]
    assert [path for _, path in kept] == stacks
    assert trace.name == name
    assert {key for key, tensor in trace.tensors.items() if tensor.kind != "constant"} == set(ours.state_dict)
    images = torch.randn((3, *trace.input), generator=torch.Generator().manual_seed(1)) * 0.5
    with torch.no_grad():
        wanted = ours.module()(images)
    wanted = wanted if isinstance(wanted, tuple | list) else (wanted,)
    for output, want in zip(run(trace, images).values(), wanted, strict=True):
        assert deviation(output, want) <= 1e-5
    with torch.no_grad():
        imported = compiled(lower(trace)).eval()(images)
    assert deviation(imported[0] if isinstance(imported, tuple) else imported, wanted[0]) <= 1e-5


@pytest.mark.parametrize("name", ["test_byobnet", *[pytest.param(name, marks=pytest.mark.slow) for name in TIMM]])
def test_an_archive_and_its_module_are_one_network(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = timm.create_model(name).eval()
    trace = traced(module, tmp_path / f"{name}.pt2", 3, 128, 128)
    lowered = lower(trace)
    assert fingerprint(lowered.graph) == fingerprint(read_module(module, (3, 128, 128), name, name).graph)
    assert set(source_state(lowered, compiled(lowered).state_dict())) <= set(module.state_dict())


def test_the_parts_of_a_trace(tmp_path: Path) -> None:
    trace = traced(tiny(), tmp_path / "Tiny net-1.pt2", 3, 8, 8)
    assert trace.name == "tiny_net_1"
    assert trace.origin == f"Tiny net-1.pt2 (torch.export of torch {torch.__version__})"
    assert trace.input == (3, 8, 8)
    assert [call.operation for call in trace.calls] == [
        *("conv2d", "batch_norm", "relu", "chunk", "getitem", "getitem", "cat", "mul"),
        *("lift_fresh_copy", "detach", "add", "mean", "linear"),
    ]
    conv = trace.calls[0]
    assert conv.arguments["input"] == INPUT
    assert conv.arguments["weight"] == Stored("stem.0.weight")
    assert (conv.path, conv.sizes) == ("stem.0", (BATCH, 6, 4, 4))
    assert conv.place.rpartition("/")[2].startswith("import_examples.py:")
    assert trace.calls[4].arguments == {"self": Ref(3), "index": 0}
    assert trace.outputs == {"main": Ref(12)}
    assert trace.modules == {
        "": "Tiny",
        "stem": "Sequential",
        "stem.0": "Conv2d",
        "stem.1": "BatchNorm2d",
        "stem.2": "ReLU",
        "head": "Linear",
    }
    assert trace.tensors["stem.1.running_mean"].kind == "buffer"
    assert trace.tensors["stem.1.num_batches_tracked"].is_float is False
    (constant,) = [key for key, tensor in trace.tensors.items() if tensor.kind == "constant"]
    assert trace.value(constant).tolist() == [0.5, 1.0, 1.5, 2.0]
    for key, value in tiny().state_dict().items():
        torch.testing.assert_close(trace.value(key), value, rtol=0, atol=0)


def test_torch_is_not_asked_to_load_and_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "tiny.pt2"
    path.write_bytes(tiny_archive())

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("something is unpickled")

    for owner, name in (
        (torch, "load"),
        (torch.export, "load"),
        (pickle, "loads"),
        (pickle, "load"),
        (pickle, "Unpickler"),
    ):
        monkeypatch.setattr(owner, name, forbidden)
    trace = read_archive(path)
    assert set(run(trace, torch.zeros(1, 3, 8, 8))) == {"main"}


class Shared(nn.Module):
    """Weights that share memory, views, and sizes that are computed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.twin = nn.Conv2d(4, 4, 3, padding=1)
        self.twin.weight = self.conv.weight
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        batch, channels, height, width = x.shape
        x = self.conv(x)
        y = self.twin(self.act(x)) + x  # x is the rectified value: the rectifier works in place
        return y.view(batch, channels * 2, height * width // 2).sum(-1), y.view(batch * 2, -1)


def test_changes_in_place_and_sizes(tmp_path: Path) -> None:
    module = Shared().eval()
    trace = traced(module, tmp_path / "shared.pt2", 4, 6, 6)
    assert list(trace.outputs) == ["main", "output_1"]
    add = next(call for call in trace.calls if call.operation == "add")
    relu = next(index for index, call in enumerate(trace.calls) if call.operation == "relu")
    assert add.arguments["other"] == Ref(relu)
    assert trace.calls[trace.outputs["output_1"].call].sizes is None  # twice the batch


@pytest.mark.parametrize(("size", "shape"), [(5, (8, 3, 4)), (2, (4, 3, 4)), (3, (4, 6))])
def test_the_calls_of_a_response_norm_are_joined(size: int, shape: tuple[int, ...], tmp_path: Path) -> None:
    module = nn.Sequential(nn.LocalResponseNorm(size, alpha=0.5, beta=0.6, k=2.0), nn.ReLU())
    trace = traced(module, tmp_path / "lrn.pt2", *shape)
    assert [call.operation for call in trace.calls] == ["local_response_norm", "relu"]
    assert trace.calls[0].arguments == {"input": INPUT, "size": size, "alpha": 0.5, "beta": 0.6, "k": 2.0}


class Part(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        first = (x * 2)[:, :2]
        whole = x + 1
        part = whole[:, :2]
        part.relu_()
        return whole + first.sum()


def test_a_change_of_a_part_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "part.pt2"
    torch.export.save(program(Part(), 4, 3, 3), path)
    with pytest.raises(rx.ArchError, match="`in-place operation` changes memory that another value shares") as caught:
        read_archive(path)
    assert [diagnostic.code for diagnostic in caught.value.diagnostics] == ["E624"]


class Reshaped(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(2, 2, -1).mean(-1)


def test_a_fixed_batch_is_read_as_any_batch(tmp_path: Path) -> None:
    trace = traced(Reshaped(), tmp_path / "fixed.pt2", 4, 3, 3, dynamic=False)
    assert trace.calls[0].arguments["shape"] == [-1, 2, 18]
    assert trace.calls[0].sizes == (BATCH, 2, 18)
    assert trace.notes == (
        "The archive fixes the batch to 2; reshapes to this size are read as reshapes of any batch.",
    )


def test_a_module_in_training_mode(tmp_path: Path) -> None:
    path = tmp_path / "training.pt2"
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).train()
    torch.export.save(torch.export.export(module, (torch.randn(2, 3, 5, 5),)), path)
    trace = read_archive(path)
    assert [call.operation for call in trace.calls] == ["conv2d", "batch_norm"]
    assert trace.calls[1].arguments["training"] is True


class Conditional(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = torch.cond(x.sum() > 0, lambda t: t + 1, lambda t: t - 1, (x,))
        with torch.autocast("cpu", enabled=False):
            return x * 2


def test_every_operation_without_a_place_is_listed(tmp_path: Path) -> None:
    path = tmp_path / "conditional.pt2"
    torch.export.save(program(Conditional(), 3, dynamic=False), path)
    with pytest.raises(rx.ArchError) as caught:
        read_archive(path)
    messages = [diagnostic.message for diagnostic in caught.value.diagnostics]
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"E624"}
    assert any("`torch.ops.higher_order.cond` is no operator of ATen" in message for message in messages)
    assert any("autocast" in message for message in messages)
