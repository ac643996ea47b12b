"""The first difference between a network and a checkpoint, if no order of the checkpoint's layers matches.

It searches the nearest order, and returns the first pair of layers in it that do not fit.
"""

from __future__ import annotations

from collections.abc import Iterator

from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Shape
from resnext_dsl.weights.match import link

OTHER_KIND, OTHER_SIZE = 100, 10
"""The distance of two layers of different kinds; the distance of one kind, for each size that differs."""

MAX_MOVED = 16
"""The most children that move together."""

MAX_STEPS = 200_000
"""The most comparisons; after them, the remaining children keep their order."""


def first_difference(ours: Branch, theirs: Branch, ordered: bool) -> tuple[Leaf | None, Leaf | None]:
    """The first of our layers that differs, and the layer in its place; None on the side that ends too early.

    Args:
        ours: The network's layers.
        theirs: The checkpoint's layers; no order of them fits.
        ordered: Whether the order of the checkpoint's keys has a meaning.
    """
    here = list(ours.leaves())
    there = list(_Nearest(ours, ordered).leaves(theirs))
    for layer, other in zip(here, there, strict=False):
        if link(layer, other) is None:
            return layer, other
    shorter = min(len(here), len(there))
    return next(iter(here[shorter:]), None), next(iter(there[shorter:]), None)


class _Nearest:
    """The nearest order: children keep their order, except those that come much nearer to ours before earlier ones."""

    def __init__(self, ours: Branch, ordered: bool) -> None:
        self._ours = list(ours.leaves())
        self._ordered = ordered
        self._steps = MAX_STEPS
        self._orders: dict[tuple[int, int], tuple[list[Branch | Leaf], int]] = {}

    def leaves(self, branch: Branch, start: int = 0) -> Iterator[Leaf]:
        """The checkpoint's layers in the nearest order, compared with ours from `start`."""
        for child in self._order(branch, start)[0]:
            if isinstance(child, Leaf):
                yield child
            else:
                yield from self.leaves(child, start)
            start += child.size

    def _order(self, branch: Branch, start: int) -> tuple[list[Branch | Leaf], int]:
        """The children in their nearest order, and the distance of that order."""
        if (id(branch), start) not in self._orders:
            order: list[Branch | Leaf] = []
            waiting, position, total = list(branch.children), start, 0
            while waiting and position < len(self._ours):
                child = waiting.pop(self._next(waiting, position))
                total += self._distance(child, position)
                order.append(child)
                position += child.size
            total += OTHER_KIND * sum(child.size for child in waiting)
            self._orders[id(branch), start] = order + waiting, total
        return self._orders[id(branch), start]

    def _next(self, waiting: list[Branch | Leaf], position: int) -> int:
        """The number of the child for `position`."""
        if self._steps <= 0 or not self._distance(waiting[0], position):
            return 0
        if self._ordered:
            return self._next_in_turn(waiting, position)
        apart = [self._distance(child, position) / max(child.size, 1) for child in waiting[: self._steps]]
        return next(number for number, each in enumerate(apart) if each <= 2 * min(apart) + OTHER_SIZE)

    def _next_in_turn(self, waiting: list[Branch | Leaf], position: int) -> int:
        """The first child, unless moving some later children before it halves the distance."""
        best, number = 0, 0
        for begin in range(1, min(len(waiting), 2 * MAX_MOVED)):
            before = waiting[:begin]
            moved: list[Branch | Leaf] = []
            for child in self._movable(waiting, begin):
                moved.append(child)
                gain = self._sum(before + moved, position) - 2 * self._sum(moved + before, position)
                if gain > best:
                    best, number = gain, begin
        return number

    def _movable(self, waiting: list[Branch | Leaf], begin: int) -> Iterator[Branch | Leaf]:
        """The children from `begin` on that may come before all earlier ones: see `match`."""
        passes_plain_layer = any(map(self._stays, waiting[:begin]))
        for child in waiting[begin : begin + MAX_MOVED]:
            if passes_plain_layer and self._stays(child):
                return
            yield child

    def _sum(self, children: list[Branch | Leaf], position: int) -> int:
        total = 0
        for child in children:
            total += self._distance(child, position)
            position += child.size
        return total

    def _stays(self, child: Branch | Leaf) -> bool:
        return isinstance(child, Leaf) and not child.direct

    def _distance(self, child: Branch | Leaf, position: int) -> int:
        self._steps -= 1
        if isinstance(child, Branch):
            return self._order(child, position)[1]
        return distance(self._ours[position], child) if position < len(self._ours) else OTHER_KIND


def distance(layer: Leaf, other: Leaf) -> int:
    """The distance of two layers; 0 if they fit."""
    if link(layer, other) is not None:
        return 0
    one, two = layer.readings[0], other.readings[0]
    if len(one.keys() - {COUNTER}) != len(two.keys() - {COUNTER}):
        return OTHER_KIND
    sizes, others = _longest(p.shape for p in one.values()), _longest(p.shape for p in two.values())
    if _is_vector(sizes) != _is_vector(others):
        return OTHER_KIND
    return OTHER_SIZE * (1 + sum(a != b for a, b in zip(sizes, others, strict=False)))


def _is_vector(shape: Shape) -> bool:
    return all(size == 1 for size in shape[1:])


def _longest(shapes: Iterator[Shape]) -> Shape:
    return max(shapes, key=len)
