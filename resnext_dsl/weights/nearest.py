"""Where two networks differ, when no order of a checkpoint's layers is ours.

Owns the order that comes nearest, and the first pair of layers in it that do not fit: the one to show.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Shape
from resnext_dsl.weights.match import link

OTHER_KIND, OTHER_SIZE = 100, 10
"""How far apart two layers are: a norm and a convolution, or one kind with sizes that differ (each size that does)."""

MAX_STEPS = 20_000


def first_difference(ours: Branch, theirs: Branch, ordered: bool) -> tuple[Leaf | None, Leaf | None]:
    """The first layer of ours that differs and what stands in its place; None on the side that ends too early.

    Args:
        ours: The network's layers.
        theirs: The checkpoint's, of which no order fits.
        ordered: Whether the order of the checkpoint's keys means something.
    """
    here = list(ours.leaves())
    there = list(_Nearest(here, ordered).leaves(theirs, 0))
    for layer, other in zip(here, there, strict=False):
        if link(layer, other) is None:
            return layer, other
    shorter = min(len(here), len(there))
    return next(iter(here[shorter:]), None), next(iter(there[shorter:]), None)


class _Nearest:
    """Orders each module's children in turn, but for those that fit far better after a later one."""

    def __init__(self, ours: list[Leaf], ordered: bool) -> None:
        self._ours = ours
        self._ordered = ordered
        self._steps = MAX_STEPS
        self._found: dict[tuple[int, int], tuple[list[Branch | Leaf], int]] = {}

    def leaves(self, branch: Branch, start: int) -> Iterator[Leaf]:
        for child in self._order(branch, start)[0]:
            if isinstance(child, Leaf):
                yield child
            else:
                yield from self.leaves(child, start)
            start += child.size

    def _order(self, branch: Branch, start: int) -> tuple[list[Branch | Leaf], int]:
        """The children in their nearest order from `start`, and how far apart the layers are in it."""
        if (id(branch), start) not in self._found:
            order: list[Branch | Leaf] = []
            waiting, position, total = list(branch.children), start, 0
            while waiting:
                child = waiting.pop(self._next(waiting, position))
                total += self._distance(child, position)
                order.append(child)
                position += child.size
            self._found[id(branch), start] = order, total
        return self._found[id(branch), start]

    def _next(self, waiting: list[Branch | Leaf], position: int) -> int:
        first = waiting[0]
        if self._steps < 0 or not self._distance(first, position):
            return 0
        gains = {number: self._gain(first, waiting[number], position) for number in self._movable(waiting)}
        best = max(gains, key=lambda number: gains[number], default=0)
        return best if gains and gains[best] > 0 else 0

    def _movable(self, waiting: list[Branch | Leaf]) -> Iterator[int]:
        """The children that may come before the first: see `match`."""
        stays = [self._ordered and isinstance(child, Leaf) and not child.own for child in waiting]
        for number in range(1, len(waiting)):
            if not stays[number] or not any(stays[:number]):
                yield number

    def _gain(self, first: Branch | Leaf, other: Branch | Leaf, position: int) -> int:
        """What it saves to put `other` before `first`; nothing unless the layers come twice as near."""
        in_turn = self._distance(first, position) + self._distance(other, position + first.size)
        moved = self._distance(other, position) + self._distance(first, position + other.size)
        return in_turn - 2 * moved

    def _distance(self, child: Branch | Leaf, position: int) -> int:
        if isinstance(child, Branch):
            return self._order(child, position)[1]
        self._steps -= 1
        return distance(self._ours[position], child) if position < len(self._ours) else OTHER_KIND


def distance(layer: Leaf, other: Leaf) -> int:
    """How far apart two layers are; 0 where they fit."""
    if link(layer, other) is not None:
        return 0
    one, two = layer.readings[0], other.readings[0]
    if len(one.keys() - {COUNTER}) != len(two.keys() - {COUNTER}):
        return OTHER_KIND
    sizes, others = _longest(p.shape for p in one.values()), _longest(p.shape for p in two.values())
    if sum(size > 1 for size in sizes) != sum(size > 1 for size in others):
        return OTHER_KIND
    return OTHER_SIZE * (1 + sum(a != b for a, b in zip(sizes, others, strict=False)))


def _longest(shapes: Iterator[Shape]) -> Shape:
    return max(shapes, key=len)
