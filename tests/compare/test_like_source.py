"""Checkpoints that the graph of their model pairs with a network: outputs, differences in function, and errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from references import filled, timm, torchvision
from torch import nn
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def saved(make: Callable[[], nn.Module], size: int = 3) -> nn.Module:
    """A module with random weights and statistics, whose state_dict is in `theirs.pth`."""
    model = filled(make, seed=size).eval()
    torch.save(model.state_dict(), "theirs.pth")
    return model


@pytest.mark.parametrize(
    ("spec", "source", "make"),
    [
        ("resnet18", "timm:resnet18", lambda: timm.create_model("resnet18")),
        pytest.param(
            "resnext50_32x4d_a",
            "torchvision:resnext50_32x4d",
            torchvision.models.resnext50_32x4d,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_the_network_computes_what_the_source_computes(
    spec: str, source: str, make: Callable[[], nn.Module], folder: Path
) -> None:
    theirs = saved(make)
    status, out, err = run("weights", spec, "theirs.pth", "--like", source, "-o", "ours.safetensors")
    assert (status, "warning" in err) == (0, False), err
    assert f"fit {spec} by the graph of {source}; wrote ours.safetensors" in err
    assert "head.linear.weight  <-  fc.weight\n" in out
    ours = rx.load(spec).compile(weights="ours.safetensors").eval()
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-5)


PATHS = """\
network paths {
    input image: 3x16x16
    conv(8, 3x3); bn
    split {
        path { conv(8, 3x3, dilation=2); relu }
        path { conv(8, 3x3); relu }
    } merge concat
    avgpool(global); flatten; linear(5)
}
"""
SOURCE = """
import torch
from torch import nn

class Paths(nn.Module):
    def __init__(self, eps=1e-5, dilation=2, swapped=False, act=nn.ReLU, width=8):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8, eps=eps)
        self.plain = nn.Conv2d(8, width, 3, padding=1, bias=False)
        self.wide = nn.Conv2d(8, 8, 3, padding=dilation, dilation=dilation, bias=False)
        self.act, self.fc, self.swapped = act(), nn.Linear(8 + width, 5), swapped

    def forward(self, x):
        x = self.norm(self.conv(x))
        parts = [self.act(self.wide(x)), self.act(self.plain(x))]
        if self.swapped:
            parts.reverse()
        return self.fc(torch.cat(parts, 1).mean((2, 3)))

def build():
    return Paths()

def other_eps():
    return Paths(eps=1e-3)

def dilated():
    return Paths(dilation=3)

def swapped():
    return Paths(swapped=True)

def silu():
    return Paths(act=nn.SiLU)

def wide():
    return Paths(width=16)
"""


@pytest.fixture
def paths(folder: Path) -> Path:
    (folder / "paths.arch").write_text(PATHS)
    (folder / "source_of_paths.py").write_text(SOURCE)
    return folder


def saved_paths(function: str) -> nn.Module:
    from resnext_dsl.importing.libraries import called_module

    return saved(lambda: called_module(f"source_of_paths:{function}"))


def like(function: str, *options: str) -> tuple[int, str, str]:
    return run("weights", "paths.arch", "theirs.pth", "--like", f"source_of_paths:{function}", *options)


@pytest.mark.usefixtures("paths")
def test_a_graph_decides_where_shapes_do_not() -> None:
    """Both paths have a 3x3 convolution of 8 channels; the order of the keys is not that of the paths."""
    theirs = saved_paths("build")
    status, out, err = like("build", "-o", "ours.pt")
    fit = "10 tensors of theirs.pth fit paths by the graph of source_of_paths:build; wrote ours.pt\n"
    assert (status, err) == (0, fit)
    assert "paths.0.conv.weight  <-  wide.weight\n" in out
    assert "paths.1.conv.weight  <-  plain.weight\n" in out
    ours = rx.load("paths.arch").compile(weights="ours.pt").eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), theirs(images), rtol=1e-5, atol=1e-6)


@pytest.mark.usefixtures("paths")
@pytest.mark.parametrize(
    ("function", "place", "text"),
    [
        ("other_eps", "paths.arch:3:19", "`bn`: `eps` is 1e-05 here and 0.001 there"),
        ("dilated", "paths.arch:5:16", "`dilation` is 2x2 here and 3x3 there"),
        ("swapped", "paths.arch:7:13", "`concat` joins the paths in another order there"),
        ("silu", "paths.arch:5:42", "and 1 more: `relu` here, `silu` there"),
    ],
)
def test_layers_that_compute_other_functions_are_named(function: str, place: str, text: str) -> None:
    saved_paths(function)
    status, _, err = like(function)
    assert status == 0
    assert f"{place}: warning[W914]: " in err
    assert text in err
    assert f"note: source_of_paths:{function}:" in err
    assert err.count("W914") == 1
    status, _, err = like(function, "--strict", "-o", "ours.pt")
    assert status == 2
    assert "error[W914]" in err
    assert not Path("ours.pt").exists()


@pytest.mark.usefixtures("paths")
def test_another_structure_is_an_error_with_both_places() -> None:
    saved_paths("wide")
    status, _, err = like("wide")
    assert status == 2
    assert "error[E701]: source_of_paths:wide has another structure than paths: it has no layer like" in err
    assert "note: source_of_paths:wide:" in err
    assert "help: `resnext-dsl diff SPEC source_of_paths:wide` lists all differences" in err


@pytest.mark.usefixtures("paths")
def test_a_checkpoint_of_another_model_is_an_error() -> None:
    saved(lambda: timm.create_model("resnet18"))
    status, _, err = like("build")
    assert (status, "error[E701]: the checkpoint has no `conv.weight`, which source_of_paths:build has" in err) == (
        2,
        True,
    )
    saved_paths("wide")
    status, _, err = like("build")
    assert status == 2
    assert "`plain.weight` has the shape (16, 8, 3, 3) in the checkpoint, and (8, 8, 3, 3) in source_of_paths" in err
    status, _, err = like("build", "--no-ema")
    assert (status, "error: `--like SOURCE` decides alone" in err) == (2, True)
    status, _, err = like("biuld")
    assert (status, "module `source_of_paths` has no function `biuld`\n  help: did you mean `build`?" in err) == (
        2,
        True,
    )
