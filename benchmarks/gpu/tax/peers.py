"""The module that ours is timed beside: torchvision's or timm's; else that of our source as written."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from torch import nn

from benchmarks.gpu.networks import State

SOURCE = "our source as written"
"""The peer if no library can be imported, or none has the network.

It is the module that the emitted source defines: no norm is folded, no form is changed.
"""


class Peer(NamedTuple):
    """A peer.

    Attributes:
        library: "torchvision", "timm", or `SOURCE`.
        make: Gives its module, in training, on the CPU, each time another one.
    """

    library: str
    make: Callable[[], nn.Module]


def peer(network: Any, mode: str, state: State) -> Peer:
    """The peer of a network.

    Args:
        network: One of ours.
        mode: "inference" or "train"; a peer in inference is in eval mode, its norms not folded.
        state: The weights of ours; those of a library's module are drawn by the library.
    """
    made = _libraries(network.name)
    if made is not None:
        return made

    def make() -> nn.Module:
        module: nn.Module = network.compile(form="written", weights=state)
        return module.train(mode == "train")

    return Peer(SOURCE, make)


def _libraries(name: str) -> Peer | None:
    # a torchvision that is built for another torch raises errors of several kinds
    with suppress(ImportError, RuntimeError, AttributeError):
        import torchvision

        if name in torchvision.models.list_models():
            return Peer("torchvision", lambda: torchvision.models.get_model(name))
    with suppress(ImportError, RuntimeError, AttributeError):
        import timm

        if name in timm.list_models():
            return Peer("timm", lambda: timm.create_model(name))
    return None
