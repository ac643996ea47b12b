"""Evaluators of the tests."""

from __future__ import annotations

import os
import time
from typing import Any


def accuracy(network: Any, candidate: Any) -> dict[str, float]:
    """Something that grows with width and falls with the depth; needs no model."""
    return {"accuracy": candidate.get("width", 8) / (1 + sum(candidate["depths"])), "extra": 1.0}


def sees(network: Any, candidate: Any, device: str = "") -> dict[str, float]:
    """Which GPUs its process may use, as a number; slow enough for every worker to have its turn."""
    return {**slow(network, candidate), "sees": float(os.environ["CUDA_VISIBLE_DEVICES"].replace(",", ""))}


def scaled(network: Any, candidate: Any, scale: float = 1, *, offset: float = 0) -> dict[str, float]:
    """The same, as it is chosen."""
    return {"accuracy": scale * accuracy(network, candidate)["accuracy"] + offset}


def slow(network: Any, candidate: Any) -> dict[str, float]:
    """The same, after a while."""
    time.sleep(0.15)
    return accuracy(network, candidate)


def modelled(model: Any, candidate: Any) -> dict[str, Any]:
    """Runs the compiled module."""
    import torch  # by this one only: a worker starts in a third of the time without

    shape = (1, 3, 16, 16)
    out = model.eval()(torch.zeros(shape))
    return {"accuracy": out.shape[1], "weights": torch.tensor(sum(p.numel() for p in model.parameters()))}


def fragile(network: Any, candidate: Any) -> dict[str, float]:
    """Fails in several ways."""
    if candidate["width"] == 16:
        raise MemoryError("no room")
    return {"accuracy": float("nan") if candidate["width"] == 8 else 1.0}


def silent(network: Any, candidate: Any) -> dict[str, float]:
    """Leaves the metric out."""
    return {"loss": 1.0}


def nonsense(network: Any, candidate: Any) -> Any:
    """Gives no dict."""
    return "good"


def worded(network: Any, candidate: Any) -> Any:
    """Gives a metric that is no number."""
    return {"accuracy": "good"}


def pruned(network: Any, candidate: Any, report: Any = None) -> dict[str, float]:
    """Tells how it goes."""
    value = float(candidate["width"])
    for step in range(1, 6):
        report(step, {"accuracy": value * step})
    return {"accuracy": value * 5}


NUMBER = 3


class Kind:
    """Is no function."""


def breaks_once(network: Any, candidate: Any) -> dict[str, float]:
    """Breaks the device of its process for the first two candidates."""
    for name in ("one", "two"):
        try:
            with open(f"{name}.broken", "x") as mark:
                mark.write(str(os.getpid()))
        except FileExistsError:
            continue
        raise RuntimeError("CUDA error: an illegal memory access was encountered")
    return {**slow(network, candidate), "process": os.getpid()}


def broken(network: Any, candidate: Any) -> dict[str, float]:
    """Never has a device."""
    raise RuntimeError("CUDA error: unknown error")
