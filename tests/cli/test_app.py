"""The help of every command: a description, and an example that a user can copy."""

from __future__ import annotations

import shlex

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
