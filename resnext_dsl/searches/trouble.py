"""Recognizes device errors that do not depend on the candidate: out of memory, or a broken device context.

A process with a broken CUDA context fails in every later CUDA call. This module uses torch only if an evaluator has
imported it.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

MEMORY, BROKEN = "memory", "broken"
"""Kinds of device errors: out of memory, and a broken context."""

FULL = re.compile(
    r"\b(CUDA|HIP|MPS backend|XPU) out of memory|\b(CUDA|HIP)( driver)? error: out of memory"
    r"|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED|DefaultCPUAllocator: (can't allocate|not enough) memory"
)
LOST = re.compile(
    r"\b(CUDA|HIP|cuDNN|cuBLAS|CUDA driver) error\b|Triton Error \[(CUDA|HIP)\]"
    r"|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_(STATUS_)?[A-Z]+|unspecified launch failure|device-side assert"
)
"""Texts of torch's errors; all of them are RuntimeErrors."""


class BrokenDeviceError(Exception):
    """The device context of this process is broken."""


def trouble_of(problem: BaseException) -> str:
    """The kind of device error that an exception is or was caused by: `MEMORY`, `BROKEN` or ""."""
    torch = sys.modules.get("torch")
    full, broken = (getattr(torch, name, ()) for name in ("OutOfMemoryError", "AcceleratorError"))
    kinds = set()
    for error in _chain(problem):
        if not isinstance(error, RuntimeError):
            continue
        text = str(error)
        if isinstance(error, full) or FULL.search(text):
            kinds.add(MEMORY)
        elif isinstance(error, broken) or LOST.search(text):
            kinds.add(BROKEN)
    return BROKEN if BROKEN in kinds else MEMORY if kinds else ""


def _chain(problem: BaseException) -> Iterator[BaseException]:
    """An error and its causes, including contexts that a traceback hides."""
    seen: set[int] = set()
    error: BaseException | None = problem
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def release() -> None:
    """Frees device memory that is no longer referenced."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def allocations() -> dict[int, int]:
    """The number of memory allocations of this process on each GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    counts = {}
    for index in range(torch.cuda.device_count()):
        counts[index] = torch.cuda.memory_stats(index).get("allocation.all.allocated", 0)
    return counts
