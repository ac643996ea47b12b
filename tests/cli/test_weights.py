"""`resnext-dsl weights`: a checkpoint of torchvision's to our keys and back, through files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from references import reference
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["weights", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "resnet18.pth"
    torch.save(reference("resnet18").state_dict(), path)
    return path


def test_there_and_back_gives_the_same_tensors(theirs: Path, tmp_path: Path) -> None:
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
    status, out, err = run("resnet18", theirs, "-o", ours)
    assert status == 0
    assert "conv3.0.shortcut.conv.weight  <-  layer2.0.downsample.0.weight" in out
    assert err == f"122 tensors of {theirs} fit resnet18; wrote {ours}\n"
    assert run("resnet18", ours, "--like", theirs, "-o", back)[0] == 0
    before, after = torch.load(theirs, weights_only=True), torch.load(back, weights_only=True)
    assert list(before) == list(after)
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_the_converted_file_loads_and_computes_the_same(theirs: Path, tmp_path: Path) -> None:
    ours = tmp_path / "ours.pt"
    assert run("resnet18", theirs, "-o", ours)[0] == 0
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    model = rx.load("resnet18").compile(weights=ours).eval()
    with torch.no_grad():
        torch.testing.assert_close(model(images), reference("resnet18")(images), rtol=1e-5, atol=1e-5)


def test_json_lists_the_keys(theirs: Path) -> None:
    status, out, _ = run("resnet18", theirs, "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["ok"] is True
    assert answer["keys"]["head.linear.bias"] == "fc.bias"


def test_a_checkpoint_of_another_network_names_the_first_layer_that_differs(theirs: Path, tmp_path: Path) -> None:
    status, out, err = run("resnet34", theirs, "-o", tmp_path / "ours.pt")
    assert (status, out) == (2, "")
    assert "error[E701]" in err
    assert "layer" in err
    assert not (tmp_path / "ours.pt").exists()


def test_a_file_that_is_no_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "broken.pth"
    path.write_bytes(b"no weights")
    status, _, err = run("resnet18", path)
    assert status == 2
    assert "error[E702]" in err
    assert "broken.pth" in err
