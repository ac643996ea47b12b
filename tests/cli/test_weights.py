"""`resnext-dsl weights`: a checkpoint of torchvision's to our keys and back, through files."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import pytest
import references
import torch
from references import reference, timm
from safetensors.torch import save_file
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.weights import load_checkpoint


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


# --- the same checkpoints as `compile(weights=)`


def in_both_orders(model: torch.nn.Module, folder: Path) -> list[Path]:
    state = {key: value.clone() for key, value in model.state_dict().items()}
    torch.save(state, folder / "w.pth")
    save_file(state, folder / "w.safetensors")
    return [folder / "w.pth", folder / "w.safetensors"]


def test_timms_res2net_goes_in_and_comes_back(tmp_path: Path) -> None:
    """The fastest form joins paths, so that it has other layers than the checkpoint."""
    model = references.filled(lambda: timm.create_model("res2net50_26w_4s"), seed=1).eval()
    for file in in_both_orders(model, tmp_path)[1:]:  # the sorted one, whose order tells less
        ours, back = tmp_path / "ours.safetensors", tmp_path / "back.pth"
        status, out, err = run("res2net50_26w_4s", file, "-o", ours)
        assert (status, "warning" in err) == (0, False), err
        assert "conv2.0.conv1.weight  <-  layer1.0.conv1.weight" in out
        compiled = rx.load("res2net50_26w_4s").compile(weights=model.state_dict()).state_dict()
        converted = load_checkpoint(ours)
        assert converted.keys() == compiled.keys()
        assert all(torch.equal(converted[key], compiled[key]) for key in compiled)
        assert run("res2net50_26w_4s", ours, "--like", file, "-o", back)[0] == 0
        returned = load_checkpoint(back)
        assert all(torch.equal(returned[key], value) for key, value in model.state_dict().items())


class Mixed(torch.nn.Module):
    """timm's mixed convolution: kernels of several sizes, each for a part of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_pw = torch.nn.Conv2d(3, 12, 1, bias=False)
        self.conv_dw = timm.layers.MixedConv2d(12, 12, [3, 5, 7], depthwise=True)
        self.bn = torch.nn.BatchNorm2d(12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv_dw(self.conv_pw(x)))


MIXED = """network mixed {
    input image: 3x16x16
    stage s {
        conv(12, 1x1)
        split {
            path { slice(0, 4); conv(4, 3x3, groups=4) }
            path { slice(4, 8); conv(4, 5x5, groups=4) }
            path { slice(8, 12); conv(4, 7x7, groups=4) }
        } merge concat
        bn
    }
}
"""


