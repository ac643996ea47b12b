"""Repeats the operations of a database that is busy or unavailable, and tells since when it does not answer."""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

AWAY = 600.0
"""Most seconds that a database may be unavailable during a search."""

SILENT = 5.0
"""Seconds after which an unfinished operation means that the database does not answer."""

STEP = 0.5
"""Most seconds of a wait before the limit of the patience is read again."""

Result = TypeVar("Result")


class _Patience:
    """The state of this process.

    Attributes:
        limit: Most seconds that an operation may take from now on; shorter once the search is asked to stop.
        pending: For each thread with an operation, the time at which the operation began.
        answered: When an operation last succeeded after a failure, by the monotonic clock.
    """

    def __init__(self) -> None:
        self.limit = AWAY
        self.pending: dict[int, float] = {}
        self.answered = -math.inf


_state = _Patience()


def patient(run: Callable[[], Result], seconds: float = AWAY) -> Result:
    """Runs a database operation, and repeats it while the database is busy or unavailable.

    Raises:
        StorageInternalError, SQLAlchemyError, sqlite3.Error: If the operation still fails after `seconds`, or after the
            limit of `hurried`.
    """
    began, wait, failed = time.monotonic(), 0.05, False
    with pending():
        while True:
            try:
                result = run()
            except (StorageInternalError, SQLAlchemyError, sqlite3.Error):
                failed = True
                if not _waited(wait, began, seconds):
                    raise
                wait = min(2 * wait, 5.0)
            else:
                if failed:
                    _state.answered = time.monotonic()
                return result


@contextmanager
def pending() -> Iterator[None]:
    """Marks a block as an operation of the database; `silent_since` looks at the oldest one."""
    thread = threading.get_ident()
    if thread in _state.pending:
        yield
        return
    _state.pending[thread] = time.time()
    try:
        yield
    finally:
        del _state.pending[thread]


def _waited(wait: float, began: float, seconds: float) -> bool:
    """Waits before the next attempt. Returns False if there is no time for one."""
    end = time.monotonic() + wait
    while True:
        now = time.monotonic()
        if now >= end:
            return True
        if now + min(wait, STEP) > began + min(seconds, _state.limit):
            return False
        time.sleep(min(STEP, end - now))


@contextmanager
def hurried(seconds: float) -> Iterator[None]:
    """Lets no operation take longer than `seconds` during the block, also in other threads."""
    before, _state.limit = _state.limit, seconds
    try:
        yield
    finally:
        _state.limit = before


def hurry(seconds: float) -> None:
    """Lets no operation of this process take longer than `seconds` from now on; `AWAY` is the usual limit."""
    _state.limit = seconds


def silent_since() -> datetime | None:
    """The time since which the database does not answer; None if it answers."""
    began = min(list(_state.pending.values()), default=None)
    if began is None or time.time() - began < SILENT:
        return None
    return datetime.fromtimestamp(began)


def answers_again(seconds: float) -> bool:
    """Whether an outage ended in the last `seconds`."""
    return time.monotonic() - _state.answered < seconds
