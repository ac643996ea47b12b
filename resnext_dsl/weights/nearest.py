"""Where two networks differ, when no order of a checkpoint's layers is ours.

Owns the order that comes nearest, and the first pair of layers in it that do not fit: the one to show.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Shape
from resnext_dsl.weights.match import Match, Order, link

OTHER_KIND, OTHER_SIZE = 100, 10
"""How far apart two layers are: a norm and a convolution, or one kind with sizes that differ (each size that does)."""


def first_difference(ours: Branch, theirs: Branch, ordered: bool) -> tuple[Leaf | None, Leaf | None]:
    """The first layer of ours that differs and what stands in its place; None on the side that ends too early.

    Args:
        ours: The network's layers.
        theirs: The checkpoint's, of which no order fits.
        ordered: Whether the order of the checkpoint's keys means something.
    """
    here = list(ours.leaves())
    there = list(_Nearest(ours, theirs, ordered).leaves())
    for layer, other in zip(here, there, strict=False):
        if link(layer, other) is None:
            return layer, other
    shorter = min(len(here), len(there))
    return next(iter(here[shorter:]), None), next(iter(there[shorter:]), None)


class _Nearest(Match):
    """The same search, where layers that do not fit are far apart instead of impossible."""

    turn_cost = OTHER_SIZE
    haste = OTHER_KIND // 2

    def leaves(self) -> Iterator[Leaf]:
        """The checkpoint's layers in the nearest order."""
        self._order(self.theirs, 0)
        return self._ordered_leaves(self.theirs, 0)

    def _search(self, branch: Branch, start: int, partial: bool = False) -> Order | None:
        return super()._search(branch, start, partial) or self._in_turn(branch, start)

    def _in_turn(self, branch: Branch, start: int) -> Order:
        """What is left when the search is given up: nothing is impossible here, so that it fails for no other reason."""
        position, cost = start, 0
        for child in branch.children:
            position, more = self._fit(child, position)
            cost += more
        return Order(tuple(branch.children), position, cost)

    def _fit(self, child: Branch | Leaf, start: int) -> tuple[int, int]:
        if isinstance(child, Branch):
            found = self._order(child, start)
            assert found is not None
            return found.end, found.cost + self._strangeness(child, start)
        return start + 1, distance(self.ours[start], child) if start < len(self.ours) else OTHER_KIND


def distance(layer: Leaf, other: Leaf) -> int:
    """How far apart two layers are; 0 where they fit."""
    if link(layer, other) is not None:
        return 0
    one, two = layer.readings[0], other.readings[0]
    if len(one.keys() - {COUNTER}) != len(two.keys() - {COUNTER}):
        return OTHER_KIND
    sizes, others = _longest(p.shape for p in one.values()), _longest(p.shape for p in two.values())
    if _rank(sizes) != _rank(others):
        return OTHER_KIND
    return OTHER_SIZE * (1 + sum(a != b for a, b in zip(sizes, others, strict=False)))


def _rank(shape: Shape) -> int:
    """The number of axes, without those of length 1 at the end: 2 for a linear layer and a 1x1 convolution."""
    return max((number + 1 for number, size in enumerate(shape) if size > 1), default=min(len(shape), 1))


def _longest(shapes: Iterator[Shape]) -> Shape:
    return max(shapes, key=len)
