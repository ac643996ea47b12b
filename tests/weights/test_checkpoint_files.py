"""Checkpoints: read and written, moved both ways without loss, loaded in whole or not at all, never run."""

from __future__ import annotations

import os
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import references
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.resnet import Bottleneck, ResNet

from resnext_dsl.foundation.diagnostics import WeightsError
from resnext_dsl.weights import (
    export_state_dict,
    load_checkpoint,
    load_weights,
    save,
)
from resnext_dsl.weights.leaves import COUNTER

# --- two libraries' spellings of one network, both ways: outputs equal, weights back to the bit

PAIRS = (
    ("resnext50_32x4d", "resnext50_32x4d"),
    ("densenet121", "densenet121"),
    ("inception_v3", "inception_v3"),
    ("regnet_y_400mf", "regnety_004"),  # torchvision registers the shortcut before the body
    ("convnext_tiny", "convnext_tiny"),  # `layer_scale` of 96x1x1 and `gamma` of 96
    ("efficientnet_b0", "efficientnet_b0"),
)


def timm_model(name: str) -> nn.Module:
    options = {"aux_logits": True} if name == "inception_v3" else {}
    return references.timm_structure(name, **options).to_empty(device="cpu").eval()


def torchvision_model(name: str) -> nn.Module:
    options = {"inception_v3": {"init_weights": False, "transform_input": False}}.get(name, {})
    return torchvision.models.get_model(name, weights=None, **options).eval()


@pytest.mark.parametrize(
    ("torchvision_name", "timm_name", "suffix"), [(*PAIRS[0], ".pt"), *((*pair, ".safetensors") for pair in PAIRS)]
)
def test_torchvision_and_timm_share_checkpoints(
    torchvision_name: str, timm_name: str, suffix: str, tmp_path: Path
) -> None:
    one, other = torchvision_model(torchvision_name), timm_model(timm_name)
    references.fill(one, seed=1)
    file = tmp_path / f"weights{suffix}"
    save(file, one.state_dict())
    load_weights(other, file)
    image = torch.randn(1, 3, *[299 if "inception" in timm_name else 96] * 2)
    with torch.no_grad():
        expected, actual = one(image), other(image)
        actual = actual[0] if isinstance(actual, tuple) else actual  # timm computes the auxiliary head in eval mode too
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert_same_state(export_state_dict(other, like=one.state_dict()), one.state_dict())


def assert_same_state(actual: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert list(actual) == list(expected)
    for key, tensor in expected.items():
        assert actual[key].dtype == tensor.dtype, key
        assert torch.equal(actual[key], tensor), key


# --- the three forms of a ResNeXt block, by hand and with names as the language gives them


def unit(*layers: tuple[str, nn.Module]) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)


