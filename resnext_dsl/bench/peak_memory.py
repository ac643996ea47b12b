"""Measures the peak memory of this process or of a GPU, since a chosen moment."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    import torch


class Memory(NamedTuple):
    """Functions that measure memory.

    Attributes:
        forget: Starts a new peak.
        peak: Gives the peak in bytes.
        release: Frees cached memory for other processes; does nothing on the CPU.
    """

    forget: Callable[[], None]
    peak: Callable[[], int]
    release: Callable[[], None] = lambda: None


def of_device(place: torch.device) -> Memory:
    """The memory that torch allocates on a GPU; `of_process` on the CPU."""
    import torch

    if place.type != "cuda":
        return of_process()
    return Memory(
        lambda: torch.cuda.reset_peak_memory_stats(place),
        lambda: int(torch.cuda.max_memory_allocated(place)),
        torch.cuda.empty_cache,
    )


def of_process() -> Memory:
    """The resident memory of this process, with the interpreter and libraries."""
    return Memory(_forget, _peak)


def _forget() -> None:
    """Source: proc(5), clear_refs. On other systems than Linux the peak counts from the start of the process."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # memory that opening the variant has freed is not part of the peak
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    except (OSError, AttributeError):
        return


def _peak() -> int:
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else 1024 * peak  # Linux counts kibibytes
