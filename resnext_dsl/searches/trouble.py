"""Errors of a device, which say nothing about the candidate: its memory is full, or its context is broken.

A process whose CUDA context is broken fails whatever it does from then on. torch is looked at only if an evaluator has
imported it.
"""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterator
from contextlib import suppress

MEMORY, BROKEN = "memory", "broken"
"""Kinds of trouble: out of memory, and a context that is of no more use."""

FULL = re.compile(
    r"\b(CUDA|HIP|MPS backend|XPU) out of memory|\b(CUDA|HIP)( driver)? error: out of memory"
    r"|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED|DefaultCPUAllocator: (can't allocate|not enough) memory"
)
LOST = re.compile(
    r"\b(CUDA|HIP|cuDNN|cuBLAS|CUDA driver) error\b|Triton Error \[(CUDA|HIP)\]"
    r"|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE|CUFFT)_(STATUS_)?[A-Z]+|unspecified launch failure|device-side assert"
)
"""Words of torch's errors; all of them are RuntimeErrors."""


class BrokenDeviceError(Exception):
    """The device is of no more use to this process."""


def trouble_of(problem: BaseException) -> str:
    """`MEMORY`, `BROKEN` or "": which trouble of a device an error is, or comes of."""
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
    """An error and those that it comes of, also where they are not shown."""
    seen: set[int] = set()
    error: BaseException | None = problem
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def release() -> None:
    """Gives back the memory of devices that nothing refers to."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        with suppress(RuntimeError):
            torch.cuda.empty_cache()


def allocations() -> dict[int, int]:
    """How often this process has taken memory of each GPU until now."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    counts = {}
    for index in range(torch.cuda.device_count()):
        counts[index] = torch.cuda.memory_stats(index).get("allocation.all.allocated", 0)
    return counts
