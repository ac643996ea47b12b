"""The device of a run: whether it is there, what it can do, torch's global flags, and errors that break it."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch

BF16_CAPABILITY = (8, 0)
"""The first compute capability (sm_80) whose cards compute in bfloat16 and in TF32."""

Answer = TypeVar("Answer")


class RefusedError(Exception):
    """The machine cannot run the command; the message is one line."""


def chosen(dry: bool) -> torch.device:
    """The GPU, or the CPU for a dry run.

    Raises:
        RefusedError: Without a GPU.
    """
    if dry:
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise RefusedError(f"there is no CUDA device: {_why_no_cuda()}; `--dry` runs the same code on the CPU")
    return torch.device("cuda", torch.cuda.current_device())


def _why_no_cuda() -> str:
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return f"CUDA_VISIBLE_DEVICES={visible!r} leaves none, or none is there"
    try:
        torch.cuda.init()
    except (RuntimeError, AssertionError) as problem:
        return first_line(problem)
    return "torch finds none"


def computes_bf16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16; a CPU does, slowly."""
    return device.type == "cpu" or torch.cuda.get_device_capability(device) >= BF16_CAPABILITY


def first_line(problem: BaseException) -> str:
    """The first line of an error's message, shortened, with its type."""
    said = [text.strip() for text in str(problem).splitlines() if text.strip()]
    return f"{type(problem).__name__}: {said[0][:200]}" if said else type(problem).__name__


def breaks_context(problem: BaseException) -> bool:
    """Whether an error leaves the CUDA context of its process unusable.

    Out of memory does not. torch names such errors `AcceleratorError` from 2.8 on; libraries say so in their text.
    """
    if isinstance(problem, torch.OutOfMemoryError):
        return False
    named = getattr(torch, "AcceleratorError", ())
    marks = ("CUDA error", "cudaError", "device-side assert", "CUBLAS_STATUS_EXECUTION", "CUDNN_STATUS_EXECUTION")
    return isinstance(problem, named) or any(mark in str(problem) for mark in marks)


@contextmanager
def flags_kept() -> Iterator[None]:
    """Restores torch's global flags: TF32, cudnn.benchmark, cudnn.deterministic, the default dtype."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    before = (cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic, torch.get_default_dtype())
    try:
        yield
    finally:
        cudnn.allow_tf32, matmul.allow_tf32, cudnn.benchmark, cudnn.deterministic = before[:4]
        torch.set_default_dtype(before[4])


def set_tf32(on: bool) -> None:
    """Lets float32 convolutions and products round their inputs to TF32, or not.

    These older names exist in every torch that is supported, and set the newer `fp32_precision` too; setting only the
    newer ones makes readers of the older ones raise (torch 2.11, 2.13).
    """
    torch.backends.cudnn.allow_tf32 = on
    torch.backends.cuda.matmul.allow_tf32 = on


def synchronize(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def release(device: torch.device) -> None:
    """Gives cached memory of dead tensors back."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def with_smaller_batch(
    device: torch.device, batch: int, attempt: Callable[[int], Answer], say: Callable[[str], Any]
) -> tuple[int, Answer]:
    """Calls `attempt(batch)`, with half of the batch after each time that memory runs out.

    Args:
        device: Where it runs.
        batch: The first size to try.
        attempt: What is tried; it must hold nothing after it has raised.
        say: Takes a sentence for each smaller batch that is tried.

    Returns:
        The batch that fits, and the answer.

    Raises:
        torch.OutOfMemoryError: If a batch of 1 does not fit.
    """
    while True:
        try:
            return batch, attempt(batch)
        except torch.OutOfMemoryError:
            if batch == 1:
                raise
        release(device)  # outside the handler, whose traceback holds the tensors of the attempt
        say(f"batch {batch} is out of memory; batch {batch // 2} is tried")
        batch //= 2
