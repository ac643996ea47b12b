"""`resnext-dsl export` and `compile --to`: what is written and said, and that nothing stays of what fails."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from interrupts import interrupted
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.export import pt2
from resnext_dsl.export.agreement import Agreement
from resnext_dsl.export.write import Written


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_export_says_what_it_wrote_and_how_it_compares(folder: Path) -> None:
    status, out, err = run("export", "small.arch", "--to", "pt2")
    assert (status, err) == (0, "")
    assert out.startswith("wrote small.pt2 (")
    assert out.endswith("read back: outputs at batch 1 and 3 equal the module's\n")
    assert names(folder) == ["small.arch", "small.pt2"]


def test_export_as_json_names_every_file(folder: Path) -> None:
    settings = ("--batch", "2", "--input", "3x12x12", "--set", "width=3", "--seed", "5", "--dtype", "float16")
    status, out, _ = run("export", "small.arch", "--to", "openvino", "-o", "m.xml", "--json", *settings)
    answer = json.loads(out)
    assert status == 0
    assert answer["files"] == ["m.xml", "m.bin"]
    assert (answer["name"], answer["target"], answer["file"]) == ("small", "openvino", "m.xml")
    assert answer["fingerprint"] == rx.load("small.arch", width=3).at((3, 12, 12)).fingerprint
    assert answer["agreement"]["batches"] == [2, 2]
    assert 0 < answer["agreement"]["difference"] < answer["agreement"]["tolerance"] == 0.02


def test_compile_to_another_format_shows_the_table_and_holds_budgets(folder: Path) -> None:
    torch.save(rx.load("small.arch").compile(seed=7).state_dict(), "trained.pth")
    status, out, err = run("compile", "small.arch", "--to", "pt2", "--weights", "trained.pth")
    assert (status, err) == (0, "")
    assert "budget: params 126 <= 150 (84.0%) ok" in out
    assert "wrote small.pt2 (" in out
    images = torch.randn(4, 3, 8, 8)
    model = rx.load("small.arch").compile(mode="inference", weights="trained.pth")
    torch.testing.assert_close(torch.export.load("small.pt2").module()(images), model(images))


def test_compile_to_another_format_writes_nothing_where_a_budget_is_exceeded(folder: Path) -> None:
    status, _, err = run("compile", "small.arch", "--to", "pt2", "--set", "width=32")
    assert status == 1
    assert "error[E601]" in err
    assert names(folder) == ["small.arch"]


def test_compile_to_another_format_answers_in_json(folder: Path) -> None:
    status, out, _ = run("compile", "small.arch", "--to", "pt2", "--json")
    assert status == 0
    assert json.loads(out)["files"] == ["small.pt2"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "aoti", "--device", "cuda:9"), "export: error[E603]: this machine has no device `cuda:9`"),
        (("--to", "aoti", "--device", "tpu"), "export: error[E603]: this machine has no device `tpu`"),
        (("--to", "onnx", "--device", "cuda"), "export: error[E705]: `onnx` (ONNX) is not written for `cuda`"),
        (("--device", "cuda"), "export: error[E705]: `py` (PyTorch source) is not written for `cuda`"),
        (("--device", "cuda", "-o", "-"), "export: error[E705]: `py` (PyTorch source) is not written for `cuda`"),
    ],
)
def test_compile_refuses_a_device_that_the_format_or_the_machine_does_not_have(
    arguments: tuple[str, ...], message: str, folder: Path
) -> None:
    status, out, err = run("compile", "small.arch", *arguments)
    assert status == 2
    assert message in err
    assert "wrote" not in out
    assert names(folder) == ["small.arch"]


@pytest.mark.parametrize("command", ["compile", "export"])
@pytest.mark.parametrize(("arguments", "device"), [((), "cpu"), (("--device", "cuda:1"), "cuda:1")])
def test_both_commands_write_a_package_for_a_device(
    command: str, arguments: tuple[str, ...], device: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices: list[str] = []

    def written(network: rx.Network, target: str, path: str, **options: str) -> Written:
        devices.append(options["device"])
        Path(path).write_bytes(b"package")
        return Written(target, (Path(path),), Agreement((1, 3), 0.0, 1e-4))

    monkeypatch.setattr("resnext_dsl.export.write.export", written)
    status, out, err = run(command, "small.arch", "--to", "aoti", *arguments)
    assert (status, err) == (0, "")
    assert devices == [device]
    assert out.endswith("wrote small.pt2 (0.0 kB)\nread back: outputs at batch 1 and 3 equal the module's\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--to", "pt"), "'pt' is not one of 'py', 'pt2', 'aoti', 'onnx', 'openvino'"),
        (("--to", "onnx", "-o", "m.xml"), "error[E704]: the name of a file for `onnx` (ONNX) must end in `.onnx`"),
        (("--to", "onnx", "--batch", "none"), "`--batch` must be `dynamic` or an int of at least 1; found `none`"),
        (("--to", "onnx", "--input", "8x8x"), "`--input 8x8x` is not a shape; write one like 3x224x224"),
        (("--to", "onnx", "--input", "3x8"), "3x8"),
        (("--to", "py", "--seed", "1", "--dtype", "float16"), "stores no weights, so `dtype` does not apply"),
        (("--to", "pt2", "--weights", "missing.pth"), "error[E702]"),
        (("--to", "aoti", "--device", "cuda:9"), "error[E603]: this machine has no device `cuda:9`"),
        (("--to", "onnx", "--device", "cuda"), "error[E705]: `onnx` (ONNX) is not written for `cuda`"),
        (
            ("--to", "pt2", "-o", "missing/m.pt2"),
            "missing/m.pt2: error[E704]: the file cannot be written: no such file",
        ),
    ],
)
def test_a_wrong_command_is_one_error_and_writes_nothing(
    arguments: tuple[str, ...], message: str, folder: Path
) -> None:
    status, out, err = run("export", "small.arch", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
    assert names(folder) == ["small.arch"]


def test_a_file_that_computes_something_else_is_an_internal_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pt2, "read", lambda *_: lambda images: (torch.zeros(len(images), 2),))
    status, _, err = run("export", "small.arch", "--to", "pt2")
    assert status == 3
    assert "error[E802]: small.pt2 (torch.export archive): outputs differ by 1.0e+00" in err
    assert names(folder) == ["small.arch"]


def test_an_interrupt_leaves_nothing(folder: Path) -> None:
    program = [sys.executable, "-m", "resnext_dsl", "export", "resnet50", "--to", "onnx"]
    process = subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while names(folder) == ["small.arch"]:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    _, err = interrupted(process, 120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert names(folder) == ["small.arch"]
