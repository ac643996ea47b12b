"""Sets float32 to IEEE for comparisons, and reads the settings that tables of times name.

On GPUs from sm_80 on, cuDNN computes convolutions of float32 in TF32 by default (10 bits of mantissa, not 23). Products
of matrices use TF32 if `torch.set_float32_matmul_precision` allows it. A CPU uses no TF32.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

TF32 = "tf32"


@contextmanager
def ieee_float32() -> Iterator[None]:
    """Computes float32 as IEEE 754 defines it, on every device of the process, and then restores the settings.

    torch has an older interface (`allow_tf32`, `set_float32_matmul_precision`) and, from 2.9 on, a newer one
    (`fp32_precision`). After a change by one of them alone, reading the other may raise an error. Each setting is
    therefore changed by the interface that the process uses, and only if it is not IEEE yet.
    """
    with ExitStack() as stack:
        stack.enter_context(_ieee_products())
        stack.enter_context(_ieee_convolutions())
        yield


@contextmanager
def _ieee_products() -> Iterator[None]:
    before = _older(torch.get_float32_matmul_precision)
    if before not in (None, "highest"):
        torch.set_float32_matmul_precision("highest")  # sets the newer one too
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)
        return
    with _newer(torch.backends.cuda.matmul):
        yield


@contextmanager
def _ieee_convolutions() -> Iterator[None]:
    cudnn, allowed = torch.backends.cudnn, bool(_older(lambda: torch.backends.cudnn.allow_tf32))
    if allowed:
        _allow_cudnn(False)
    try:
        # a global TF32 setting reaches convolutions; the older interface needs the same setting for recurrent layers
        with _newer(getattr(cudnn, "conv", None)), _newer(getattr(cudnn, "rnn", None)):
            yield
    finally:
        if allowed:
            _allow_cudnn(True)


@contextmanager
def _newer(operators: Any) -> Iterator[None]:
    """Sets some operators to IEEE by the newer interface, if torch has it and they are set to TF32."""
    before = getattr(operators, "fp32_precision", None)
    if before != TF32:
        yield
        return
    operators.fp32_precision = "ieee"
    try:
        yield
    finally:
        operators.fp32_precision = before


def _allow_cudnn(allowed: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch 2.9 and later warn once that they will remove the older interface
        torch.backends.cudnn.allow_tf32 = allowed


def _older(read: Callable[[], Any]) -> Any:
    """A setting of the older interface; None if torch refuses to read it, since the process uses the newer one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return read()
        except RuntimeError:
            return None


def settings_of(place: torch.device) -> dict[str, str]:
    """The settings of a GPU that change times and values: TF32, cudnn.benchmark, cuDNN's version; empty on a CPU."""
    if place.type != "cuda":
        return {}
    cudnn = torch.backends.cudnn
    version = cudnn.version()  # type: ignore[no-untyped-call]
    return {
        "TF32 convolutions": _switch(tf32_convolutions()),
        "TF32 products": _switch(
            _computes_tf32(torch.backends.cuda.matmul, lambda: torch.get_float32_matmul_precision() != "highest")
        ),
        "cudnn.benchmark": _switch(bool(cudnn.benchmark)),
        "cuDNN": "none" if version is None else str(version),
    }


def tf32_convolutions() -> bool:
    """Whether cuDNN computes convolutions of float32 in TF32, by the interface that the process uses."""
    cudnn = torch.backends.cudnn
    return _computes_tf32(getattr(cudnn, "conv", None), lambda: cudnn.allow_tf32)


def settings_line(settings: dict[str, str]) -> str:
    """The settings as one line of a report."""
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _computes_tf32(operators: Any, older: Callable[[], bool]) -> bool:
    newer = getattr(operators, "fp32_precision", None)
    return newer == TF32 if newer is not None else bool(_older(older))


def _switch(on: bool) -> str:
    return "on" if on else "off"
