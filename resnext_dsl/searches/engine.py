"""The interface of an engine, which runs the workers of a search: `processes` (this machine) or `cluster` (Ray)."""

from __future__ import annotations

from typing import Protocol

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.trials import Standing

REFUSED = 2
"""The exit status of a worker that cannot run the plan; its output is the reason."""

BROKEN = 3
"""The exit status of a worker whose device context is broken; another process may use the device."""

CRASHED = 70
"""The exit status of a worker that fails itself, such as for a database that stays away; its trial is tried again."""

SEEN = "RESNEXT_DSL_GPUS"
"""Environment variable of a worker: the number of GPUs that the search sees."""


class Running(Protocol):
    """A worker that an engine has started.

    Attributes:
        name: Its name, which its trials have.
    """

    name: str

    def status(self, now: Standing) -> int | None:
        """Its exit status, 0 if the search is done; None while it works or waits in a queue."""

    def ask_to_stop(self) -> None:
        """Asks it to stop its trial."""

    def end(self, seconds: float) -> str:
        """Waits for its end, then kills it. Returns its last output; its trial is tried again later."""

    def kill(self) -> None:
        """Kills it, without a wait."""

    def exit_status(self, status: int) -> int | None:
        """The status with which an evaluator may have ended the worker; None if something else ended it."""


class Engine(Protocol):
    """A context manager that starts workers."""

    def __enter__(self) -> Engine: ...

    def __exit__(self, *_: object) -> None: ...

    def start(self, number: int) -> Running:
        """Starts a worker; workers with different numbers draw different random numbers."""


def engine_error(message: str, hint: str, file: str = "search") -> ArchError:
    """The error E724, for workers that cannot run."""
    return ArchError([Diagnostic("E724", message[:400], hint=hint, file=file)])
