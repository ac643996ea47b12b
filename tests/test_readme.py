"""The README says what is so: every block of output in it is what the tool prints now."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import COMMANDS, app

CHECKOUT = Path(__file__).parent.parent
README = (CHECKOUT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def test_the_compile_command_prints_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["compile", "resnext50_32x4d"])
    assert result.exit_code == 0
    assert trimmed(result.stdout) in [trimmed(block) for block in blocks("")]


def test_the_mistakes_are_reported_as_the_readme_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    result = CliRunner().invoke(app, ["check", "examples/mistakes.arch"])
    assert result.exit_code == 2
    assert trimmed(result.stderr) in [trimmed(block) for block in blocks("")]


def test_the_tour_is_the_shipped_spec() -> None:
    assert blocks("arch") == [(CHECKOUT / "specs" / "resnext50_32x4d.arch").read_text(encoding="utf-8")]


def test_the_python_runs_as_printed(tmp_path: Path) -> None:
    (program,) = blocks("python")
    prepared = f"import torch\nimages = torch.zeros(1, 3, 64, 64)\n{program}\nprint(tuple(features.shape))"
    done = subprocess.run([sys.executable, "-c", prepared], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 2048, 2, 2)\n"
    assert (tmp_path / "resnext50.pt2").exists()


def test_every_command_of_the_table_exists_and_shows_an_example() -> None:
    commands = re.findall(r"^\| `resnext-dsl (\w+)", README, re.MULTILINE)
    assert set(commands) == set(COMMANDS)
    for command in commands:
        assert f"Example: resnext-dsl {command} " in CliRunner().invoke(app, [command, "--help"]).stdout


def test_the_table_of_networks_is_exact() -> None:
    rows = re.findall(r"^\| ([a-z]\w+) \| ([\d,]+) \| ([\d,]+) \|", README, re.MULTILINE)
    assert {name for name, _, _ in rows} >= {"resnext50_32x4d", "resnext101_64x4d", "googlenet", "convnext_tiny"}
    for name, params, flops in rows:
        cost = rx.load(name).cost()
        assert (f"{cost.params:,}", f"{cost.flops:,}") == (params, flops), name


def test_the_tables_of_the_paper_are_what_the_example_prints() -> None:
    done = subprocess.run(
        [sys.executable, "examples/table2.py"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    rows = [line for line in done.stdout.splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 5 + 1 + 3
    for line in rows:
        assert line in README
    for figure in re.findall(r"[\d,]{10,}", done.stdout):
        assert figure in README
