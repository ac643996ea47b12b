"""The hooks that other repositories may use run as pre-commit would run them: the entry, then the files."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).parent.parent
HOOKS: list[dict[str, Any]] = yaml.safe_load((CHECKOUT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
SPECS = ["nets/tiny.arch", "nets/blocks.arch"]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets").mkdir()
    (tmp_path / SPECS[1]).write_text("template block(c) { conv(c, 3x3); bn; relu }\n")
    (tmp_path / SPECS[0]).write_text(
        'from "blocks.arch" import block\n\nnetwork tiny {\n    input image: 3x8x8\n    block(8)\n'
        "    budget { params <= 1K }\n}\n"
    )
    return tmp_path


def run(hook: str, *files: str) -> subprocess.CompletedProcess[str]:
    (definition,) = (found for found in HOOKS if found["id"] == hook)
    assert definition["language"] == "python"
    assert all(re.search(definition["files"], name) for name in files)
    program, *arguments = shlex.split(definition["entry"])
    assert program == "resnext-dsl"
    command = [sys.executable, "-m", "resnext_dsl", *arguments, *files]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_hooks_are_the_two_that_the_documentation_names() -> None:
    assert [hook["id"] for hook in HOOKS] == ["resnext-dsl-check", "resnext-dsl-fmt"]
    page = (CHECKOUT / "docs" / "ci.md").read_text(encoding="utf-8")
    assert all(f"- id: {hook['id']}" in page for hook in HOOKS)


def test_check_takes_networks_and_libraries(repository: Path) -> None:
    done = run("resnext-dsl-check", *SPECS)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "nets/blocks.arch: a library without errors"


def test_check_fails_on_a_budget_and_on_a_library_with_a_mistake(repository: Path) -> None:
    (repository / SPECS[0]).write_text((repository / SPECS[0]).read_text().replace("1K", "100"))
    done = run("resnext-dsl-check", *SPECS)
    assert done.returncode == 1
    assert "error[E601]: `params` is 232 (+132.0%); the limit is <= 100" in done.stderr
    (repository / SPECS[1]).write_text("template block(c) { conv(c, 3x3); bm; relu }\n")
    done = run("resnext-dsl-check", SPECS[1])
    assert done.returncode == 2
    assert "nets/blocks.arch:1:35: error[E101]: unknown operator or template `bm`" in done.stderr


def test_fmt_changes_what_is_not_in_the_layout(repository: Path) -> None:
    before = (repository / SPECS[0]).read_text()
    assert run("resnext-dsl-fmt", *SPECS).returncode == 0
    assert (repository / SPECS[0]).read_text() == before
    (repository / SPECS[0]).write_text(before.replace("params <= 1K", "params<=1K"))
    assert run("resnext-dsl-fmt", *SPECS).stderr == "changed nets/tiny.arch\n"
    assert (repository / SPECS[0]).read_text() == before
