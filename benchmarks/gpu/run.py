"""The interface of a run for its parts: the device, the time that is left, and how it reports."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu.device import breaks_context, computes_bf16, first_line
from benchmarks.gpu.record import LEFT_OUT, NOT_OK, OK, Entry, Line

TIME_OVER = "the time of this part is over"
NO_GPU = "no GPU; the same steps ran on the CPU"


@dataclass
class Run:
    """One part of a command as it runs.

    Attributes:
        part: Its name.
        device: Where it runs.
        dry: Whether this is a dry run: on the CPU, tiny sizes, no figures kept.
        folder: A scratch folder.
        ends: When its time is over, by `time.monotonic`.
        send: Takes each entry for the result file.
    """

    part: str
    device: torch.device
    dry: bool
    folder: Path
    ends: float
    send: Callable[[Entry], None]

    @property
    def cuda(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def bf16(self) -> bool:
        """Whether the device computes in bfloat16 and, if it is a GPU, in TF32."""
        return computes_bf16(self.device)

    def left(self) -> float:
        """Seconds that the part may still take."""
        return self.ends - time.monotonic()

    def size(self, full: int, dry: int) -> int:
        """A size: one for a GPU, a tiny one for a dry run."""
        return dry if self.dry else full

    def check(self, what: str, right: bool, figure: str = "", gpu_only: bool = False) -> None:
        """Reports a check.

        Args:
            what: The check.
            right: Whether it holds.
            figure: The figure, with its limit.
            gpu_only: Whether it says something on a GPU only. On the CPU it is then never "ok": it is left out if it
                holds, and "not ok" if it does not.
        """
        if right and gpu_only and not self.cuda:
            self.left_out(what, NO_GPU)
            return
        self._line(what, OK if right else NOT_OK, figure)

    def left_out(self, what: str, why: str) -> None:
        """Reports a check that was not made, and the reason."""
        self._line(what, LEFT_OUT, why)

    def measured(self, what: str, **numbers: Any) -> None:
        """Keeps raw numbers."""
        self.send({"kind": "measurement", "part": self.part, "what": what, **numbers})

    @contextmanager
    def item(self, what: str) -> Iterator[None]:
        """One of several items of a part: if it fails, that is a line, and the next item goes on.

        An item that the time of the part cuts off is left out: it has not failed.

        Raises:
            Exception: What breaks the CUDA context of the process; the part ends then.
        """
        try:
            yield
        except TimeOverError as problem:
            self.left_out(what, str(problem))
        except Exception as problem:  # any failure of an item is a line of the table
            self._line(what, NOT_OK, first_line(problem))
            if breaks_context(problem):
                raise ReportedError from problem

    def time_for(self, what: str, seconds: float) -> bool:
        """Whether there is time for an item; if not, a line says so."""
        if self.left() >= seconds:
            return True
        self.left_out(what, TIME_OVER)
        return False

    def _line(self, what: str, state: str, figure: str) -> None:
        self.send(Line(self.part, what, state, figure).entry())


class ReportedError(Exception):
    """An error that broke the CUDA context, after its line has been reported."""


class TimeOverError(Exception):
    """The time of a part was over before an item had ended."""

    def __init__(self) -> None:
        super().__init__(TIME_OVER)
