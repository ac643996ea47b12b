"""`resnext-dsl bench`: a table for people, JSON for scripts, one error for what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from timing_in_process import InThisProcess
from typer.testing import CliRunner

from resnext_dsl.bench import rounds
from resnext_dsl.cli.app import app

SMALL = "network small { input image: 3x16x16; conv(4, 3x3); bn; relu; avgpool(global); flatten; linear(2) }"
QUICK = ("--rounds", "2", "--seconds", "0.01", "--threads", "1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(rounds, "TimingProcess", InThisProcess)  # `tests/bench` has the processes
    (tmp_path / "small.arch").write_text(SMALL)
    return tmp_path


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["bench", "small.arch", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_table_says_what_machine_threads_and_versions(folder: Path) -> None:
    status, out, err = run(*QUICK, "--batch", "3")
    assert (status, err) == (0, "")
    assert "small     eager" in out
    assert "inference, batch 3, float32, on " in out
    assert ", 1 threads, " in out
    assert "torch 2." in out


def test_json_is_for_scripts(folder: Path) -> None:
    status, out, err = run(*QUICK, "--input", "3x8x8", "--form", "written", "--json")
    assert (status, err) == (0, "")
    answer = json.loads(out)
    assert [variant["form"] for variant in answer["variants"]] == ["written"]
    assert answer["variants"][0]["input"] == [3, 8, 8]
    assert answer["conditions"]["threads"] == answer["machine"]["threads"] == 1
    assert answer["machine"]["processor"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--backend", "egaer"), "error[E607]: unknown backend `egaer`\n  help: did you mean `eager`?"),
        (("--mode", "training"), "'training' is not one of 'inference', 'train'"),
        (("--input", "3xx"), "`--input 3xx` is not a shape"),
        (("--set", "width"), "`--set width` is not NAME=VALUE"),
        (("--against", "no.arch"), "error[E505]: "),
        (("--device", "cuda:9"), "error[E603]: this machine has no device `cuda:9`\n  help: devices here: cpu"),
        (("--rounds", "0"), "Invalid value for '--rounds'"),
    ],
)
def test_a_wrong_command_is_one_error(arguments: tuple[str, ...], message: str, folder: Path) -> None:
    status, out, err = run(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert "Traceback" not in err
