"""`resnext-dsl train`: answers on standard output, progress on standard error, one error for one mistake."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnext_dsl.cli.app import app

SPEC = """
network small {
    input image: 1 x resolution x resolution
    param classes = 4
    param resolution = 16
    stem { conv(4, 3x3); bn; relu }
    head { avgpool(global); flatten; linear(classes) }
}
"""

QUICK = ("--epochs", "1", "--batch-size", "512", "--accelerator", "cpu")


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["train", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.arch").write_text(SPEC)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_from_spec_to_result(here: Path) -> None:
    status, out, err = run("small.arch", *QUICK)
    assert status == 0
    assert re.fullmatch(
        r"small on digits: \d+\.\d\d% right, \d+\.\d\d% among five, loss \d\.\d{4}\n"
        r"best: \d+\.\d\d% after epoch 1; 1 epochs in \d+\.\d s\n"
        r"wrote runs/small: weights.safetensors, best.safetensors, last.ckpt, metrics.csv, result.json\n",
        out,
    )
    first, second = err.splitlines()
    assert first == (
        "small (classes=10, resolution=8) on digits: 1,347 images to train on, 450 to measure on; cpu, 32-true"
    )
    assert second.startswith("epoch 1/1  lr 0.0")
    written = {path.name for path in (here / "runs" / "small").iterdir()}
    assert written == {"weights.safetensors", "best.safetensors", "last.ckpt", "metrics.csv", "result.json"}
    (row,) = csv.DictReader((here / "runs" / "small" / "metrics.csv").read_text().splitlines())
    assert f"{float(row['accuracy']):.2%} right" in out


def test_json_is_the_kept_result(here: Path) -> None:
    status, out, _ = run("small.arch", *QUICK, "--json", "--out", "kept", "--seed", 3)
    answer = json.loads(out)
    assert status == 0
    assert answer["ok"] is True
    assert answer["recipe"]["seed"] == 3
    kept = json.loads((here / "kept" / "result.json").read_text())
    assert answer == {"ok": True, **kept, "out": "kept"}


def test_resume_and_test_only(here: Path) -> None:
    assert run("small.arch", *QUICK)[0] == 0
    status, out, _ = run("small.arch", *QUICK, "--resume")
    assert status == 0
    tested = run("small.arch", "--accelerator", "cpu", "--test-only", "--weights", "runs/small/weights.safetensors")
    assert tested[0] == 0
    assert tested[1].splitlines() == out.splitlines()[:1]


def test_scaled_images_are_told(here: Path) -> None:
    _, _, err = run("small.arch", *QUICK, "--set", "resolution=12")
    assert "images of 8x8 are scaled to the network's 12x12" in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("--recipe", "digit"), 2, "recipe: error[E711]: unknown recipe `digit`\n  help: did you mean `digits`?"),
        (("--lr", "0"), 2, "recipe: error[E711]: `lr` must be a number above 0; found 0.0"),
        (("--milestones", "5,x"), 2, "error: `--milestones 5,x` is not a list of whole numbers like 150,225"),
        (("--data", "cifar10"), 2, "cifar10: error[E712]: the data set lies in a folder\n  help: say where it lies"),
        (("--data", "cifar10", "--data-dir", "no"), 2, "no: error[E712]: there is no folder of `cifar10` here"),
        (
            ("--set", "classes=3"),
            2,
            "small.arch: error[E713]: output `main` has 3 classes; the data set has 10",
        ),
        (("--resume",), 2, "runs/small/last.ckpt: error[E714]: there is no run to resume here"),
        (
            ("--lr", "1e9", "--warmup", "0", "--batch-size", "64"),
            1,
            "error[E715]: training diverged: the loss is no longer",
        ),
        (("--test-only",), 2, "error: `--test-only` measures weights: name them with --weights FILE"),
        (("--resume", "--weights", "x"), 2, "error: `--resume` continues from the weights of the run"),
        (("--weights", "x.pth"), 2, "x.pth: error[E702]: the weights in `x.pth` cannot be read: there is no such file"),
        (("--set", "wdth=3"), 2, "error[E201]: network `small` has no parameter `wdth`"),
    ],
)
def test_one_mistake_is_one_error(here: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    found, out, err = run("small.arch", *QUICK, *arguments)
    assert (found, out) == (status, "")
    assert message in err
    assert err.count("error") == 1
    assert not (here / "runs").exists()


def test_ctrl_c_says_how_to_go_on(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnext_dsl.train.loop import Training

    measure = Training.measure

    def interrupted(training: Training) -> object:
        if training.done == 2:
            raise KeyboardInterrupt
        return measure(training)

    monkeypatch.setattr(Training, "measure", interrupted)
    status, out, err = run("small.arch", *QUICK, "--epochs", 3)
    assert (status, out) == (130, "")
    assert err.endswith("stopped; the same command with --resume continues\n")
    monkeypatch.undo()
    monkeypatch.chdir(here)
    assert run("small.arch", *QUICK, "--epochs", 3, "--resume")[0] == 0


@pytest.mark.parametrize("package", [pytest.param("lightning_fabric", marks=pytest.mark.slow), "sklearn"])
def test_what_is_not_installed_is_named(here: Path, package: str) -> None:
    program = f"import sys; sys.modules[{package!r}] = None; from resnext_dsl.cli import main; main()"
    command = [sys.executable, "-c", program, "train", "small.arch"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert re.match(r"train: error\[E605\]: (lightning-fabric|scikit-learn) is not installed", done.stderr)
    assert "help: pip install 'resnext-dsl[train]'" in done.stderr


def test_the_help_shows_the_values_of_each_recipe() -> None:
    from resnext_dsl.train.recipes import RECIPES

    text = " ".join(CliRunner().invoke(app, ["train", "--help"], terminal_width=200).stdout.split())
    for option, choice in (("--epochs", "epochs"), ("--lr", "lr"), ("--batch-size", "batch_size")):
        values = "; ".join(f"{name}: {getattr(recipe, choice):g}" for name, recipe in RECIPES.items())
        assert f"[default: {values}]" in text.partition(option)[2], option
    assert "Momentum of the gradient descent. [default: 0.9]" in text
    assert "[default: digits: none; resnext-cifar: 150,225; resnext-imagenet: 30,60,90]" in text
    assert "-o, --output" in text
