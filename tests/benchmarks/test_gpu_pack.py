"""The archive for a bare machine: what is in it, how large it may be, what is said when wheels do not fit."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from benchmarks.gpu import pack as packing
from benchmarks.gpu import wheels
from benchmarks.gpu.supervise import ROOT

SIZES = {"scipy": 35 * 2**20, "scikit-learn": 9 * 2**20, "pydantic-core": 2 * 2**20}
"""Bytes of the wheels that are made here, near those of the real ones; the others have 20 kB."""


@pytest.fixture
def fake_wheels(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The sizes of the wheels of a test, which may change them."""
    sizes = dict(SIZES)
    monkeypatch.setattr(packing, "download", made_here(sizes))
    return sizes


def made_here(sizes: Mapping[str, int]) -> Callable[[Sequence[str], Sequence[str], Path], None]:
    """Makes wheels of stated sizes, without an index."""

    def download(packages: Sequence[str], pythons: Sequence[str], folder: Path) -> None:
        for package in packages:
            for python in pythons if package in sizes else ["3"]:
                tag = f"cp{python.replace('.', '')}" if package in sizes else "py3"
                (folder / f"{package}-1-{tag}-none-any.whl").write_bytes(os.urandom(sizes.get(package, 20_000)))

    return download


def names(archive: Path) -> list[str]:
    with tarfile.open(archive) as opened:
        return opened.getnames()


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """An archive with wheels of those sizes, and the words of the command."""
    output = tmp_path_factory.mktemp("packed") / "deep" / "gpu.tar.gz"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(packing, "download", made_here(dict(SIZES)))
        yield output, packing.pack(output)


def test_the_archive_holds_package_benchmarks_wheels_and_fits(packed: tuple[Path, str]) -> None:
    output, said = packed
    assert output.stat().st_size <= 60 * 2**20
    assert said.splitlines()[-1] == "  tar xzf gpu.tar.gz && bash resnext-dsl-gpu/run.sh"
    found = {name.removeprefix("resnext-dsl-gpu/") for name in names(output)}
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "resnext_dsl").rglob("*.py")}
    assert sources <= found
    assert {"resnext_dsl/grammar/arch.lark", "resnext_dsl/specs/resnext50_32x4d.arch", "pyproject.toml"} <= found
    assert {"resnext_dsl/specs/std/blocks.arch", "benchmarks/gpu/tiny.arch", "run.sh", "requirements.txt"} <= found
    assert not [name for name in found if "__pycache__" in name or "/results/" in name or name.startswith("tests/")]


def test_wheels_that_do_not_fit_are_named_with_what_is_left_out(packed: tuple[Path, str]) -> None:
    output, said = packed
    no_room = "no room for the wheels of digits on Python 3.11: the parts of `truth` that train on digits are left out"
    assert no_room in said
    with tarfile.open(output) as opened:
        requirements = opened.extractfile("resnext-dsl-gpu/requirements.txt").read().decode().splitlines()
    assert 'scipy==1.17.1 ; python_version == "3.12"' in requirements
    assert 'scipy==1.17.1 ; python_version == "3.11"' not in requirements
    assert 'pydantic-core==2.50.4 ; python_version == "3.11"' in requirements


