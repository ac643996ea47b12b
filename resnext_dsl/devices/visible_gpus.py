"""Lists the GPUs that a process may use, and names devices alike for all processes. This module imports no torch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

LISTED = Path("/proc/driver/nvidia/gpus")
"""The folder in which the driver lists the GPUs. Importing torch to list them takes as long as some training."""

OWN = "RESNEXT_DSL_GPU"
"""Environment variable of a worker that sees several GPUs: the index of the GPU that it trains on."""


def gpus(environment: Mapping[str, str], listed: Path = LISTED) -> list[str]:
    """The GPUs that a process may use, as CUDA_VISIBLE_DEVICES names them."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip()]
    return [str(index) for index in range(len(list(listed.iterdir())))] if listed.is_dir() else []


def name_on_machine(device: str, environment: Mapping[str, str], listed: Path = LISTED) -> str:
    """The name of a device on this machine: "cpu", "cuda:5", "cuda:GPU-1f2e".

    The index of a GPU counts all GPUs, also those that the process does not see.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda":
        return kind
    index = index or environment.get(OWN, "0")
    visible = gpus(environment, listed)
    return f"cuda:{visible[int(index)] if int(index) < len(visible) else index}"


def identity(device: str, environment: Mapping[str, str], listed: Path = LISTED) -> str:
    """The name that all processes of this machine have for a device; for a GPU its UUID if the driver lists it."""
    name = name_on_machine(device, environment, listed)
    kind, _, entry = name.partition(":")
    if kind != "cuda":
        return name
    known = _uuids(listed)
    if entry.isdigit():
        return known[int(entry)] if int(entry) < len(known) else name
    return next((uuid for uuid in known if uuid.startswith(entry)), entry)


def _uuids(listed: Path) -> list[str]:
    """The UUIDs of the GPUs, in the order of their bus addresses; none if one of them is missing."""
    if not listed.is_dir():
        return []
    paths = [folder / "information" for folder in sorted(listed.iterdir())]
    matches = [re.search(r"GPU UUID:\s*(\S+)", path.read_text()) for path in paths if path.is_file()]
    uuids = [match[1] for match in matches if match is not None]
    return uuids if len(uuids) == len(paths) else []