class Cells(torch.nn.Module):
    """Two cells like NASNet's: each squeezes the value before and the value before that one, and adds branches."""

    def __init__(self) -> None:
        super().__init__()
        for number in range(2):
            cell = torch.nn.Module()
            cell.conv_prev_1x1 = unit()
            cell.conv_1x1 = unit()
            cell.comb_iter_0_left, cell.comb_iter_0_right = unit(), unit()
            self.add_module(f"cell_{number}", cell)
        self.stem = torch.nn.Conv2d(3, 8, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        before = x = self.stem(x)
        for cell in (self.cell_0, self.cell_1):
            left, right = cell.conv_prev_1x1(before), cell.conv_1x1(x)
            before, x = x, cell.comb_iter_0_left(left).relu() + cell.comb_iter_0_right(right)
        return x


def unit() -> torch.nn.Sequential:
    layers = {"conv": torch.nn.Conv2d(8, 8, 1, bias=False), "bn": torch.nn.BatchNorm2d(8)}
    return torch.nn.Sequential(OrderedDict(layers))


CELLS = """
template squeeze_prev() { conv(8, 1x1); bn }
template squeeze() { conv(8, 1x1); bn }
network cells {
    input image: 3x16x16
    stem { conv(8, 3x3) as start }
    stage cell0 {
        use start; squeeze_prev; conv(8, 1x1); bn; relu as left0
        use start; squeeze; conv(8, 1x1); bn; add(left0) as end0
    }
    stage cell1 {
        use start; squeeze_prev; conv(8, 1x1); bn; relu as left1
        use end0; squeeze; conv(8, 1x1); bn; add(left1)
    }
}
"""


@pytest.mark.parametrize(("text", "build"), [(MIXED, Mixed), (CELLS, Cells)], ids=["mixed", "cells"])
def test_networks_whose_fastest_form_has_other_layers(
    text: str, build: Callable[[], torch.nn.Module], tmp_path: Path
) -> None:
    """The command converts what `compile(weights=)` takes, and the outputs are right or the layers are listed."""
    model = build().eval()
    references.fill(model, seed=1)
    (tmp_path / "n.arch").write_text(text)
    image = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    for file in in_both_orders(model, tmp_path):
        status, _, err = run(tmp_path / "n.arch", file, "-o", tmp_path / "ours.pt")
        assert status == 0, err
        ours = rx.load(tmp_path / "n.arch").compile(weights=tmp_path / "ours.pt").eval()
        with torch.no_grad():
            difference = (ours(image) - model(image)).abs().max() / model(image).abs().max()
        assert difference < 1e-5 or "warning[W911]" in err


# --- options of the checkpoint

SPLIT = """network n {
    input image: 8x16x16
    stage s {
        split {
            path { conv(8, 3x3, dilation=2) }
            path { conv(8, 3x3) }
        } merge add
    }
}
"""

SOURCE = """
from torch import nn

class Paths(nn.Module):
    def __init__(self):
        super().__init__()
        self.path1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.path2 = nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False)

    def forward(self, x):
        return self.path1(x) + self.path2(x)

def build():
    return Paths()

def unsuited():
    return nn.Sequential(nn.Conv2d(4, 4, 3))

def broken():
    raise RuntimeError("no such checkpoint")

def number():
    return 3
"""


@pytest.fixture
def split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("split.arch").write_text(SPLIT)
    Path("source_paths.py").write_text(SOURCE)
    generator = torch.Generator().manual_seed(0)
    state = {f"path{number}.weight": torch.randn(8, 8, 3, 3, generator=generator) for number in (1, 2)}
    torch.save(state, "w.pth")
    return tmp_path


MAP = ("--map", "path2=s.paths.0.conv", "--map", "path1=s.paths.1.conv")


def test_interchangeable_layers_are_listed_with_their_lines(split: Path) -> None:
    status, out, err = run("split.arch", "w.pth")
    assert status == 0
    assert "s.paths.0.conv.weight  <-  path1.weight" in out
    assert "split.arch:5:20: warning[W911]: `s.paths.0.conv` and `s.paths.1.conv` are interchangeable" in err
    assert "note: split.arch:6:20: `s.paths.1.conv` takes `path2` (dilation=1x1)" in err


def test_strict_makes_warnings_errors(split: Path) -> None:
    status, out, err = run("split.arch", "w.pth", "--strict", "-o", "ours.pt")
    assert (status, out) == (2, "")
    assert "error[W911]" in err
    assert not Path("ours.pt").exists()


def test_a_map_decides_by_options_and_by_file(split: Path) -> None:
    Path("names.map").write_text("# the dilated path comes first\npath2 = s.paths.0.conv\npath1 = s.paths.1.conv\n")
    for options in (MAP, ("--map-file", "names.map")):
        status, out, err = run("split.arch", "w.pth", "--strict", *options)
        assert (status, err) == (0, "2 tensors of w.pth fit n\n")
        assert "s.paths.0.conv.weight  <-  path2.weight" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--map", "path2"), "--map:1: error[E707]: `path2` is not THEIRS=OURS"),
        (("--map-file", "none.map"), "none.map: error[E707]: the map cannot be read: no such file or directory"),
        (("--map", "path3=s.paths.0.conv"), "error[E707]: the map names `path3`, and the checkpoint has no such layer"),
        (("--reference", "source_paths"), "error: `--reference source_paths` is not MODULE:FUNCTION"),
        (
            ("--reference", "source_paths:biuld"),
            "module `source_paths` has no function `biuld`\n  help: did you mean `build`?",
        ),
        (
            ("--reference", "source_paths:broken"),
            "`source_paths:broken` cannot be run: RuntimeError: no such checkpoint",
        ),
        (
            ("--reference", "source_paths:number"),
            "`source_paths:number` returns a value of type `int`; it must be a function",
        ),
        (("--ema",), "it has no averaged weights, which `--ema` asks for"),
    ],
)
def test_options_that_cannot_be_followed(split: Path, options: tuple[str, ...], message: str) -> None:
    status, _, err = run("split.arch", "w.pth", *options)
    assert status == 2
    assert message in err


def test_a_reference_finds_the_first_layer_that_differs(split: Path) -> None:
    status, out, err = run("split.arch", "w.pth", "--reference", "source_paths:build")
    assert (status, out) == (2, "")
    assert (
        "error[E706]: the output of `s.paths.0.conv` (`path1` of the reference) differs from the reference by " in err
    )
    assert "and its input is equal" in err
    status, _, err = run("split.arch", "w.pth", "--reference", "source_paths:build", *MAP)
    assert status == 0
    assert err == (
        "2 layers compute the values of the reference; the largest difference is 0.0e+00 of the largest value\n"
        "2 tensors of w.pth fit n\n"
    )


def test_a_reference_that_cannot_run(split: Path) -> None:
    status, _, err = run("split.arch", "w.pth", "--reference", "source_paths:unsuited")
    assert status == 2
    assert "error[E708]: the reference cannot be run on an input of [1, 8, 16, 16]: RuntimeError: Given groups=1" in err


def test_compile_and_export_take_the_same_options(split: Path) -> None:
    for command in (["compile", "split.arch", "--to", "pt2"], ["export", "split.arch", "--to", "pt2"]):
        result = CliRunner().invoke(app, [*command, "--weights", "w.pth", "-o", "n.pt2"])
        assert result.exit_code == 0, result.stderr
        assert "warning[W911]" in result.stderr
        result = CliRunner().invoke(app, [*command, "--weights", "w.pth", "-o", "n.pt2", "--strict", *MAP])
        assert result.exit_code == 0, result.stderr
        assert "W911" not in result.stderr
        result = CliRunner().invoke(app, [*command, "-o", "n.pt2", "--strict"])
        assert result.exit_code == 2
        assert "error: `--strict` describes a checkpoint: name it with --weights FILE" in result.stderr


def test_json_has_the_warnings_and_the_keys_left_out(split: Path) -> None:
    torch.save({**torch.load("w.pth"), "n_averaged": torch.tensor(1)}, "w.pth")
    status, out, _ = run("split.arch", "w.pth", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["ignored"] == ["n_averaged"]
    assert [diagnostic["code"] for diagnostic in answer["diagnostics"]] == ["W911"]
