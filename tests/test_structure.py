"""The structure of the package: one name for one concept, no function hides a module, imports in the order of stages."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

import resnext_dsl

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "resnext_dsl"
LINKS = ("grammar", "specs")
"""Links into the checkout, which hold no module."""

COMMANDS = PACKAGE / "cli"
"""Its files are named after the commands."""


def modules() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path.relative_to(PACKAGE).parts[0] not in LINKS]


def repeated(pairs: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """The names that several files have."""
    files = defaultdict(list)
    for name, path in pairs:
        files[name].append(str(path.relative_to(PACKAGE)))
    return {name: where for name, where in files.items() if len(where) > 1}


def test_a_file_name_stands_for_one_module() -> None:
    named = [(path.name, path) for path in modules() if path.name != "__init__.py" and path.parent != COMMANDS]
    assert len(named) > 200
    assert repeated(named) == {}


def test_a_class_name_stands_for_one_class() -> None:
    classes = [
        (node.name, path)
        for path in modules()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert len(classes) > 200
    assert repeated(classes) == {}


def test_modules_lie_in_the_folders_of_their_stages() -> None:
    assert sorted(path.name for path in PACKAGE.glob("*.py")) == ["__init__.py", "__main__.py"]


def test_no_name_of_a_package_hides_one_of_its_modules() -> None:
    hidden = []
    for found in pkgutil.walk_packages(resnext_dsl.__path__, "resnext_dsl."):
        if found.name.split(".")[1] in LINKS or found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        package, _, name = found.name.rpartition(".")
        if getattr(sys.modules[package], name) is not module:
            hidden.append(found.name)
    assert hidden == []


def test_folders_import_from_earlier_stages_only() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True)
    assert (done.returncode, "2 kept, 0 broken" in done.stdout) == (0, True), done.stdout


@pytest.mark.parametrize(
    ("library", "places"),
    [
        ("optuna", ["searches/"]),
        ("ray", ["searches/cluster.py"]),
        ("altair", ["searches/report/"]),
        ("vl_convert", ["searches/report/"]),
        ("onnxruntime", ["export/", "bench/"]),
        ("openvino", ["export/", "bench/"]),
        ("triton", ["kernels/"]),
    ],
)
def test_a_library_is_imported_in_one_place_only(library: str, places: list[str]) -> None:
    found = [path for path in modules() if library in imported(path)]
    assert found
    assert [
        str(path.relative_to(PACKAGE)) for path in found if not str(path.relative_to(PACKAGE)).startswith(tuple(places))
    ] == []


def test_of_the_rewriting_only_the_move_of_tensors_needs_torch() -> None:
    assert [path.name for path in modules() if path.parent.name == "rewrite" and "torch" in imported(path)] == [
        "carry.py"
    ]


def imported(path: Path) -> set[str]:
    """The packages that a file imports, at its head or in a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return names
