"""Checkpoints as training scripts write them: wrappers, averaged weights, other objects, foreign buffers, bad values."""

from __future__ import annotations

import argparse
import re
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import references
import torch
from references import timm
from timm.utils import CheckpointSaver, ModelEmaV2
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import WeightsError, WeightsWarning
from resnext_dsl.weights import load_checkpoint, load_weights, save
from resnext_dsl.weights.files import read_checkpoint

TRAINED = {"fc.weight": torch.full((3, 2), 1.0), "fc.bias": torch.zeros(3)}
AVERAGED = {"fc.weight": torch.full((3, 2), 2.0), "fc.bias": torch.ones(3)}


def written(content: object, folder: Path) -> Path:
    torch.save(content, folder / "w.pth")
    return folder / "w.pth"


def taken(content: object, folder: Path, ema: bool | None = None) -> str:
    weight = load_checkpoint(written(content, folder), ema)["fc.weight"]
    return {1.0: "trained", 2.0: "averaged"}[weight[0, 0].item()]


# --- averaged weights

PAIRS: list[tuple[str, str, dict[str, Any], str, str]] = [
    ("state_dict", "state_dict_ema", {}, "averaged", ", by the convention of timm"),
    ("model", "model_ema", {}, "trained", ", by the convention of torchvision"),
    ("model_state", "ema_state", {"test_err": 25.0, "test_ema_err": 24.0}, "averaged", ", by the convention of pycls"),
    ("model_state", "ema_state", {"test_err": 24.0, "test_ema_err": 25.0}, "trained", ", by the convention of pycls"),
    ("params", "params_ema", {}, "trained", ""),
    ("net", "ema", {}, "trained", ""),
]


@pytest.mark.parametrize(("trained", "averaged", "more", "default", "convention"), PAIRS)
def test_a_file_with_both_says_which_was_taken(
    trained: str, averaged: str, more: dict[str, Any], default: str, convention: str, tmp_path: Path
) -> None:
    content = {trained: TRAINED, averaged: AVERAGED, "epoch": 3, **more}
    assert taken(content, tmp_path) == default
    assert taken(content, tmp_path, ema=True) == "averaged"
    assert taken(content, tmp_path, ema=False) == "trained"
    choice = read_checkpoint(tmp_path / "w.pth").choice
    assert choice is not None
    key, other = (averaged, trained) if default == "averaged" else (trained, averaged)
    assert choice.code == "W913"
    assert choice.severity == "warning"
    kinds = ("averaged", "trained") if default == "averaged" else ("trained", "averaged")
    assert choice.message == (
        f"the checkpoint has {kinds[0]} weights (`{key}`) and {kinds[1]} ones (`{other}`); `{key}` is loaded{convention}"
    )
    flag = "`--no-ema`" if default == "averaged" else "`--ema`"
    assert choice.hint.startswith(f"{flag} takes `{other}`")
    assert read_checkpoint(tmp_path / "w.pth", ema=False).choice is None


def test_averaged_weights_alone(tmp_path: Path) -> None:
    content = {"ema": AVERAGED, "epoch": 3}
    assert taken(content, tmp_path) == "averaged"
    assert taken(content, tmp_path, ema=True) == "averaged"
    with pytest.raises(WeightsError, match=r"it has averaged weights only \(`ema`\), and `--no-ema` excludes them"):
        load_checkpoint(tmp_path / "w.pth", ema=False)


def test_no_averaged_weights(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="it has no averaged weights, which `--ema` asks for"):
        load_checkpoint(written({"state_dict": TRAINED}, tmp_path), ema=True)


def test_timms_own_checkpoints(tmp_path: Path) -> None:
    """The file of `CheckpointSaver`: arguments in a namespace, an optimizer, weights and their average."""
    model = timm.create_model("resnet18", num_classes=3)
    average = ModelEmaV2(model)
    with torch.no_grad():
        average.module.fc.bias.fill_(2.0)
    arguments = argparse.Namespace(lr=0.1, model="resnet18", betas=(0.9, 0.999))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    saver = CheckpointSaver(model, optimizer, args=arguments, model_ema=average, checkpoint_dir=str(tmp_path))
    saver.save_checkpoint(epoch=1, metric=np.float64(71.5))
    file = next(tmp_path.glob("checkpoint-1.pth.tar"))
    expected = timm.models.load_state_dict(str(file), weights_only=False)
    actual = load_checkpoint(file)
    assert list(actual) == list(expected)
    assert all(torch.equal(actual[key], expected[key]) for key in expected)
    assert actual["fc.bias"].tolist() == [2.0] * 3


