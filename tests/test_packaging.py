"""The wheel and the editable install, each in an environment of its own, outside the checkout and without torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
LIGHT = ("lark", "networkx", "pydantic", "rich", "typer")
"""What `check`, `summary` and `zoo` need; torch and fvcore are not among it."""

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **more: str) -> str:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL"))}
    done = subprocess.run(list(map(str, command)), cwd=cwd, env=environment | more, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(*command: str | Path, cwd: Path) -> str:
    """Runs a program of an installation, which stays as it is: Python writes no compiled modules."""
    return run(*command, cwd=cwd, PYTHONDONTWRITEBYTECODE="1")


@pytest.fixture(scope="module", params=["wheel", "editable"])
def environment(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment that has the project installed and no torch."""
    tmp_path = tmp_path_factory.mktemp("environment")
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(*pip, "-c", CHECKOUT / "constraints.txt", *LIGHT, cwd=tmp_path)
    if request.param == "wheel":
        build = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", tmp_path / "dist", CHECKOUT)
        run(*build, cwd=tmp_path)
        (wheel,) = (tmp_path / "dist").glob("*.whl")
        run(*pip, "--no-deps", wheel, cwd=tmp_path)
    else:
        run(*pip, "--no-deps", "-e", CHECKOUT, cwd=tmp_path)
    return programs


def test_the_installed_tool_holds_grammar_and_specs(environment: Path, tmp_path: Path) -> None:
    answer = json.loads(installed(environment / "resnext-dsl", "check", "resnext50_32x4d", "--json", cwd=tmp_path))
    assert answer["ok"]
    assert answer["cost"]["params"] == 25028904
    assert "resnext101_64x4d" in installed(environment / "resnext-dsl", "zoo", cwd=tmp_path)
    assert "32 x 4 = 128" in installed(environment / "resnext-dsl", "summary", "resnext50_32x4d", cwd=tmp_path)


def test_a_start_compiles_nothing(environment: Path, tmp_path: Path) -> None:
    program = (
        "import importlib.util, os, sys, resnext_dsl.cli.check\n"
        "rooms = [room.__file__ for name, room in sys.modules.items() if name.startswith('resnext_dsl')]\n"
        "print(all(os.path.exists(importlib.util.cache_from_source(room)) for room in rooms))"
    )
    assert installed(environment / "python", "-B", "-c", program, cwd=tmp_path).strip() == "True"


def test_the_installed_package_loads_specs_from_any_folder(environment: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.arch").write_text(
        "from std.blocks import bottleneck\n"
        "network mine { input image: 3x32x32; stage a repeat 2 { bottleneck(64, 16) }\n"
        "head { avgpool(global); flatten; linear(10) } }\n"
    )
    program = "import resnext_dsl as rx; print(rx.load('mine.arch').graph.number_of_nodes())"
    assert int(installed(environment / "python", "-c", program, cwd=tmp_path)) > 10
