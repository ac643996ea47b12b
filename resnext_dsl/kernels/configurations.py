"""The kernels of each direction, and the block sizes that `tuning` tries for a layer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from resnext_dsl.kernels.layer_shape import FORWARD, INPUT_GRADIENT, LayerShape

TAPS, ROWS, QUADS, PARTS = "taps", "rows", "quads", "parts"

KERNELS = (TAPS, ROWS, QUADS, PARTS)

WASTE = 8
"""The most channels of a tile, as a multiple of the channels a group.

The products of a tile compute zeros for pairs of channels of unlike groups. Up to this factor the products of a layer
with few channels a group take less time than its memory traffic on an H100.
"""

BLOCKS = (16, 32, 64)
"""The channels of a tile, rounded up: a product of matrices in Triton has at least 16 rows and columns."""


@dataclass(frozen=True, slots=True, order=True)
class Configuration:
    """A kernel and its block sizes.

    Attributes:
        kernel: One of `KERNELS`.
        block: One of `BLOCKS`.
        positions: The positions of a block; a power of two.
        warps: The warps of a program; a power of two.
        stages: The steps of a loop whose loads overlap.
    """

    kernel: str
    block: int
    positions: int
    warps: int
    stages: int

    def text(self) -> str:
        """The configuration as messages write it: `rows 16x128, 4 warps, 3 stages`."""
        return f"{self.kernel} {self.block}x{self.positions}, {self.warps} warps, {self.stages} stages"


# The sizes that compile for sm_80 and sm_90 without spilled registers.
_SIZES: dict[tuple[str, int], tuple[tuple[int, int, int], ...]] = {
    (TAPS, 16): ((128, 4, 1), (128, 4, 3)),
    (TAPS, 32): ((128, 4, 1), (128, 4, 3)),
    (TAPS, 64): ((64, 4, 1), (128, 4, 3), (128, 8, 3)),
    (ROWS, 16): ((64, 4, 1), (128, 4, 1), (64, 4, 3), (128, 4, 3)),
    (ROWS, 32): ((64, 4, 1), (128, 8, 1), (64, 4, 3)),
    (ROWS, 64): ((64, 4, 1), (128, 8, 1)),
    (QUADS, 16): ((64, 4, 1), (128, 4, 1)),
    (QUADS, 32): ((64, 4, 1), (128, 8, 1)),
    (QUADS, 64): ((64, 4, 1), (128, 8, 1)),
    (PARTS, 16): ((32, 1, 1), (64, 1, 1), (64, 2, 3)),
    (PARTS, 32): ((32, 1, 1), (64, 2, 3), (64, 4, 3)),
    (PARTS, 64): ((64, 4, 3), (128, 4, 2)),
}


def tile(block: int, group: int, groups: int) -> int:
    """The channels of a tile: the most whole groups that fit into a block, and whose number divides that of all groups.

    Args:
        block: One of `BLOCKS`, at least `group`.
        group: The channels a group.
        groups: The groups of the layer.
    """
    most = block // group
    return group * max(count for count in range(1, most + 1) if groups % count == 0)


def blocks(group: int, groups: int) -> list[int]:
    """The blocks that are tried for a layer: those that hold at least one group, and no block for an equal tile."""
    chosen: dict[int, int] = {}
    for block in BLOCKS:
        if group <= block <= max(BLOCKS[0], WASTE * group):
            chosen.setdefault(tile(block, group, groups), block)
    return list(chosen.values()) or [64]


def kernels(direction: str, stride: int) -> tuple[str, ...]:
    """The kernels of a direction."""
    if direction == FORWARD:
        return (ROWS, TAPS) if stride == 1 else (TAPS,)
    if direction == INPUT_GRADIENT:
        return (ROWS, TAPS) if stride == 1 else (QUADS,)
    return (PARTS,)


def candidates(direction: str, shape: LayerShape) -> Iterator[Configuration]:
    """The configurations that are tried for a direction of a layer."""
    for block in blocks(shape.group, shape.groups):
        for kernel in kernels(direction, shape.stride):
            for positions, warps, stages in _SIZES[kernel, block]:
                yield Configuration(kernel, block, positions, warps, stages)
