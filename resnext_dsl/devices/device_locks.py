"""The devices of this machine, as processes share them: which GPUs a process may use, and a lock for each device.

What is timed holds its device alone, what trains or evaluates shares it. The locks are files in a folder of the user,
and the system releases them when a process ends, however it ends. torch is not imported here.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

try:
    import fcntl
except ModuleNotFoundError:  # on Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]

LISTED = Path("/proc/driver/nvidia/gpus")
"""Where the driver lists the GPUs; to ask torch would take as long as to train for a while."""

OWN = "RESNEXT_DSL_GPU"
"""Environment variable of a worker that sees several GPUs: the index of the one that it trains on."""


def gpus(environment: Mapping[str, str], listed: Path = LISTED) -> list[str]:
    """The GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = environment.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    return [str(place) for place in range(len(list(listed.iterdir())))] if listed.is_dir() else []


def name_on_machine(device: str, environment: Mapping[str, str], listed: Path = LISTED) -> str:
    """A device as this machine names it, whatever part of it a process sees: "cpu", "cuda:5", "cuda:GPU-1f2e"."""
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return kind
    index = index or environment.get(OWN, "0")
    visible = gpus(environment, listed)
    return f"cuda:{visible[int(index)] if int(index) < len(visible) else index}"


def identity(device: str, environment: Mapping[str, str], listed: Path = LISTED) -> str:
    """A name that all processes of this machine have for a device: that of a GPU is its UUID where the driver tells."""
    name = name_on_machine(device, environment, listed)
    kind, _, entry = name.partition(":")
    if kind != "cuda":
        return name
    known = _uuids(listed)
    if entry.isdigit():
        return known[int(entry)] if int(entry) < len(known) else name
    return next((uuid for uuid in known if uuid.startswith(entry)), entry)


def _uuids(listed: Path) -> list[str]:
    """The UUIDs of the GPUs, in the order of their bus addresses."""
    if not listed.is_dir():
        return []
    texts = [(folder / "information") for folder in sorted(listed.iterdir())]
    found = [re.search(r"GPU UUID:\s*(\S+)", path.read_text()) for path in texts if path.is_file()]
    uuids = [match[1] for match in found if match is not None]
    return uuids if len(uuids) == len(texts) else []


# --- locks ---


@contextmanager
def shared(devices: Iterable[str]) -> Iterator[None]:
    """Holds devices together with others, but with nobody who times something on them."""
    names = sorted({identity(device, os.environ) for device in devices})  # in one order, so that none waits in a circle
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(_held(name, alone=False))
        yield


@contextmanager
def exclusive(device: str) -> Iterator[None]:
    """Holds a device alone; waits until those who share it are done, and nobody else comes in meanwhile."""
    with _held(identity(device, os.environ), alone=True):
        yield


@contextmanager
def _held(name: str, *, alone: bool) -> Iterator[None]:
    """Holds the lock of a device. Whoever waits for it holds the gate, so that no later one overtakes."""
    if fcntl is None:
        yield
        return
    stem = re.sub(r"[^\w.-]", "_", name)
    folder = _folder()
    with open(folder / f"{stem}.gate", "wb") as gate, open(folder / f"{stem}.lock", "wb") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            fcntl.flock(lock, fcntl.LOCK_UN)  # a child that an evaluator has forked may hold the file open


def _folder() -> Path:
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
