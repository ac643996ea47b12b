"""The fork server of `python -m benchmarks.gpu`: forked processes end as interpreters do, and none outlives its client."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from benchmarks.gpu.fork_server import ForkedProcess, ForkServer, end, start
from benchmarks.gpu.plan import PRELOADED
from benchmarks.gpu.supervise import ROOT, environment

PROGRAM = """
import os, sys, time

def main(arguments):
    print(os.getcwd(), os.environ.get("ANSWER"), *arguments)
    print("said", file=sys.stderr)
    if "fail" in arguments:
        raise KeyError("gone")
    if "exit" in arguments:
        sys.exit("a reason")
    if "status" in arguments:
        sys.exit(7)
    if "wait" in arguments:
        open("waits", "w").write(str(os.getpid()))
        time.sleep(600)

if __name__ == "__main__":
    main(sys.argv[1:])
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the module `forked_program`, which servers and interpreters import."""
    (tmp_path / "forked_program.py").write_text(PROGRAM)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    return tmp_path


@pytest.fixture
def server(folder: Path) -> Iterator[str]:
    with ForkServer(folder, environment(False), 2, ("no_such_module",), 60) as made:
        assert made.socket is not None
        yield made.socket


def ran(folder: Path, server: str | None, arguments: Sequence[str]) -> tuple[int, str, str]:
    """The exit status of a process, its output and its errors."""
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = start(
            "forked_program",
            arguments,
            output=output.fileno(),
            errors=errors.fileno(),
            folder=folder,
            variables={"ANSWER": "42"},
            server=server,
        )
        status = process.wait()
        texts = [os.pread(file.fileno(), 1 << 20, 0).decode() for file in (output, errors)]
        return status, *texts  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("word", "status", "last"),
    [("well", 0, "said"), ("fail", 1, "KeyError: 'gone'"), ("exit", 1, "a reason"), ("status", 7, "said")],
)
def test_a_forked_process_ends_as_an_interpreter_does(
    folder: Path, server: str, word: str, status: int, last: str
) -> None:
    forked, plain = (ran(folder, way, [word]) for way in (server, None))
    assert forked[:2] == plain[:2] == (status, f"{folder} 42 {word}\n")
    assert forked[2].splitlines()[-1] == plain[2].splitlines()[-1] == last


def waiting(folder: Path, server: str) -> ForkedProcess:
    """A process that waits for ten minutes, after it has begun to."""
    with open(os.devnull, "wb") as nothing:
        process = start(
            "forked_program",
            ["wait"],
            output=nothing.fileno(),
            errors=nothing.fileno(),
            folder=folder,
            variables={},
            server=server,
        )
    until = time.monotonic() + 30
    while not (folder / "waits").exists():
        assert time.monotonic() < until, "the process has not begun"
        time.sleep(0.01)
    assert isinstance(process, ForkedProcess)
    assert process.poll() is None
    return process


def gone(pid: int) -> bool:
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def test_a_process_that_is_ended_has_the_signal_as_its_status(folder: Path, server: str) -> None:
    process = waiting(folder, server)
    end(process)
    assert process.poll() == -9
    assert gone(process.pid)


def test_a_process_ends_with_its_client(folder: Path, server: str) -> None:
    process = waiting(folder, server)
    process._socket.close()
    assert gone(process.pid)
    assert ran(folder, server, ["well"])[0] == 0  # the server goes on


def test_a_process_ends_with_its_server(folder: Path) -> None:
    with ForkServer(folder, environment(False), 2, (), 60) as made:
        assert made.socket is not None
        process = waiting(folder, made.socket)
    assert gone(process.pid)
    assert process.wait() == -9
    assert ran(folder, made.socket, ["well"])[:2] == (0, f"{folder} 42 well\n")  # an interpreter takes over


def test_a_server_that_does_not_come_up_is_none(folder: Path) -> None:
    with open(folder / "log", "wb") as log:
        made = ForkServer(folder / "missing", environment(False), log.fileno(), (), 60)
    with made:
        assert made.socket is None


NO_CUDA = """
import warnings
warnings.simplefilter("ignore")
import torch
for name in ("is_available", "device_count", "_lazy_init", "current_device", "get_device_properties"):
    def asked(*_, name=name):
        raise SystemExit(f"an import calls torch.cuda.{name}")
    setattr(torch.cuda, name, asked)
from importlib import import_module
for name in MODULES:
    import_module(name)
print("imported")
"""


@pytest.mark.slow
def test_no_import_of_the_server_asks_for_a_gpu() -> None:
    """After a call that counts GPUs, a forked process cannot use CUDA."""
    modules = tuple(dict.fromkeys(name for names in PRELOADED.values() for name in names))
    program = NO_CUDA.replace("MODULES", repr(modules))
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "imported\n", done.stderr