class Block(nn.Module):
    """A bottleneck block in form "a", "b" or "c"."""

    def __init__(self, form: str, inputs: int, outputs: int, cardinality: int, width: int, stride: int) -> None:
        super().__init__()
        self.form = form
        total = cardinality * width
        if form == "c":
            self.conv1, self.bn1 = convolution(inputs, total), nn.BatchNorm2d(total)
            self.conv2, self.bn2 = convolution(total, total, 3, stride, cardinality), nn.BatchNorm2d(total)
            self.conv3 = convolution(total, outputs)
        else:
            self.paths = nn.ModuleList(self.path(inputs, outputs, width, stride) for _ in range(cardinality))
            if form == "b":
                self.conv3 = convolution(total, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = unit(("conv", convolution(inputs, outputs, 1, stride)), ("bn", nn.BatchNorm2d(outputs)))

    def path(self, inputs: int, outputs: int, width: int, stride: int) -> nn.Sequential:
        layers = [("conv1", convolution(inputs, width)), ("bn1", nn.BatchNorm2d(width)), ("relu1", nn.ReLU())]
        layers += [("conv2", convolution(width, width, 3, stride)), ("bn2", nn.BatchNorm2d(width))]
        layers.append(("relu2", nn.ReLU()))
        return unit(*layers, ("conv3", convolution(width, outputs))) if self.form == "a" else unit(*layers)

    def forward(self, x: Tensor) -> Tensor:
        if self.form == "c":
            value = self.bn1(self.conv1(x)).relu()
            value = self.conv3(self.bn2(self.conv2(value)).relu())
        else:
            values = [path(x) for path in self.paths]
            value = self.conv3(torch.cat(values, dim=1)) if self.form == "b" else torch.stack(values).sum(0)
        return (self.bn3(value) + self.shortcut(x)).relu()


DEPTHS, CARDINALITY, WIDTH, CLASSES = (2, 1, 1, 1), 8, 2, 10


def by_hand(form: str) -> nn.Module:
    """A small ResNeXt with our names."""
    stem = unit(("conv", nn.Conv2d(3, 64, 7, 2, 3, bias=False)), ("bn", nn.BatchNorm2d(64)), ("relu", nn.ReLU()))
    stem.append(nn.MaxPool2d(3, 2, 1))
    parts, inputs = [("stem", stem)], 64
    for stage, depth in enumerate(DEPTHS):
        blocks = nn.Sequential()
        for number in range(depth):
            stride, outputs = 2 if stage and not number else 1, 256 * 2**stage
            blocks.append(Block(form, inputs, outputs, CARDINALITY, WIDTH * 2**stage, stride))
            inputs = outputs
        parts.append((f"conv{stage + 2}", blocks))
    head = unit(("avgpool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten()), ("linear", nn.Linear(inputs, CLASSES)))
    model = unit(*parts, ("head", head))
    references.fill(model, seed=ord(form))
    return model.eval()


def by_torchvision(**options: int) -> ResNet:
    settings = {"groups": CARDINALITY, "width_per_group": WIDTH, "num_classes": CLASSES} | options
    model = ResNet(Bottleneck, list(DEPTHS), **settings).eval()
    references.fill(model, seed=7)
    return model


@pytest.mark.parametrize("form", ["a", "b", "c"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_each_form_loads_torchvisions_checkpoint(form: str, suffix: str, tmp_path: Path) -> None:
    reference, model = by_torchvision(), by_hand(form)
    save(tmp_path / f"weights{suffix}", reference.state_dict())
    load_weights(model, tmp_path / f"weights{suffix}")
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, actual = reference(image), model(image)
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert_same_state(export_state_dict(model, like=reference.state_dict()), reference.state_dict())


@pytest.mark.parametrize("source", ["a", "b", "c"])
@pytest.mark.parametrize("target", ["a", "b", "c"])
def test_each_form_loads_the_checkpoint_of_each(source: str, target: str) -> None:
    trained, model = by_hand(source), by_hand(target)
    load_weights(model, trained.state_dict())
    image = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected, actual = trained(image), model(image)
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert_same_state(export_state_dict(model, like=trained.state_dict()), trained.state_dict())


def test_summed_paths_with_a_bias_round_trip() -> None:
    paths = nn.ModuleList(nn.Conv2d(2, 6, 1) for _ in range(4))
    ours = nn.ModuleDict({"paths": paths})
    theirs = nn.Conv2d(8, 6, 1)
    load_weights(ours, {f"merged.{k}": v for k, v in theirs.state_dict().items()})
    x = torch.randn(1, 8, 5, 5)
    summed = sum(path(part) for path, part in zip(paths, x.chunk(4, dim=1), strict=True))
    torch.testing.assert_close(summed, theirs(x))
    back = export_state_dict(ours, like={f"merged.{k}": v for k, v in theirs.state_dict().items()})
    assert_same_state(back, {f"merged.{k}": v for k, v in theirs.state_dict().items()})


# --- files


def test_a_file_keeps_what_it_is_given(tmp_path: Path) -> None:
    shared = torch.arange(12.0).reshape(3, 4)
    state = {"a": shared, "b": shared, "c": shared[1:], "d": shared.t(), "e": torch.tensor(3), "f": torch.zeros(2, 0)}
    state["g"] = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state["h"] = torch.randn(3).to(torch.bfloat16)
    for name in ("w.safetensors", "w.pt", "w.PTH"):
        save(tmp_path / name, state)
        loaded = load_checkpoint(tmp_path / name)
        assert_same_state({key: loaded[key] for key in state}, state)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.PTH", "w.pt", "w.safetensors"]


def test_a_view_is_saved_without_the_rest(tmp_path: Path) -> None:
    save(tmp_path / "w.pt", {"a": torch.zeros(1_000_000)[:2]})
    assert (tmp_path / "w.pt").stat().st_size < 10_000


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_what_is_saved_may_be_read_by_whom_other_files_may(suffix: str, tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    save(tmp_path / f"w{suffix}", {"w": torch.zeros(2)})
    assert (tmp_path / f"w{suffix}").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "w.pt"
    save(file, {"a": torch.ones(2)})

    def full_disk(tensors: object, path: Path) -> None:
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(WeightsError, match=r"cannot be written to `.*w\.pt`: OSError: .*No space left") as caught:
        save(file, {"a": torch.zeros(2)})
    assert caught.value.diagnostics[0].code == "E703"
    assert [path.name for path in tmp_path.iterdir()] == ["w.pt"]
    assert load_checkpoint(file)["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("w.bin", {}, r"its name must end in one of \.safetensors, \.pt, \.pth"),
        ("missing/w.pt", {}, "No such file|does not exist"),
        ("folder.pt", {}, "it is not a regular file"),
        ("w.pt", {"a": torch.empty(2, device="meta")}, "`a` has no values: it is on the meta device"),
    ],
)
def test_what_cannot_be_written(name: str, state: dict[str, Tensor], reason: str, tmp_path: Path) -> None:
    (tmp_path / "folder.pt").mkdir()
    with pytest.raises(WeightsError, match=reason):
        save(tmp_path / name, state)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.pt"]


WRAPPINGS: dict[str, Callable[[dict[str, Tensor]], object]] = {
    "plain": lambda state: state,
    "ordered": OrderedDict,
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {}},
    "model": lambda state: {"model": state},
    "twice": lambda state: {"model": {"state_dict": state}},
    "DDP": lambda state: {f"module.{key}": value for key, value in state.items()},
    "compiled": lambda state: {"state_dict": {f"module._orig_mod.{key}": value for key, value in state.items()}},
    "parameters": lambda state: {key: nn.Parameter(value) for key, value in state.items()},
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("zipped", [True, False])
def test_the_usual_wrappings(wrapping: str, zipped: bool, tmp_path: Path) -> None:
    state = {"fc.weight": torch.randn(3, 2), "fc.bias": torch.randn(3)}
    torch.save(WRAPPINGS[wrapping](state), tmp_path / "w.pt", _use_new_zipfile_serialization=zipped)
    loaded = load_checkpoint(tmp_path / "w.pt")
    assert_same_state(loaded, state)
    assert not any(value.requires_grad for value in loaded.values())


class Hostile:
    """Runs a command when it is unpickled by a reader that lets it."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("name", ["w.pt", "w.pth", "w.bin", "w.safetensors", "w"])
@pytest.mark.parametrize("write", ["pickle", "torch"])
def test_nothing_in_a_file_is_run(name: str, write: str, tmp_path: Path) -> None:
    mark = tmp_path / "was-run"
    content = {"fc.weight": Hostile(mark)}
    if write == "pickle":
        (tmp_path / name).write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(WeightsError, match=rf"the weights in `.*{name}` cannot be read: ") as caught:
        load_checkpoint(tmp_path / name)
    assert caught.value.diagnostics[0].code == "E702"
    assert not mark.exists()
    with pytest.raises(WeightsError, match="cannot be read"):
        load_weights(nn.Linear(2, 3), tmp_path / name)
    assert not mark.exists()


BROKEN: dict[str, bytes] = {
    "empty.pt": b"",
    "empty.safetensors": b"",
    "text.pt": b"hello, this is no checkpoint",
    "zip.pt": b"PK\x03\x04" + bytes(100),
    "header.safetensors": (2**60).to_bytes(8, "little") + b"{}",
    "json.safetensors": (9).to_bytes(8, "little") + b'{"a": [1}',
    "deep.safetensors": (200_000).to_bytes(8, "little") + b"[" * 200_000,
    "pickle.pt": b"\x80\x02" + b"(" * 100_000 + b".",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(BROKEN[name])
    with pytest.raises(WeightsError, match=rf"the weights in `.*{re.escape(name)}` cannot be read: "):
        load_checkpoint(tmp_path / name)


@pytest.mark.parametrize("size", [0, 1, 60, 700, -100, -1])
def test_cut_files(size: int, tmp_path: Path) -> None:
    for name in ("w.pt", "w.safetensors"):
        save(tmp_path / name, {"a": torch.randn(100), "b": torch.randn(10)})
        whole = (tmp_path / name).read_bytes()
        if -len(whole) < size < len(whole):
            (tmp_path / name).write_bytes(whole[:size])
            with pytest.raises(WeightsError, match="cannot be read"):
                load_checkpoint(tmp_path / name)


NO_STATE: dict[str, tuple[object, str]] = {
    "list": ([torch.zeros(1)], "it contains a list instead of a state_dict"),
    "tensor": (torch.zeros(1), "it contains a Tensor instead of a state_dict"),
    "nothing": ({}, "it contains no tensors"),
    "number": ({"a": torch.zeros(1), "epoch": 3}, "`epoch` is of type int, not a tensor"),
    "number in a wrapper": (
        {"model": {"epoch": 3, "a": torch.zeros(1)}},
        "`epoch` is of type int, not a tensor",
    ),
    "key": ({0: torch.zeros(1)}, "it has a key of type int; keys must be tensor names"),
    "sparse": ({"a": torch.eye(3).to_sparse()}, "`a` is sparse, nested or quantized"),
    "module": (nn.Linear(2, 3), "cannot be read"),
}


@pytest.mark.parametrize("case", NO_STATE)
def test_files_without_a_state_dict(case: str, tmp_path: Path) -> None:
    content, reason = NO_STATE[case]
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=reason):
        load_checkpoint(tmp_path / "w.pt")


def test_a_state_dict_inside_itself() -> None:
    endless: dict[str, object] = {}
    endless["state_dict"] = endless
    with pytest.raises(WeightsError, match="`state_dict` is of type dict, not a tensor"):
        load_weights(nn.Linear(2, 3), endless)  # type: ignore[arg-type]


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.pt")
    for path, reason in (
        (tmp_path / "missing.pt", "there is no such file"),
        (tmp_path, "it is not a regular file"),
        (tmp_path / "fifo.pt", "it is not a regular file"),
        ("nul\0.pt", "there is no such file"),
    ):
        with pytest.raises(WeightsError, match=reason):
            load_checkpoint(path)


# --- all or nothing, and what a model may be


def test_a_checkpoint_that_does_not_fit_changes_nothing() -> None:
    model = by_hand("c")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"head\.linear\.weight"):
        load_weights(model, by_torchvision(num_classes=11).state_dict())
    assert_same_state(model.state_dict(), before)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda value: value.to(torch.int8), "`fc.weight` is int8 in the checkpoint; the network needs float32"),
        (
            lambda value: value.to(torch.complex64),
            "`fc.weight` is complex64 in the checkpoint; the network needs float32",
        ),
        (lambda value: value.to("meta"), "`fc.weight` has no values in the checkpoint: it is on the meta device"),
    ],
)
def test_tensors_without_fitting_values(change: Callable[[Tensor], Tensor], reason: str) -> None:
    state = {"fc.weight": change(torch.randn(3, 2)), "fc.bias": torch.randn(3)}
    model = nn.Sequential(OrderedDict(linear=nn.Linear(2, 3)))
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=reason):
        load_weights(model, state)
    assert_same_state(model.state_dict(), before)


def test_values_take_the_models_type() -> None:
    state = by_torchvision().state_dict()
    half = by_hand("a").half()
    load_weights(half, state)
    assert torch.equal(half.state_dict()["head.linear.weight"], state["fc.weight"].half())
    whole = by_hand("c")
    load_weights(whole, {key: value.half() if value.is_floating_point() else value for key, value in state.items()})
    assert torch.equal(whole.state_dict()["head.linear.weight"], state["fc.weight"].half().float())


@pytest.mark.parametrize("form", ["a", "c"])
def test_a_model_on_the_meta_device_becomes_real(form: str) -> None:
    reference = by_torchvision()
    with torch.device("meta"):
        model = by_hand(form)
    load_weights(model.double(), reference.state_dict())
    for name, parameter in model.named_parameters():
        assert isinstance(parameter, nn.Parameter), name
        assert (parameter.device.type, parameter.dtype, parameter.requires_grad) == ("cpu", torch.float64, True), name
    with torch.no_grad():  # the model has its own memory
        for parameter in model.parameters():
            parameter.zero_()
    assert reference.fc.weight.abs().sum() > 0


def test_old_checkpoints_lack_counters() -> None:
    reference = by_torchvision()
    state = {key: value for key, value in reference.state_dict().items() if not key.endswith(COUNTER)}
    model = by_hand("a")
    load_weights(model, state)
    assert {int(value) for key, value in model.state_dict().items() if key.endswith(COUNTER)} == {0}
    assert_same_state(export_state_dict(model, like=state), state)
    back = export_state_dict(model, like=reference.state_dict())
    assert {int(value) for key, value in back.items() if key.endswith(COUNTER)} == {0}


def test_a_linear_layer_is_the_convolution_that_covers_its_input() -> None:
    linear = nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 3, 5)).eval()
    covering, pointwise = nn.Conv2d(4, 5, 3), nn.Conv2d(4 * 3 * 3, 5, 1)
    x = torch.randn(2, 4, 3, 3)
    load_weights(linear, covering.state_dict())
    torch.testing.assert_close(linear(x), covering(x).flatten(1))
    load_weights(linear, pointwise.state_dict())
    torch.testing.assert_close(linear(x), pointwise(x.flatten(1)[..., None, None]).flatten(1))
    assert_same_state(export_state_dict(linear, like=pointwise.state_dict()), pointwise.state_dict())


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_what_is_loaded_does_not_follow_later_writes_to_the_file(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    save(path, {"a.weight": torch.full((400, 5), 3.0)})
    loaded = load_checkpoint(path)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert torch.equal(loaded["a.weight"], torch.full((400, 5), 3.0))
