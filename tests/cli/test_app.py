"""The help of every command: a description, and an example that a user can copy."""

from __future__ import annotations

import functools
import importlib
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnext_dsl.cli.app import COMMANDS, app


def help_of(*arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--help"], env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"})
    assert result.exit_code == 0
    return result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_the_example_is_one_line_with_known_options(command: str) -> None:
    text = help_of(command)
    (line,) = [line for line in text.splitlines() if "Example:" in line]
    program, name, *words = shlex.split(line.partition("Example: ")[2])
    assert (program, name) == ("resnext-dsl", command)
    options = {word for word in words if word.startswith("-") and word != "-"}
    described = {word.strip(",") for row in text.splitlines() for word in row.split() if row.strip().startswith("-")}
    assert options <= described


def test_a_long_example_is_not_wrapped() -> None:
    assert (
        "  Example: resnext-dsl solve resnext50_32x4d --vary width --set cardinality=8 --match params --of resnet50\n"
    ) in help_of("solve")


def test_the_help_lists_the_commands_and_the_exit_status() -> None:
    text = " ".join(help_of().split())
    assert "Exit status: 0 success; 1 a budget or requirement is not met; 2 the spec or the command is wrong;" in text
    assert "3 an internal error." in text
    assert all(f" {command} " in text for command in COMMANDS)


def test_an_unknown_command_names_the_nearest() -> None:
    result = CliRunner().invoke(app, ["sumary"])
    assert result.exit_code == 2
    assert "No such command 'sumary'. Did you mean `summary`?" in " ".join(result.stderr.split())


ARGUMENTS = {
    "check": ["small.arch"],
    "compile": ["small.arch"],
    "export": ["small.arch", "--to", "pt2", "-o", "x.pt2"],
    "bench": ["small.arch"],
    "summary": ["small.arch"],
    "diff": ["small.arch", "small.arch"],
    "verify": ["small.arch"],
    "solve": ["small.arch", "--vary", "width", "--match", "params"],
    "search": ["small.arch", "--evaluator", "cost", "-o", "found"],
    "report": ["small.arch", "--storage", "sqlite:///x.db"],
    "train": ["small.arch"],
    "fmt": ["small.arch"],
    "zoo": [],
    "import": ["timm:resnet18"],
    "weights": ["small.arch", "w.pth", "-o", "o.pth"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("problem", [ValueError("not a name: '1'\nmore"), KeyError("a"), AssertionError()])
def test_an_unexpected_exception_of_any_command_is_an_internal_error(
    command: str, problem: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both where the command's own code fails, and in the code that surrounds its errors."""

    def broken(*_: object, **__: object) -> None:
        raise problem

    module = importlib.import_module(f"resnext_dsl.cli.{command}{'_' * (command == 'import')}")
    function = getattr(module, command, None) or getattr(module, f"{command}_")
    name = function.__name__
    monkeypatch.setattr(module, name, functools.wraps(function)(broken))
    result = CliRunner().invoke(app, [command, *ARGUMENTS[command]])
    text = str(problem).partition("\n")[0]
    assert (result.exit_code, result.stdout) == (3, "")
    first, second = result.stderr.splitlines()
    assert first == f"spec: error[E801]: internal error: {type(problem).__name__}{f': {text}' if text else ''}"
    assert re.fullmatch(
        r"  help: please report it with the spec, the command and these calls: .*\.py:\d+ broken", second
    )
    assert "Traceback" not in result.stderr


def test_an_exception_inside_a_command_is_an_internal_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def broken(*_: object, **__: object) -> str:
        raise ValueError("not a name: '1'")

    monkeypatch.setattr("resnext_dsl.cli.answers.load", broken)
    result = CliRunner().invoke(app, ["compile", "resnet18", "-o", str(tmp_path / "x.py")])
    assert result.exit_code == 3
    assert "error[E801]: internal error: ValueError: not a name: '1'" in result.stderr
