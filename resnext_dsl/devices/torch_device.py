"""The torch device of a name that a user writes, and the name of its hardware. Functions import torch when called."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import TYPE_CHECKING

from resnext_dsl.foundation.diagnostics import Span, error

if TYPE_CHECKING:
    import torch


def device_of(name: str, span: Span | None = None, file: str = "bench") -> torch.device:
    """The torch device of a name.

    Args:
        name: "cpu", "cuda" or "cuda:N".
        span: The limit that names the device, for errors.
        file: The command that names the device, for errors without a span.

    Raises:
        ArchError: E603 if this machine does not have the device.
    """
    import torch

    devices = ["cpu", *(f"cuda:{index}" for index in range(torch.cuda.device_count()))]
    if name not in (*devices, *(["cuda"] if len(devices) > 1 else [])):
        hint = f"devices here: {', '.join(devices)}"
        raise error("E603", f"this machine has no device `{name}`", span, file="" if span else file, hint=hint)
    return torch.device(name)


def device_name(place: torch.device) -> str:
    """The name of a processor or accelerator."""
    import torch

    if place.type == "cuda":
        return torch.cuda.get_device_name(place)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
