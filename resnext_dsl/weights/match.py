"""Matches the layers of a checkpoint with the layers of the network, by structure.

Names differ between libraries, but two spellings of one network share the order of execution of their layers. The
network's layers come in that order. The checkpoint's layers come in the order in which its modules were registered,
which is nearly the same: a shortcut or an auxiliary head may be elsewhere among its siblings. The search therefore
orders the modules inside each module of the checkpoint, until its layers have the kinds and shapes of the network's.

    block {proj {0, 1}, f {a {0, 1}, b {0, 1}}}     ->    f.a.0, f.a.1, f.b.0, f.b.1, proj.0, proj.1

Plain layers of a module keep their order, and a child that fits in its place stays there. If the order of the keys has
no meaning (safetensors sorts them), names are sorted with numbers by value, and plain layers can move too. If several
orders fit, the order whose modules cover the network's modules wins. Nine blocks in one module are a stage, and not the
last block of one stage and eight blocks of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Parameter, Reading, fits

MIN_STEPS, STEPS_PER_LAYER = 20_000, 100
"""The most steps of the search: a step tries a module in a place; networks of torchvision and timm need 20 a layer."""


@dataclass(frozen=True, slots=True)
class ParameterLink:
    """A parameter of the network and the matching parameter of the checkpoint.

    Attributes:
        ours: The network's parameter.
        theirs: The checkpoint's parameter; None for a batch norm's counter, which old checkpoints lack.
    """

    ours: Parameter
    theirs: Parameter | None


def link(ours: Leaf, theirs: Leaf) -> list[ParameterLink] | None:
    """Pair the parameters of two layers; None if their kinds or shapes differ."""
    for reading in ours.readings:
        for other in theirs.readings:
            links = _link_readings(reading, other)
            if links is not None:
                return links
    return None


def _link_readings(ours: Reading, theirs: Reading) -> list[ParameterLink] | None:
    if len(ours) == 1 == len(theirs) and _is_named_freely(ours, theirs):
        names = [(next(iter(ours)), next(iter(theirs)))]
    elif set(ours) - {COUNTER} == set(theirs) - {COUNTER}:
        names = [(suffix, suffix) for suffix in ours]
    else:
        return None
    links = [ParameterLink(ours[name], theirs.get(other)) for name, other in names]
    for pair in links:
        if pair.theirs is not None and not fits(pair.ours.shape, pair.theirs.shape, alone=len(ours) == 1):
            return None
    return links


def _is_named_freely(ours: Reading, theirs: Reading) -> bool:
    """Whether the names may differ: a scale can be `weight` or `gamma`, but a bias is always `bias`."""
    return "bias" not in ours and "bias" not in theirs


_SHORTCUT = re.compile(r"shortcut\d*")


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a module's children that fits.

    Attributes:
        children: All children, or some of them after a partial search.
        end: The position of the next of our layers.
        cost: The cost of the order: the number of children out of turn, and of modules that cut across ours.
    """

    children: tuple[Branch | Leaf, ...]
    end: int
    cost: int


