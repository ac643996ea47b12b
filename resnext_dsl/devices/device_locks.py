"""Locks of devices, which processes share: timing holds a device alone, training and evaluation hold it together.

The locks are files in a folder of the user. The system releases them at the end of the process, also after a kill. This
module imports no torch.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from resnext_dsl.devices.visible_gpus import identity

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks, and nothing is locked there
    fcntl = None  # type: ignore[assignment]


@contextmanager
def shared(devices: Iterable[str]) -> Iterator[None]:
    """Holds devices together with other processes, but not while a process times something on them."""
    names = sorted({identity(device, os.environ) for device in devices})  # one order for all processes: no deadlock
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_held(name, alone=False))
        yield


@contextmanager
def exclusive(device: str) -> Iterator[None]:
    """Holds a device alone. It waits for the processes that share the device; later processes wait for it."""
    with _held(identity(device, os.environ), alone=True):
        yield


@contextmanager
def _held(name: str, *, alone: bool) -> Iterator[None]:
    """Holds the lock of a device. A process that waits for the lock holds the gate, so that no later one overtakes."""
    if fcntl is None:
        yield
        return
    stem = re.sub(r"[^\w.-]", "_", name)
    folder = lock_folder()
    with open(folder / f"{stem}.gate", "wb") as gate, open(folder / f"{stem}.lock", "wb") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that an evaluator has forked may hold the file open


def lock_folder() -> Path:
    """The folder of the locks, which belongs to the user.

    Raises:
        PermissionError: If it belongs to another user.
    """
    folder = Path(tempfile.gettempdir()) / f"resnext-dsl-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        raise PermissionError(f"{folder} must be a folder of this user, since it holds the locks of the devices")
    return folder
