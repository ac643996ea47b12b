"""`resnext-dsl import`, and commands that take a torch model in place of a spec."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from pages import CHECKOUT, blocks
from references import timm
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app

MODELS = """
import torch
from torch import nn

class Small(nn.Module):
    def __init__(self, width=8, classes=5, act="ReLU"):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.act, self.head = getattr(nn, act)(), nn.Linear(width, classes)

    def forward(self, x):
        return self.head(self.act(self.norm(self.conv(x))).mean((2, 3)))

def small(**choices):
    torch.manual_seed(0)
    return Small(**choices)

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x):
        x = torch.erfinv(self.conv(x))
        return torch.lgamma(self.other(x))

def odd():
    return Odd()

class Branching(nn.Module):
    def forward(self, x):
        return torch.relu(x) if x.sum() > 0 else x

def branching():
    return Branching()

class Plain(nn.Module):
    def forward(self, x):
        return (x - torch.relu(x))[:, :, ::2, 1::2]

def plain():
    return Plain()

def nothing():
    return nn.Identity()
"""
COST = "224 parameters"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "models_to_import.py").write_text(MODELS)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


SMALL = "models_to_import:small"


@pytest.mark.usefixtures("folder")
def test_the_text_is_printed_or_written_with_the_weights() -> None:
    status, out, err = run("import", SMALL, "--input", "3x16x16")
    assert status == 0
    assert out.startswith(f"# Imported from {SMALL}.\n")
    assert "network small {" in out
    assert "small: 277 parameters, " in err
    status, printed, err = run(
        "import", SMALL, "--input", "3x16x16", "-o", "small.arch", "--weights", "w.safetensors", "--compare"
    )
    assert (status, printed) == (0, "")
    assert "outputs: the largest difference is " in err
    assert err.endswith("wrote small.arch\nwrote w.safetensors\n")
    assert Path("small.arch").read_text() == out
    status, _, _ = run("fmt", "--check", "small.arch")
    assert status == 0
    model = rx.load("small.arch").compile(weights="w.safetensors").eval()
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    import models_to_import

    with torch.no_grad():
        torch.testing.assert_close(model(images), models_to_import.small().eval()(images), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("folder")
def test_a_model_without_weights_is_compared_too() -> None:
    status, _, err = run("import", "models_to_import:plain", "--input", "3x16x16", "--compare")
    assert (status, "outputs: the largest difference is 0.0e+00 of the largest value" in err) == (0, True), err


@pytest.mark.usefixtures("folder")
def test_choices_are_arguments_of_the_function() -> None:
    status, out, _ = run("import", SMALL, "--choice", "width=12", "--choice", "act=SiLU", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer["ok"] is True
    assert answer["cost"]["params"] == 3 * 12 * 9 + 24 + 12 * 5 + 5
    assert "silu" in answer["text"]
    assert rx.loads(answer["text"]).fingerprint == answer["fingerprint"]
    status, _, err = run("import", SMALL, "--choice", "wdth=12")
    assert status == 2
    assert "error[E708]: `models_to_import:small` cannot be run: TypeError: " in err


@pytest.mark.usefixtures("folder")
def test_existing_files_stay_without_force() -> None:
    Path("small.arch").write_text("mine")
    status, out, err = run("import", SMALL, "-o", "small.arch")
    assert (status, out, err) == (2, "", "error: `small.arch` exists; `--force` replaces it\n")
    assert Path("small.arch").read_text() == "mine"
    status, _, _ = run("import", SMALL, "-o", "small.arch", "--force")
    assert status == 0
    assert Path("small.arch").read_text() != "mine"
    status, _, err = run("import", SMALL, "-o", "missing/small.arch")
    assert (status, "missing" in err) == (2, True)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("source", "options", "message"),
    [
        ("models_to_import:smal", (), "has no function `smal`\n  help: did you mean `small`?"),
        ("models_to_improt:small", (), "there is no module `models_to_improt`"),
        (
            "resnet50",
            (),
            "error[E708]: `resnet50` is not the source of a model\n  help: sources: timm:NAME, torchvision:NAME",
        ),
        ("small.arch", (), "error[E708]: `small.arch` is not the source of a model"),
        ("tim:resnet50", (), "there is no module `tim`\n  help: did you mean `timm`?"),
        ("timm:resnet5O", (), "error[E606]: timm 1.0.31 has no network `resnet5O`\n  help: did you mean `resnet50`?"),
        ("torchvision:resnext", (), "error[E606]: torchvision 0.28.0"),
        ("missing.onnx", (), "missing.onnx: error[E621]"),
        ("missing.pt2", (), "missing.pt2: error[E621]"),
        (SMALL, ("--input", "3,16,16"), "`--input 3,16,16` is not a shape"),
        (
            SMALL,
            ("--input", "4x16x16"),
            "`conv.weight` has the shape [8, 3, 3, 3], and its operator needs [8, 4, 3, 3]",
        ),
        ("models_to_import:branching", (), "error[E611]"),
        ("models_to_import:nothing", (), "error[E305]: the model has no operators: its output is its input"),
    ],
)
def test_a_source_that_cannot_be_imported(source: str, options: tuple[str, ...], message: str) -> None:
    status, out, err = run("import", source, *options, "-o", "out.arch")
    assert (status, out) == (2, "")
    assert message in err
    assert not Path("out.arch").exists()
    assert "Traceback" not in err


@pytest.mark.usefixtures("folder")
def test_all_operations_that_the_language_lacks_are_named_at_once() -> None:
    status, _, err = run("import", "models_to_import:odd")
    assert status == 2
    assert err.count("error[E610]") == 2
    assert "models_to_import.py:24: error[E610]: `erfinv` in the model (Odd)" in err
    assert "models_to_import.py:25: error[E610]: `lgamma` in the model (Odd)" in err
    assert err.endswith("2 errors\n")


@pytest.mark.usefixtures("folder")
def test_a_source_stands_where_a_spec_stands() -> None:
    (Path("phones.arch")).write_text("budget { params <= 200 }")
    status, out, _ = run("check", SMALL)
    assert (status, "small: 277 parameters" in out) == (0, True)
    status, _, err = run("check", SMALL, "--budget", "phones.arch")
    assert (status, "`params` is 277" in err) == (1, True)
    status, out, _ = run("summary", SMALL)
    assert (status, "277" in out) == (0, True)
    status, out, _ = run("verify", SMALL)
    assert status == 0
    status, out, _ = run("compile", SMALL, "-o", "-")
    assert (status, "class Small(nn.Module)" in out) == (0, True)
    status, out, err = run("export", SMALL, "--to", "pt2", "-o", "small.pt2")
    assert (status, Path("small.pt2").exists()) == (0, True), err
    status, out, err = run("diff", SMALL, "small.pt2")
    assert status == 0, err


def test_a_shipped_network_equals_that_of_the_library() -> None:
    status, out, err = run("diff", "resnet18", "timm:resnet18")
    assert status == 0, err
    assert rx.load("timm:resnet18").fingerprint == rx.load("resnet18").fingerprint
    assert "same architecture" in out


def test_the_page_shows_what_is_written() -> None:
    page = (CHECKOUT / "docs" / "importing.md").read_text()
    (text,) = [block.text for block in blocks(CHECKOUT / "docs" / "importing.md") if block.language == "arch"]
    assert run("import", "timm:resnext50_32x4d")[1] == text
    assert "It has the fingerprint of the shipped `resnext50_32x4d`" in page


def test_a_module_is_a_network() -> None:
    module = timm.create_model("resnext50_32x4d")
    network = rx.from_torch(module, torch.zeros(1, 3, 224, 224))
    assert network.cost().params == sum(parameter.numel() for parameter in module.parameters())
    assert network.fingerprint == rx.load("resnext50_32x4d").fingerprint
    assert rx.loads(network.to_arch()).fingerprint == network.fingerprint
    assert rx.from_torch(module, (3, 160, 160)).ir.nodes[0].shape == (3, 160, 160)
