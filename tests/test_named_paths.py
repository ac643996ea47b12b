"""Every module, file and heading that a page names exists; so does every module that a docstring of the package names."""

from __future__ import annotations

import re
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from pages import CHECKOUT, GENERATED, PAGES, headings, prose

import resnext_dsl as rx

ALL_PAGES = [*PAGES, *(CHECKOUT / "docs" / name for name in sorted(GENERATED))]
FOLDERS = "benchmarks|docs|examples|findings|grammar|resnext_dsl|specs|tests"
WRITTEN = {"benchmarks/gpu/results/"}
"""Folders that a command of a page writes."""

SOURCES = sorted((CHECKOUT / "resnext_dsl").rglob("*.py"))


def exists(name: str) -> bool:
    """Whether a dotted name is a module of the package, or something in one."""
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value: object = import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        for part in parts[count:]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def names_in(text: str) -> set[str]:
    """The dotted names of the package in a text."""
    return set(re.findall(r"\bresnext_dsl(?:\.[A-Za-z_]\w*)+", text)) - {"resnext_dsl.py"}


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_modules_that_a_page_names_exist(page: Path) -> None:
    assert not [name for name in sorted(names_in(page.read_text(encoding="utf-8"))) if not exists(name)]


def test_modules_that_the_package_names_exist() -> None:
    names = {name for path in SOURCES for name in names_in(path.read_text(encoding="utf-8"))}
    assert len(names) > 100
    assert not [name for name in sorted(names) if not exists(name)]


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page: Path) -> None:
    """Of a name with a placeholder (`specs/NAME.arch`) the folder exists."""
    named = re.findall(rf"(?<![\w./-])(?:{FOLDERS})/[\w./*-]*", page.read_text(encoding="utf-8"))
    missing = []
    for name in named:
        path = name.rstrip(".")
        if re.search(r"[A-Z]{4,}", path) and not path.endswith("README.md"):
            path = path.rpartition("/")[0]
        if name not in WRITTEN and not any(CHECKOUT.glob(path)):
            missing.append(name)
    assert not missing


@pytest.mark.parametrize("page", ALL_PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        assert file.exists(), target
        assert not anchor or anchor in headings(file), target


def test_the_names_that_are_looked_for_can_be_missing() -> None:
    assert exists("resnext_dsl.networks.network.Network.check")
    assert not exists("resnext_dsl.pipeline")
    assert not exists("resnext_dsl.networks.network.Network.chekc")


def test_the_page_on_the_architecture_has_the_folders_in_the_order_of_imports() -> None:
    """The table lists from the bottom, the contract from the top; folders of one row do not import each other."""
    settings = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = settings["tool"]["importlinter"]["contracts"][0]
    page = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = page[page.index("| folder | content |") : page.index("`compiler`, `devices`")]
    rows = re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE)
    listed = [" | ".join(re.findall(r"`(\w+)`", row)) for row in rows]
    assert [set(layer.split(" | ")) for layer in reversed(contract["layers"])] == [
        set(row.split(" | ")) for row in listed
    ]


def test_the_tour_of_the_package_names_every_folder() -> None:
    folders = {path.parent.name for path in (CHECKOUT / "resnext_dsl").glob("*/__init__.py")}
    tour = set(re.findall(r"\w+", rx.__doc__ or ""))
    assert folders - tour == {"foundation", "formatter"}