def test_a_package_that_does_not_fit_is_an_error(tmp_path: Path, fake_wheels: dict[str, int]) -> None:
    fake_wheels["lark"] = 70 * 2**20
    with pytest.raises(ValueError, match=r"^the wheels of the package do not fit: .* MiB for Python"):
        packing.pack(tmp_path / "gpu.tar.gz", ["3.12"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("fake_wheels")
def test_equal_files_give_an_equal_archive(tmp_path: Path) -> None:
    files = {"b.txt": b"2", "a.sh": b"1"}
    assert packing._archive(files) == packing._archive(dict(reversed(files.items())))


def test_the_archive_has_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^the archive must end in `\.tar\.gz`; found `.*gpu\.zip`$"):
        packing.pack(tmp_path / "gpu.zip")


def test_groups_hold_what_the_package_requires_and_nothing_that_torch_brings() -> None:
    groups = {group.name: set(group.packages) for group in wheels.groups()}
    assert {"lark", "fvcore", "iopath", "yacs", "pydantic", "pydantic-core", "typer", "rich"} <= groups["the package"]
    assert {"optuna", "sqlalchemy", "alembic"} <= groups["search"]
    assert groups["train"] == {"lightning-fabric", "lightning-utilities"}
    assert {"scikit-learn", "scipy", "joblib"} <= groups["digits"]
    every = [package for group in groups.values() for package in group]
    assert len(every) == len(set(every))
    assert not {"torch", "numpy", "networkx", "pillow", "aiohttp"} & set(every)
    assert set(every) <= set(wheels.pins())


def test_what_is_named_present_is_required_by_torch() -> None:
    required = {"torch", "numpy"} | set(wheels._closure(["torch"], set()))
    assert {"networkx", "fsspec", "filelock", "jinja2", "markupsafe", "sympy", "mpmath"} <= required


PYTHON = """#!/usr/bin/env bash
[ "$2" = pip ] && exit 0
printf '%s\\n' "$*" >> "$LOG"
while [ "$1" != -o ]; do shift; done
touch "$2"
[ "$(basename "$2")" != tax.jsonl ]
"""
"""A Python that installs nothing, writes its arguments and an empty result, and fails for the first file of `tax`."""


def ran(folder: Path, *arguments: str) -> tuple[int, list[str]]:
    """The exit status of `run.sh`, and the commands that it runs."""
    script, python, log = folder / "run.sh", folder / "python", folder / "log"
    script.write_text(packing.RUN)
    python.write_text(PYTHON)
    python.chmod(0o755)
    log.unlink(missing_ok=True)
    variables = {"PATH": os.environ["PATH"], "PYTHON": str(python), "LOG": str(log), "OUT": str(folder / "out")}
    done = subprocess.run(["bash", str(script), *arguments], env=variables, capture_output=True, text=True)
    assert done.stderr == ""
    return done.returncode, log.read_text().replace(f"{folder}/out/", "").splitlines()


def test_the_script_runs_both_commands_and_has_the_worst_status(tmp_path: Path) -> None:
    assert ran(tmp_path) == (
        1,
        [
            "-m benchmarks.gpu truth --seconds 255 -o truth.jsonl",
            "-m benchmarks.gpu tax --seconds 300 -o tax.jsonl",
        ],
    )


def test_the_script_runs_some_parts_of_one_command_and_keeps_the_results_of_before(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tax.jsonl").touch()
    one = "-m benchmarks.gpu tax --seconds 560 -o tax-2.jsonl --only compiled --only batch 1"
    assert ran(tmp_path, "tax", "--only", "compiled", "--only", "batch 1") == (0, [one])
    two = "-m benchmarks.gpu truth --seconds 560 -o truth.jsonl --only every network --seconds 90"
    assert ran(tmp_path, "truth", "--only", "every network", "--seconds", "90") == (0, [two])
    assert (tmp_path / "out" / "tax.jsonl").exists()


def test_the_script_gives_other_arguments_to_both_commands(tmp_path: Path) -> None:
    assert ran(tmp_path, "--dry")[1] == [
        "-m benchmarks.gpu truth --seconds 1500 -o truth.jsonl --dry",
        "-m benchmarks.gpu tax --seconds 1500 -o tax.jsonl --dry",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("fake_wheels")
def test_the_packed_package_runs_without_the_checkout(tmp_path: Path) -> None:
    packing.pack(tmp_path / "gpu.tar.gz", ["3.12"])
    with tarfile.open(tmp_path / "gpu.tar.gz") as opened:
        opened.extractall(tmp_path, filter="data")
    top = tmp_path / "resnext-dsl-gpu"
    program = "import resnext_dsl, benchmarks.gpu; print(resnext_dsl.__file__, benchmarks.gpu.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=top, capture_output=True, text=True, env={"PYTHONPATH": str(top)}
    )
    assert done.stdout.split() == [str(top / "resnext_dsl/__init__.py"), str(top / "benchmarks/gpu/__init__.py")]
    checked = [sys.executable, "-m", "resnext_dsl", "check", "resnext50_32x4d", "benchmarks/gpu/tiny.arch"]
    done = subprocess.run(checked, cwd=top, capture_output=True, text=True, env={"PYTHONPATH": str(top)})
    assert done.returncode == 0, done.stderr
