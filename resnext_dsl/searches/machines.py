"""Gives each command of one study its own stream of random numbers.

The first command on the machine that created the study has the stream of its seed alone. So one seed on one machine
gives one result, also if the search is continued. Every other command has another stream.
"""

from __future__ import annotations

import hashlib
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from resnext_dsl.devices.device_locks import lock_folder

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

MOST = 64
"""Most commands on one machine that are told apart."""


def machine() -> str:
    """An identifier of this machine, which does not contain its name."""
    return _hash(f"{socket.gethostname()} {uuid.getnode()}")


@contextmanager
def stream(study: str, creator: str) -> Iterator[tuple[int, ...]]:
    """The stream of a command, as words that follow its seed; no other command of this user has it during the block.

    Args:
        study: The storage and the name of the study.
        creator: The machine that created the study.
    """
    first = creator in ("", machine())
    with _place(_hash(study)) as place:
        yield () if first and place == 0 else (0 if first else int(machine()[:8], 16), place)


@contextmanager
def _place(name: str) -> Iterator[int]:
    """The smallest number that no other command of the study on this machine has."""
    lock: IO[bytes] | None = None
    place = 0
    if fcntl is not None:
        for place in range(MOST):
            lock = open(lock_folder() / f"search-{name}-{place}.lock", "wb")  # noqa: SIM115
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                lock.close()
    try:
        yield place
    finally:
        if lock is not None:
            lock.close()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
