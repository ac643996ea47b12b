"""The README says what is so: every block of output in it is what the tool prints now.

`test_snippets.py` compares the output of commands that the README shows in whole.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from pages import CHECKOUT, blocks
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import COMMANDS, app
from resnext_dsl.semantics.spec_files import shipped_names

README = (CHECKOUT / "README.md").read_text(encoding="utf-8")
NETWORKS = (CHECKOUT / "docs" / "networks.md").read_text(encoding="utf-8")


def blocks_of(language: str, mark: str = "") -> list[str]:
    return [block.text for block in blocks(CHECKOUT / "README.md") if (block.language, block.mark) == (language, mark)]


def shown(command: str) -> str:
    """The output that the README shows for a command."""
    (text,) = (text for text in blocks_of("console") if text.startswith(f"$ {command}\n"))
    return trimmed(text.partition("\n")[2])


def trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts resnet50 before resnet101."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name)]


def test_the_mistakes_are_reported_as_the_readme_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    result = CliRunner().invoke(app, ["check", "examples/mistakes.arch"])
    assert result.exit_code == 2
    assert trimmed(result.stderr) == shown("resnext-dsl check examples/mistakes.arch")


def test_the_exceeded_budget_is_reported_as_the_readme_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(CHECKOUT)
    command = "resnext-dsl check examples/small.arch --set width=16"
    result = CliRunner().invoke(app, command.split()[1:])
    assert result.exit_code == 1
    assert f"...\n{trimmed(result.stderr)}" == shown(command)


def test_the_class_is_the_one_that_is_written() -> None:
    (text,) = blocks_of("python", "fragment")
    assert text in rx.load(CHECKOUT / "examples" / "small.arch").emit()


def test_the_two_fixed_commands_are_blocks_of_their_own() -> None:
    assert "pip install -c constraints.txt -e . && resnext-dsl compile resnext50_32x4d\n" in blocks_of("sh")
    assert "pip install -c constraints.txt -e '.[dev]' && python -m pytest\n" in blocks_of("sh")


def test_the_specs_are_those_of_the_repository() -> None:
    files = ("examples/small.arch", "specs/resnext50_32x4d.arch")
    assert blocks_of("arch") == [(CHECKOUT / file).read_text(encoding="utf-8") for file in files]


@pytest.mark.slow
def test_the_python_runs_as_printed(tmp_path: Path) -> None:
    (program,) = blocks_of("python")
    program += "\nprint(tuple(features.shape))"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 2048, 2, 2)\n"
    assert {"resnext50.pt2", "search.html"} <= {path.name for path in tmp_path.iterdir()}


def test_every_command_of_the_table_exists_and_shows_an_example() -> None:
    commands = re.findall(r"^\| `resnext-dsl (\w+)", README, re.MULTILINE)
    assert set(commands) == set(COMMANDS)
    for command in commands:
        assert f"Example: resnext-dsl {command} " in CliRunner().invoke(app, [command, "--help"]).stdout


def test_the_table_of_networks_is_exact() -> None:
    rows = re.findall(r"^\| ([a-z]\w+) \| ([\d,]+) \| ([\d,]+) \|", NETWORKS, re.MULTILINE)
    assert [name for name, _, _ in rows if name != "network"] == sorted(shipped_names(), key=natural)
    for name, params, flops in rows:
        cost = rx.load(name).cost()
        assert (f"{cost.params:,}", f"{cost.flops:,}") == (params, flops), name


@pytest.mark.slow
def test_the_whole_table_of_networks_is_what_the_benchmark_prints() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/table_of_networks.py"], cwd=CHECKOUT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() in NETWORKS


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
