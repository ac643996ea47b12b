"""The wheels that a machine with only torch and numpy lacks: which ones, in which versions, for which Pythons."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from typing import NamedTuple

from benchmarks.gpu.supervise import ROOT

PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
PRESENT = {"torch", "numpy", "networkx", "fsspec", "filelock", "jinja2", "markupsafe", "sympy", "mpmath", "setuptools"}
"""Packages that come with torch and numpy."""
NOT_NEEDED = {"pillow"}
"""Packages that no part of `truth` or `tax` imports: pillow reads folders of images."""


class Group(NamedTuple):
    """Packages that are taken or left out together.

    Attributes:
        name: What they are for.
        packages: Their normalized names.
        without: What is left out on a machine that lacks them; "" if nothing runs there.
    """

    name: str
    packages: tuple[str, ...]
    without: str


def groups() -> tuple[Group, ...]:
    """The groups, the most important first; a package stands in the first group that needs it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    training = [name for name in map(_name, extras["train"]) if name != "scikit-learn"]
    asked = (
        ("the package", project["dependencies"], ""),
        ("search", extras["search"], "the parts of `truth` that search"),
        ("train", training, "the parts of `truth` that train on digits"),
        ("digits", ["scikit-learn"], "the parts of `truth` that train on digits"),
    )
    seen = set(PRESENT | NOT_NEEDED)
    found = []
    for name, roots, without in asked:
        packages = tuple(_closure(map(_name, roots), seen))
        seen.update(packages)
        found.append(Group(name, packages, without))
    return tuple(found)


def pins() -> dict[str, str]:
    """The tested version of each package, by its normalized name."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if "==" in line and not line.startswith("#")]
    return {_name(name): version.strip() for name, version in pairs}


def download(packages: Sequence[str], pythons: Sequence[str], folder: Path) -> None:
    """Fetches the wheels of packages: for any platform if there is such a wheel, else for each Python on Linux x86_64.

    A package without a wheel is built here; it must be pure Python.

    Raises:
        ValueError: If there is no wheel, and the one that is built is for this platform only.
    """
    versions = pins()
    for package in packages:
        wanted = f"{package}=={versions[package]}"
        if _pip("download", "--only-binary=:all:", "--platform", "any", wanted, folder=folder):
            continue
        platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
        fetched = [
            _pip("download", "--only-binary=:all:", "--python-version", python, *platforms, wanted, folder=folder)
            for python in pythons
        ]
        if not all(fetched):
            _build(wanted, folder)


def _build(wanted: str, folder: Path) -> None:
    before = set(folder.iterdir())
    if not _pip("wheel", wanted, folder=folder):
        raise ValueError(f"there is no wheel of {wanted}, and it cannot be built")
    for wheel in set(folder.iterdir()) - before:
        if not wheel.name.endswith("-none-any.whl"):
            raise ValueError(f"there is no wheel of {wanted} for these Pythons; the one built here is {wheel.name}")


def _pip(command: str, *arguments: str, folder: Path) -> bool:
    """Runs pip for one package without what it requires; whether it succeeded."""
    target = ["--dest", str(folder)] if command == "download" else ["--wheel-dir", str(folder)]
    words = [sys.executable, "-m", "pip", command, "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run([*words, *target, *arguments], capture_output=True, text=True, check=False)
    return done.returncode == 0


def _closure(roots: Iterable[str], seen: set[str]) -> list[str]:
    """Packages and what they require, without what has been seen; the extras of a requirement are not followed."""
    found: list[str] = []
    waiting = list(roots)
    while waiting:
        package = waiting.pop(0)
        if package in seen or package in found:
            continue
        found.append(package)
        waiting += _required(package)
    return sorted(found)


def _required(package: str) -> list[str]:
    from packaging.requirements import Requirement

    try:
        stated = requires(package) or []
    except PackageNotFoundError:
        raise ValueError(f"`{package}` is not installed: `pack` reads what it requires; install '.[dev]'") from None
    found = map(Requirement, stated)
    return [_name(one.name) for one in found if one.marker is None or one.marker.evaluate({"extra": ""})]


def _name(requirement: str) -> str:
    """The normalized name of a requirement (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement.strip())
    assert name is not None
    return re.sub(r"[-_.]+", "-", name.group()).lower()
