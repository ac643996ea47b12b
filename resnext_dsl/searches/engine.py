"""What a search asks of that which runs its workers: this machine (`processes`), or a Ray cluster (`cluster`)."""

from __future__ import annotations

from typing import Protocol

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.trials import Standing

REFUSED = 2
"""The status of a worker that has found the plan impossible; what it has said is the reason."""

BROKEN = 3
"""The status of a worker whose device is broken; another process may use the device."""

SEEN = "RESNEXT_DSL_GPUS"
"""Environment variable of a worker: how many GPUs the search sees."""


class Running(Protocol):
    """A worker that has been started."""

    def status(self, now: Standing) -> int | None:
        """Its exit status, 0 where nothing is left to do; None while it works, or waits for its turn."""

    def ask_to_stop(self) -> None:
        """Asks it to leave what it is doing."""

    def end(self, seconds: float) -> str:
        """Waits for its end, and makes it end; gives its last words. What it was doing is tried again later."""


class Engine(Protocol):
    """Starts workers, between its entry and its exit."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, number: int) -> Running:
        """Starts a worker; the number makes what it draws at random its own."""


def useless(message: str, hint: str, where: str = "search") -> ArchError:
    """The error for workers that cannot work."""
    return ArchError([Diagnostic("E724", message[:400], hint=hint, file=where)])
