"""One archive for a machine that has torch and numpy only, and no network: the package, this benchmark, wheels."""

from __future__ import annotations

import gzip
import io
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.gpu.supervise import ROOT
from benchmarks.gpu.wheels import Group, download, groups, pins

LIMIT = 60 * 2**20
"""The most bytes of an archive."""
PYTHONS = ("3.12", "3.11")
TOP = "resnext-dsl-gpu"
FOLDERS = {
    "resnext_dsl": "resnext_dsl",
    "grammar": "resnext_dsl/grammar",
    "specs": "resnext_dsl/specs",
    "benchmarks": "benchmarks",
}
"""Folders of this checkout, and where they stand in the archive: as in a wheel."""
FILES = ("pyproject.toml", "constraints.txt")
KEPT_OUT = {"__pycache__", "results"}

RUN = """#!/usr/bin/env bash
# Installs the wheels beside this script, without a network, and runs `truth` and `tax` within 10 minutes.
#
#   bash run.sh                              both commands
#   bash run.sh --dry                        both on the CPU, tiny sizes; other arguments go to both commands, too
#   bash run.sh tax                          one command, within 10 minutes: truth, tax or kernels
#   bash run.sh tax --only compiled          one part of one command; --only may be repeated
#
# Results go to $OUT, or to results/ here; a file of an earlier run stays. PYTHON names another Python.
set -u
out=${OUT:-$(dirname "$0")/results}
mkdir -p "$out" && out=$(cd "$out" && pwd)
cd "$(dirname "$0")" || exit 2
python=${PYTHON:-python3}
"$python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps --find-links wheels --upgrade \\
    --target packages -r requirements.txt || exit 2
export PYTHONPATH="$PWD:$PWD/packages${PYTHONPATH:+:$PYTHONPATH}"
truth=255 tax=300 kernels=440 commands="truth tax"
case "${1:-}" in truth | tax | kernels) commands=$1 truth=560 tax=560 && shift ;; esac
case " $* " in *" --dry "*) truth=1500 tax=1500 ;; esac
status=0
for command in $commands; do
    file=$command number=1
    while [ -e "$out/$file.jsonl" ]; do number=$((number + 1)) file=$command-$number; done
    timeout -k 10 $((${!command} + 10)) \\
        "$python" -m benchmarks.gpu "$command" --seconds "${!command}" -o "$out/$file.jsonl" "$@"
    ended=$?
    status=$((ended > status ? ended : status))
done
exit $status
"""


def pack(output: Path, pythons: Sequence[str] = ()) -> str:
    """Makes the archive.

    Args:
        output: The file; its name ends in `.tar.gz`.
        pythons: Versions of Python that the wheels are for, such as "3.12".

    Returns:
        The content, the packages that did not fit, and the command to run there.

    Raises:
        ValueError: If the package itself does not fit, or a wheel cannot be had.
    """
    if not output.name.endswith(".tar.gz"):
        raise ValueError(f"the archive must end in `.tar.gz`; found `{output}`")
    pythons = tuple(pythons) or PYTHONS
    with tempfile.TemporaryDirectory(prefix="benchmarks-gpu-pack-") as scratch:
        wheels = Path(scratch)
        sources = _sources()
        requirements, said = _fill(wheels, groups(), pythons, LIMIT - len(_archive(sources)))
        for wheel in sorted(wheels.iterdir()):
            sources[f"wheels/{wheel.name}"] = wheel.read_bytes()
    sources["requirements.txt"] = "".join(f"{line}\n" for line in requirements).encode()
    content = _archive(sources)
    if len(content) > LIMIT:
        raise ValueError(f"the archive has {len(content) / 2**20:.1f} MiB; at most {LIMIT / 2**20:.0f} are allowed")
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(content)
    size = f"{output}: {len(content) / 2**20:.1f} MiB, {len(requirements)} requirements"
    return "\n".join([size, *said, "on the machine with torch, numpy and pip:", f"  {command(output.name)}"])


def command(name: str) -> str:
    """The command that runs an archive."""
    return f"tar xzf {name} && bash {TOP}/run.sh"


def _fill(wheels: Path, wanted: Sequence[Group], pythons: Sequence[str], room: int) -> tuple[list[str], list[str]]:
    """Fetches the wheels that fit, group by group, for all Pythons, or for the first ones.

    Returns:
        Lines of a requirements file, and a sentence for each group that did not fit.
    """
    versions, requirements, said = pins(), [], []
    for group in wanted:
        for count in range(len(pythons), -1, -1):
            chosen = pythons[:count]
            with tempfile.TemporaryDirectory(dir=wheels.parent) as apart:
                download(group.packages if chosen else (), chosen, Path(apart))
                fetched = list(Path(apart).iterdir())
                size = sum(file.stat().st_size for file in fetched)
                if size <= room:
                    room -= size
                    for file in fetched:
                        (wheels / file.name).write_bytes(file.read_bytes())
                    break
        if not group.without and chosen != pythons:
            raise ValueError(f"the wheels of {group.name} do not fit: {size / 2**20:.1f} MiB for Python {pythons}")
        for python in pythons:
            if python in chosen:
                marker = f' ; python_version == "{python}"'
                requirements += [f"{package}=={versions[package]}{marker}" for package in group.packages]
            else:
                said.append(f"no room for the wheels of {group.name} on Python {python}: {group.without} are left out")
    return requirements, said


def _sources() -> dict[str, bytes]:
    """The files of the package and of the benchmarks, by their path in the archive."""
    found = {"run.sh": RUN.encode()}
    for name in FILES:
        found[name] = (ROOT / name).read_bytes()
    for folder, place in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*")):  # does not follow the links of an editable install
            relative = path.relative_to(ROOT / folder)
            if path.is_file() and not KEPT_OUT.intersection(relative.parts):
                found[f"{place}/{relative.as_posix()}"] = path.read_bytes()
    return found


def _archive(files: dict[str, bytes]) -> bytes:
    """A `.tar.gz` of files below one folder; equal files give an equal archive."""
    packed = io.BytesIO()
    zipped = gzip.GzipFile(fileobj=packed, mode="wb", mtime=0)
    with zipped, tarfile.open(fileobj=zipped, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{TOP}/{name}")
            entry.size, entry.mode = len(content), 0o755 if name.endswith(".sh") else 0o644
            archive.addfile(entry, io.BytesIO(content))
    return packed.getvalue()
