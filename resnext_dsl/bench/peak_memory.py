"""The most memory since a moment: of this process, or of a GPU."""

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
    """A way to measure memory.

    Attributes:
        forget: Starts the peak anew.
        peak: Gives it in bytes.
        release: Gives back what is held and not used, for others; does nothing on the CPU.
    """

    forget: Callable[[], None]
    peak: Callable[[], int]
    release: Callable[[], None] = lambda: None


def of_device(place: torch.device) -> Memory:
    """What torch has allocated on a GPU; `of_process` on the CPU."""
    import torch

    if place.type != "cuda":
        return of_process()
    return Memory(
        lambda: torch.cuda.reset_peak_memory_stats(place),
        lambda: int(torch.cuda.max_memory_allocated(place)),
        torch.cuda.empty_cache,
    )


def of_process() -> Memory:
    """What is resident of this process, the interpreter and libraries included."""
    return Memory(_forget, _peak)


def _forget() -> None:
    """Source: proc(5), clear_refs. Elsewhere than on Linux the peak stays that of the whole process."""
    gc.collect()
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what was freed while the variant was made is not part of it
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
