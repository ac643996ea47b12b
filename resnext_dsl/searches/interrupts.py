"""Ctrl-C during a search. Python drops a KeyboardInterrupt that arrives while an object is finalized."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType


class Interrupts:
    """Notes Ctrl-C in addition to the KeyboardInterrupt, in a `with` block of the main thread.

    A handler of the program itself stays as it is.
    """

    def __init__(self) -> None:
        self._seen = False
        self._installed = False

    def __enter__(self) -> Interrupts:
        in_main_thread = threading.current_thread() is threading.main_thread()
        if in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)
            self._installed = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._seen = True
        raise KeyboardInterrupt

    def raise_dropped(self) -> None:
        """Raises the KeyboardInterrupt of a Ctrl-C that was dropped."""
        if self._seen:
            self._seen = False
            raise KeyboardInterrupt
