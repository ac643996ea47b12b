"""The nodes of all candidates together: operators with their costs, and values that differ between candidates."""

from __future__ import annotations

from typing import Any

from resnext_dsl.columns.lanes import Mask
from resnext_dsl.foundation.records import NamedTuple


class Priced(NamedTuple):
    """An operator of some candidates, with its cost.

    Attributes:
        mark: The index of its candidates in `Lanes.masks`.
        inputs: The nodes that it reads.
        part: The part of the network (stem, stage, head, output) that contains it; "" between parts.
        counts: Whether it adds to the depth.
        module: The name of the module of a shared instance that it calls; "" for a module of its own.
    """

    mark: int
    inputs: tuple[int, ...]
    part: str
    counts: bool
    params: Any
    flops: Any
    macs: Any
    activations: Any
    module: str = ""


class MergedValue(NamedTuple):
    """A value that is one node for some candidates and another node for others.

    Attributes:
        mark: The index of its candidates in `Lanes.masks`.
        sources: The nodes with their candidates.
    """

    mark: int
    sources: tuple[tuple[Mask, int], ...]