def test_torchvisions_reference_scripts(tmp_path: Path) -> None:
    """references/classification/train.py saves `args` as a namespace, and `model_ema` with a counter and a prefix."""
    model = references.timm.create_model("resnet18", num_classes=3)
    average = AveragedModel(model, use_buffers=True)
    content = {
        "model": model.state_dict(),
        "optimizer": torch.optim.SGD(model.parameters(), lr=0.1).state_dict(),
        "lr_scheduler": {"base_lrs": [0.1]},
        "epoch": 1,
        "args": argparse.Namespace(model="resnet18", output_dir=Path("runs")),
        "model_ema": average.state_dict(),
    }
    file = written(content, tmp_path)
    assert load_checkpoint(file).keys() == model.state_dict().keys()
    averaged = read_checkpoint(file, ema=True)
    assert averaged.tensors.keys() == model.state_dict().keys()
    assert averaged.ignored == ("n_averaged",)


# --- other objects in the file


def test_placeholders_stand_for_inert_objects(tmp_path: Path) -> None:
    content = {
        "state_dict": TRAINED,
        "args": argparse.Namespace(lr=0.1),
        "metric": np.float64(0.5),
        "errors": np.arange(3),
        "folder": Path("runs"),
        "history": defaultdict(list, {"loss": [1.0]}),
        "seen": {1, 2},
    }
    for zipped in (True, False):
        torch.save(content, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
        assert load_checkpoint(tmp_path / "w.pth").keys() == TRAINED.keys()
    with pytest.raises(Exception, match="weights_only"):
        torch.load(tmp_path / "w.pth", weights_only=True)


class Settings(dict[str, int]):
    """An unknown type."""


class Trainer:
    """Another one."""


def test_unknown_types_are_named_with_the_line_that_saves_the_weights(tmp_path: Path) -> None:
    file = written({"state_dict": TRAINED, "settings": Settings(a=1), "trainer": Trainer()}, tmp_path)
    module = Settings.__module__
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(file)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "E702"
    assert diagnostic.message == (
        f"the weights in `{file}` cannot be read: it has objects that only running its code can read: "
        f"`{module}.Settings`, `{module}.Trainer`"
    )
    line = re.search("`(.*)`", diagnostic.hint)
    assert line is not None
    assert line[1] == 'torch.save(torch.load("w.pth", weights_only=False)["state_dict"], "weights.pth")'
    assert diagnostic.hint.startswith("if you trust the file, save its weights alone: ")


def test_the_line_of_the_hint_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for content in ({"model": TRAINED, "trainer": Trainer()}, nn.Sequential(OrderedDict(fc=nn.Linear(2, 3)))):
        with pytest.raises(WeightsError) as caught:
            load_checkpoint(written(content, tmp_path))
        line = re.search("`(.*)`", caught.value.diagnostics[0].hint)
        assert line is not None
        exec(line[1], {"torch": torch})
        assert load_checkpoint(tmp_path / "weights.pth").keys() == TRAINED.keys()


DAMAGED = {
    "empty.pth": (b"", "it is empty"),
    "page.pth": (b"<!DOCTYPE html><html>", "it is a page of HTML; the download went wrong"),
    "pointer.pth": (
        b"version https://git-lfs.github.com/spec/v1",
        "it is a pointer of Git LFS; `git lfs pull` fetches",
    ),
    "text.pth": (b"hello", "it is no file of `torch.save`"),
    "archive.pth": (b"PK\x03\x04" + bytes(50), "it is a damaged or truncated archive of `torch.save`"),
    "pickle.pth": (b"\x80\x02}q\x00", "it is a damaged or truncated pickle, or a pickle without tensors of torch"),
    "cut.safetensors": (b"\x10\x00", "it is no safetensors file, or it is damaged or truncated"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_reasons_are_sentences_without_terminal_codes(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(DAMAGED[name][0])
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(tmp_path / name)
    text = str(caught.value)
    assert f"cannot be read: {DAMAGED[name][1]}" in text
    assert "\x1b" not in text
    assert "\N{REPLACEMENT CHARACTER}" not in text


# --- wrappers and foreign buffers


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model_state", "model", "net", "params", "ema"])
def test_wrappers(key: str, tmp_path: Path) -> None:
    assert load_checkpoint(written({"epoch": 1, key: TRAINED}, tmp_path)).keys() == TRAINED.keys()


def test_a_wrapper_without_tensors_is_none(tmp_path: Path) -> None:
    content = {"params": {"lr": 0.1}, "model": {"module": TRAINED}}
    assert load_checkpoint(written(content, tmp_path)).keys() == TRAINED.keys()


def test_buffers_that_are_no_part_of_a_network() -> None:
    foreign = {
        "n_averaged": torch.tensor(3),
        "total_ops": torch.zeros(1),
        "fc.total_params": torch.zeros(1),
        "criterion.weight": torch.ones(3),
        "mean": torch.zeros(3),
        "normalize.std": torch.ones(1, 3, 1, 1),
    }
    model = nn.Sequential(OrderedDict(linear=nn.Linear(2, 3)))
    filled = load_weights(model, {f"module.{key}": value for key, value in TRAINED.items()} | foreign)
    assert filled.ignored == tuple(foreign)
    assert model.linear.weight.tolist() == TRAINED["fc.weight"].tolist()


# --- values that are not finite


def digits_head(values: Tensor) -> dict[str, Tensor]:
    return {"fc.weight": values, "fc.bias": torch.zeros(3)}


def test_values_that_are_not_finite_are_named() -> None:
    weight = torch.ones(3, 2)
    weight[0, 0], weight[2, 1] = float("nan"), float("inf")
    model = nn.Sequential(OrderedDict(linear=nn.Linear(2, 3)))
    with pytest.warns(WeightsWarning) as caught:
        load_weights(model, digits_head(weight))
    (warning,) = (each.message.diagnostic for each in caught if isinstance(each.message, WeightsWarning))
    assert (warning.code, warning.severity) == ("W912", "warning")
    assert warning.message == "the checkpoint has values that are NaN or infinite: `fc.weight` (2 of 6)"
    with pytest.raises(WeightsError, match=r"NaN or infinite: `fc.weight` \(2 of 6\)") as error:
        load_weights(model, rx.Checkpoint(digits_head(weight), strict=True))
    assert error.value.diagnostics[0].severity == "error"


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_large_values_are_finite(dtype: torch.dtype) -> None:
    largest = torch.finfo(dtype).max
    load_weights(
        nn.Linear(2, 3).to(dtype), {"weight": torch.full((3, 2), largest, dtype=dtype), "bias": torch.zeros(3)}
    )


def test_a_file_keeps_its_choice_in_compile(tmp_path: Path) -> None:
    network = rx.loads("network n { input image: 2x4x4; head { avgpool(global); flatten; linear(3) } }")
    file = written({"state_dict": TRAINED, "state_dict_ema": AVERAGED}, tmp_path)
    with pytest.warns(WeightsWarning, match=r"W913.*`state_dict_ema` is loaded"):
        model = network.compile(weights=file)
    assert model.state_dict()["head.linear.weight"].eq(2).all()
    trained = network.compile(weights=rx.Checkpoint(file, ema=False))
    assert trained.state_dict()["head.linear.weight"].eq(1).all()
    with pytest.raises(WeightsError, match="W913"):
        network.compile(weights=rx.Checkpoint(file, strict=True))


def test_what_is_saved_has_no_wrapper(tmp_path: Path) -> None:
    save(tmp_path / "w.pt", TRAINED)
    assert read_checkpoint(tmp_path / "w.pt").choice is None
