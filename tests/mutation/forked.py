"""Runs pytest in a forked process, on a copy of the checkout, with limits of time and memory.

The parent imports the libraries once and never the package, so that a child imports the mutated package and starts
in a fraction of the time of a new interpreter.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LIBRARIES = (
    "pytest",
    "xdist",
    "hypothesis.strategies",
    "numpy",
    "networkx",
    "pydantic",
    "lark",
    "rich.console",
    "typer.testing",
    "torch",
    "torch.export",
    "torch.fx",
    "fvcore.nn",
    "safetensors.torch",
    "optuna",
    "sqlalchemy",
)
"""Imported before the fork; a missing one is left to the tests."""

MEMORY = 12 << 30
"""Bytes that a child may allocate: a loop without an end fills memory before its time is over."""


def import_libraries() -> None:
    """Imports the libraries of the tests, torchvision and timm behind the schemas that they need."""
    for name in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    peers = importlib.import_module("resnext_dsl.importing.libraries")
    declared = peers.declare_missing_operators()
    for name in ("torchvision", "timm"):
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    _KEPT.append(declared)
    for name in [name for name in sys.modules if name.partition(".")[0] == "resnext_dsl"]:
        del sys.modules[name]
    gc.collect()
    gc.freeze()  # pytest collects garbage at its end: not among the objects of the libraries


_KEPT: list[object] = []
"""The schemas exist as long as the library that declares them."""


class Copy:
    """A copy of the files that git tracks, in a temporary folder. Mutants are written there, never in the checkout."""

    def __init__(self, checkout: Path, folder: Path) -> None:
        self.checkout = checkout
        self.root = folder / "copy"
        self.scratch = folder / "scratch"
        self._time = int(time.time()) - 500_000
        names = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=checkout,
            capture_output=True,
            check=True,
        ).stdout
        for name in filter(None, names.decode().split("\0")):
            source, target = checkout / name, self.root / name
            if source.is_symlink() or source.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)

    @contextlib.contextmanager
    def changed(self, path: str, content: bytes) -> Iterator[None]:
        """Writes a module and puts the old one back, each with a time of its own: no stale bytecode is read."""
        file = self.root / path
        before = file.read_bytes()
        self._write(file, content)
        try:
            yield
        finally:
            self._write(file, before)

    def _write(self, file: Path, content: bytes) -> None:
        file.write_bytes(content)
        self._time += 10
        os.utime(file, (self._time, self._time))


def run_forked(job: Callable[[], dict[str, Any]], copy: Copy, limit: float) -> dict[str, Any] | None:
    """Calls `job` in a child whose working folder is the copy.

    Returns:
        The answer of the job; its traceback as `error`; an empty one if the child dies, None after `limit` seconds.
    """
    shutil.rmtree(copy.scratch, ignore_errors=True)
    copy.scratch.mkdir(parents=True)
    answer = copy.scratch / "answer.json"
    child = os.fork()
    if child == 0:
        try:
            _enter(copy)
            try:
                text = json.dumps(job())
            except Exception:
                text = json.dumps({"error": traceback.format_exc()})
            partial = answer.with_suffix(".part")
            partial.write_text(text, encoding="utf-8")
            partial.rename(answer)
        finally:
            os._exit(0)
    end = time.monotonic() + limit
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            _kill_group(child)
            os.waitpid(child, 0)
            return None
        time.sleep(0.02)
    _kill_group(child)
    answered: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {}
    return answered


def _kill_group(leader: int) -> None:
    """Kills the child and the processes that it started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _enter(copy: Copy) -> None:
    """Makes the copy the place that the child, and the processes that it starts, import from."""
    os.setsid()
    output = os.open(copy.scratch / "output.txt", os.O_CREAT | os.O_WRONLY, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    for number, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(number, target)
    os.chdir(copy.root)
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    checkout = str(copy.checkout)
    sys.path[:] = [str(copy.root), *(path for path in sys.path if path not in ("", checkout))]
    others = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path and path != checkout]
    os.environ["PYTHONPATH"] = os.pathsep.join([str(copy.root), *others])
    for name in [name for name in sys.modules if name == "tests" or name.startswith("tests.")]:
        del sys.modules[name]
    # Bytecode is written and read: each content of a module has a time of its own.
    sys.dont_write_bytecode = False
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    importlib.invalidate_caches()


def pytest_arguments(copy: Copy, files: list[str]) -> list[str]:
    """The arguments of a run in the copy, without the options of the checkout's own runs."""
    return [
        *files,
        "-p", "no:cacheprovider",
        "-p", "no:xdist",
        "-p", "no:anyio",
        "-o", "addopts=",
        "-m", "not slow",
        "-W", "ignore:Module already imported so cannot be rewritten",
        "-q",
        "--tb=line",
        f"--basetemp={copy.scratch / 'tmp'}",
    ]  # fmt: skip


class OverrunError(BaseException):
    """A test used up its time."""


@contextlib.contextmanager
def time_limit(processor: float, clock: float) -> Iterator[None]:
    """Raises `OverrunError` after some seconds of the processor or of the clock, and again while it is swallowed."""

    def overrun(*_: object) -> None:
        raise OverrunError

    signal.signal(signal.SIGPROF, overrun)
    signal.signal(signal.SIGALRM, overrun)
    signal.setitimer(signal.ITIMER_PROF, processor, 1)
    signal.setitimer(signal.ITIMER_REAL, clock, 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
