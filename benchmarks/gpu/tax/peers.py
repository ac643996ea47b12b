"""The module that ours is timed beside: torchvision's or timm's; else that of our source as written."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

from torch import nn

from benchmarks.gpu.libraries import module_of
from benchmarks.gpu.networks import State

SOURCE = "our source as written"
"""The peer if no library can be imported, or none has the network.

It is the module that the emitted source defines: no norm is folded, no form is changed.
"""


class Peer(NamedTuple):
    """A peer.

    Attributes:
        library: "torchvision", "timm", or `SOURCE`.
        make: Gives its module on the CPU, each time another one with the same weights.
    """

    library: str
    make: Callable[[], nn.Module]


def peer(network: Any, state: State) -> Peer:
    """The peer of a network. Its norms are not folded in inference.

    Args:
        network: One of ours.
        state: The weights of ours; those of a library's module are drawn by the library.
    """
    library, module = module_of(network.name) or (SOURCE, network.compile(form="written", weights=state))
    return Peer(library, lambda: copy.deepcopy(module))
