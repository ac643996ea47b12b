"""Locks of devices: timing is alone, others share, and nobody overtakes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.devices.device_locks import exclusive, shared


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the locks of a test lie."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return tmp_path / f"resnext-dsl-{os.getuid()}"


class Holder:
    """A thread that holds a lock until it is told to let go."""

    def __init__(self, lock: Callable[[], Any]) -> None:
        self.has, self._let_go = threading.Event(), threading.Event()
        self._lock = lock
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with self._lock():
            self.has.set()
            self._let_go.wait(60)

    def end(self) -> None:
        self._let_go.set()
        self._thread.join(60)


def test_who_times_is_alone_and_is_not_overtaken(folder: Path) -> None:
    first, second = (Holder(lambda: shared(["cpu", "cuda:0"])) for _ in range(2))
    assert first.has.wait(10)
    assert second.has.wait(10)
    timing = Holder(lambda: exclusive("cpu"))
    assert not timing.has.wait(0.3)
    late = Holder(lambda: shared(["cpu"]))
    elsewhere = Holder(lambda: shared(["cuda:1"]))
    assert elsewhere.has.wait(10)
    first.end()
    assert not late.has.wait(0.3)
    assert not timing.has.is_set()
    second.end()
    assert timing.has.wait(10)
    assert not late.has.wait(0.3)
    timing.end()
    assert late.has.wait(10)
    late.end()
    elsewhere.end()
    assert {path.stat().st_mode & 0o777 for path in (folder,)} == {0o700}


HOLDS = """
import sys, tempfile, time
tempfile.tempdir = sys.argv[1]
from resnext_dsl.devices.device_locks import exclusive
with exclusive("cpu"):
    print("has it", flush=True)
    time.sleep(600)
"""


def test_a_lock_ends_with_its_process(folder: Path) -> None:
    command = [sys.executable, "-c", HOLDS, str(folder.parent)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "has it\n"
    waiting = Holder(lambda: shared(["cpu"]))
    assert not waiting.has.wait(0.3)
    process.send_signal(signal.SIGKILL)
    assert waiting.has.wait(10)
    waiting.end()
    process.communicate()


def test_the_folder_of_another_is_refused(folder: Path) -> None:
    folder.symlink_to(folder.parent)
    words = "must be a folder of this user, since it holds the locks of the devices"
    with pytest.raises(PermissionError, match=words), shared(["cpu"]):
        pass


def test_a_latency_is_timed_alone(folder: Path, tmp_path: Path) -> None:
    spec = tmp_path / "n.arch"
    spec.write_text("network n { input image: 3x8x8\n conv(4, 1x1)\n budget b { latency(cpu, 1) <= 10000ms } }")
    network = rx.load(spec)
    training = Holder(lambda: shared(["cpu"]))
    assert training.has.wait(10)
    timed = threading.Event()

    def time_it() -> None:
        network.check("b", measure=True)
        timed.set()

    thread = threading.Thread(target=time_it, daemon=True)
    thread.start()
    assert not timed.wait(1)
    training.end()
    assert timed.wait(60)
    thread.join()