class LayerMatch:
    """The search for the order in which a checkpoint's layers match ours."""

    def __init__(self, ours: Branch, theirs: Branch, ordered: bool) -> None:
        self.ours = list(ours.leaves())
        self.theirs = theirs
        self.ordered = ordered
        self._steps = MIN_STEPS + STEPS_PER_LAYER * len(self.ours)
        self._ranges = frozenset(_ranges(ours, 0))
        self._kinds: dict[object, int] = {}
        self._numbers: dict[int, int] = {}
        self._links: dict[tuple[int, int], bool] = {}
        self._orders: dict[tuple[int, int], Order | None] = {}
        self._grouped: dict[int, tuple[list[tuple[list[int], int, bool]], int]] = {}

    def pairs(self) -> list[tuple[Leaf, Leaf]] | None:
        """Pairs of our layers and theirs, each layer once; None if no order fits."""
        if self.theirs.size != len(self.ours):
            return None
        theirs = list(self.theirs.leaves())
        if self.ordered and all(map(self._same, self.ours, theirs)):
            return list(zip(self.ours, theirs, strict=True))
        order = self._order(self.theirs, 0)
        if order is None:
            return None
        return list(zip(self.ours, self._ordered_leaves(self.theirs, 0), strict=True))

    def leaves_over(self) -> list[Branch | Leaf] | None:
        """The checkpoint's outermost modules without a match, if all our layers have one; else None."""
        if self.theirs.size <= len(self.ours):
            return None
        outermost = self.theirs
        while len(outermost.children) == 1 and isinstance(outermost.children[0], Branch):
            outermost = outermost.children[0]
        order = self._search(outermost, 0, partial=True)
        return None if order is None else [child for child in outermost.children if child not in order.children]

    @property
    def gave_up(self) -> bool:
        """Whether the search stopped at its limit of steps."""
        return self._steps <= 0

    def _ordered_leaves(self, branch: Branch, start: int) -> Iterator[Leaf]:
        order = self._orders[id(branch), start]
        assert order is not None
        for child in order.children:
            if isinstance(child, Leaf):
                yield child
                start += 1
            else:
                yield from self._ordered_leaves(child, start)
                start += child.size

    def _fit(self, child: Branch | Leaf, start: int) -> tuple[int, int] | None:
        """The position after this module if it starts at `start`, and its cost; None if it does not fit there."""
        if isinstance(child, Branch):
            order = self._order(child, start)
            return None if order is None else (order.end, order.cost + self._module_cost(child, start))
        return (start + 1, 0) if start < len(self.ours) and self._same(self.ours[start], child) else None

    def _same(self, ours: Leaf, theirs: Leaf) -> bool:
        pair = (self._kind(ours), self._kind(theirs))
        if pair not in self._links:
            self._links[pair] = link(ours, theirs) is not None
        return self._links[pair]

    def _kind(self, child: Branch | Leaf) -> int:
        """A number that is equal for layers and modules that differ only in names."""
        if id(child) not in self._numbers:
            content: object = child.kind if isinstance(child, Leaf) else [self._kind(c) for c in child.children]
            self._numbers[id(child)] = self._kinds.setdefault(repr(content), len(self._kinds))
        return self._numbers[id(child)]

    def _order(self, branch: Branch, start: int) -> Order | None:
        """The order of least cost in which the children of a module fit our layers from `start`."""
        key = (id(branch), start)
        if key not in self._orders:
            self._orders[key] = self._search(branch, start)
        return self._orders[key]

    def _search(self, branch: Branch, start: int, partial: bool = False) -> Order | None:
        """Dijkstra's search over sets of used children; among equal costs, the order of the children decides."""
        everything = (1 << len(branch.children)) - 1
        done: set[int] = set()
        waiting: list[tuple[int, tuple[int, ...], int, int]] = [(0, (), 0, start)]
        while waiting:
            cost, path, used, position = heappop(waiting)
            if used == everything or (partial and position == len(self.ours)):
                return Order(tuple(branch.children[number] for number in path), position, cost)
            if used in done:
                continue
            done.add(used)
            for number, end, more in self._choices(branch, used, position):
                heappush(waiting, (cost + more, (*path, number), used | 1 << number, end))
        return None

    def _choices(self, branch: Branch, used: int, position: int) -> Iterator[tuple[int, int, int]]:
        """The children that may come next: number, position after the child, and cost."""
        groups, plain = self._groups(branch)
        first, first_plain = _lowest_bit(~used), _lowest_bit(plain & ~used)
        for members, mask, stays in groups:
            taken = (used & mask).bit_count()
            if taken == len(members) or (stays and members[taken] != first_plain):
                continue
            self._steps -= 1
            fit = None if self.gave_up else self._fit(branch.children[members[taken]], position)
            if fit is not None:
                yield members[taken], fit[0], fit[1] + (self.ordered and members[taken] != first)

    def _groups(self, branch: Branch) -> tuple[list[tuple[list[int], int, bool]], int]:
        """The children in groups of one kind, and the bits of all children that keep their order.

        A group is its numbers, its bits, and whether it keeps its order. Children of one kind are interchangeable, so
        that the search tries only the first unused child of a group.
        """
        if id(branch) not in self._grouped:
            groups: dict[tuple[int, bool], list[int]] = {}
            for number, child in enumerate(branch.children):
                stays = self.ordered and isinstance(child, Leaf) and not child.direct
                groups.setdefault((self._kind(child), stays), []).append(number)
            masks = {key: sum(1 << number for number in members) for key, members in groups.items()}
            plain = sum(mask for (_, stays), mask in masks.items() if stays)
            listed = [(members, masks[key], key[1]) for key, members in groups.items()]
            self._grouped[id(branch)] = (listed, plain)
        return self._grouped[id(branch)]

    def _module_cost(self, child: Branch | Leaf, start: int) -> int:
        """The cost of a module: 0 if it covers one of the network's, 1 if one holds the other, 2 if they overlap."""
        end = start + child.size
        if isinstance(child, Leaf) or (start, end) in self._ranges:
            return 0
        return 1 + any(s < start < e < end or start < s < end < e for s, e in self._ranges)


def _lowest_bit(bits: int) -> int:
    """The number of the lowest bit that is set; -1 if none is set."""
    return (bits & -bits).bit_length() - 1


def _ranges(branch: Branch, start: int) -> Iterator[tuple[int, int]]:
    """The first position of each of our modules and one past its last; the body of a residual counts as a module."""
    end = start
    for child in branch.children:
        if isinstance(child, Branch):
            yield from _ranges(child, end)
            if _SHORTCUT.fullmatch(child.name.rpartition(".")[2]):
                yield start, end
        end += child.size
    yield start, end
