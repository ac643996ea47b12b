"""Which layer of a checkpoint is which layer of the network, by structure.

Names differ between libraries; what two spellings of one network share is the sequence of layers as they are executed.
The network's layers come in that order. The checkpoint's come in the order in which its modules were registered, which
is nearly that: a shortcut or an auxiliary head may stand elsewhere among its siblings. So the rule: order the modules
inside each module of the checkpoint such that its layers, read in turn, have the kinds and shapes of ours.

    block {proj {0, 1}, f {a {0, 1}, b {0, 1}}}     ->    f.a.0, f.a.1, f.b.0, f.b.1, proj.0, proj.1

Plain layers of a module keep their order, and what fits in place stays there. Where the file says nothing about order
(safetensors sorts its keys), names are read with numbers by value, and plain layers move as well. Where several orders
fit, the one whose modules cover modules of ours is taken: nine blocks in one module are a stage, and not the last
block of one and eight of the next.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush

from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Parameter, Reading, fits

MIN_STEPS, STEPS_PER_LAYER = 20_000, 100
"""Modules tried for a place before the search gives up; the networks of torchvision and timm need 20 a layer."""


@dataclass(frozen=True, slots=True)
class ParameterLink:
    """A parameter of the network and the one of the checkpoint that it is.

    Attributes:
        ours: The network's.
        theirs: The checkpoint's; None for a batch norm's counter, which old checkpoints lack.
    """

    ours: Parameter
    theirs: Parameter | None


def link(ours: Leaf, theirs: Leaf) -> list[ParameterLink] | None:
    """Pair the parameters of two layers, or None where their kinds or shapes differ."""
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
    """A scale is a `weight` here and a `gamma` there; a layer with a bias alone is another matter."""
    return "bias" not in ours and "bias" not in theirs


_SHORTCUT = re.compile(r"shortcut\d*")


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a module's children that fits.

    Attributes:
        children: All of them, or some after a partial search.
        end: Position where our layers go on.
        cost: How strange the order is: children out of turn, and modules that cut across ours.
    """

    children: tuple[Branch | Leaf, ...]
    end: int
    cost: int


class LayerMatch:
    """The search for the order in which a checkpoint's layers are ours."""

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
        """Our layers and theirs, each used once, or None where no order fits."""
        if self.theirs.size != len(self.ours):
            return None
        theirs = list(self.theirs.leaves())
        if self.ordered and all(map(self._same, self.ours, theirs)):
            return list(zip(self.ours, theirs, strict=True))
        found = self._order(self.theirs, 0)
        if found is None:
            return None
        return list(zip(self.ours, self._ordered_leaves(self.theirs, 0), strict=True))

    def leaves_over(self) -> list[Branch | Leaf] | None:
        """What is left of the checkpoint's outermost modules where all our layers have found theirs, or None."""
        if self.theirs.size <= len(self.ours):
            return None
        outermost = self.theirs
        while len(outermost.children) == 1 and isinstance(outermost.children[0], Branch):
            outermost = outermost.children[0]
        found = self._search(outermost, 0, partial=True)
        return None if found is None else [child for child in outermost.children if child not in found.children]

    @property
    def gave_up(self) -> bool:
        """Whether the search ended for want of time."""
        return self._steps <= 0

    def _ordered_leaves(self, branch: Branch, start: int) -> Iterator[Leaf]:
        found = self._orders[id(branch), start]
        assert found is not None
        for child in found.children:
            if isinstance(child, Leaf):
                yield child
                start += 1
            else:
                yield from self._ordered_leaves(child, start)
                start += child.size

    def _fit(self, child: Branch | Leaf, start: int) -> tuple[int, int] | None:
        """Where our layers go on after this module, put at `start`, and the cost; None where it does not fit there."""
        if isinstance(child, Branch):
            found = self._order(child, start)
            return None if found is None else (found.end, found.cost + self._strangeness(child, start))
        return (start + 1, 0) if start < len(self.ours) and self._same(self.ours[start], child) else None

    def _same(self, ours: Leaf, theirs: Leaf) -> bool:
        pair = (self._kind(ours), self._kind(theirs))
        if pair not in self._links:
            self._links[pair] = link(ours, theirs) is not None
        return self._links[pair]

    def _kind(self, child: Branch | Leaf) -> int:
        """A number that is equal for what differs in names alone."""
        if id(child) not in self._numbers:
            content: object = child.kind if isinstance(child, Leaf) else [self._kind(c) for c in child.children]
            self._numbers[id(child)] = self._kinds.setdefault(repr(content), len(self._kinds))
        return self._numbers[id(child)]

    def _order(self, branch: Branch, start: int) -> Order | None:
        """The least strange order in which the children of a module fit our layers from `start`."""
        key = (id(branch), start)
        if key not in self._orders:
            self._orders[key] = self._search(branch, start)
        return self._orders[key]

    def _search(self, branch: Branch, start: int, partial: bool = False) -> Order | None:
        """Dijkstra's search over sets of used children; among equal costs, the children's own order decides."""
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
        """The children that may come next: their numbers, where our layers go on after each, and the cost."""
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
        """The children by kind, as numbers, as bits, and whether they stay in turn; and the bits of all that do.

        Children of one kind can take each other's place: to try the first unused one is enough.
        """
        if id(branch) not in self._grouped:
            groups: dict[tuple[int, bool], list[int]] = {}
            for number, child in enumerate(branch.children):
                stays = self.ordered and isinstance(child, Leaf) and not child.own
                groups.setdefault((self._kind(child), stays), []).append(number)
            masks = {key: sum(1 << number for number in members) for key, members in groups.items()}
            plain = sum(mask for (_, stays), mask in masks.items() if stays)
            listed = [(members, masks[key], key[1]) for key, members in groups.items()]
            self._grouped[id(branch)] = (listed, plain)
        return self._grouped[id(branch)]

    def _strangeness(self, child: Branch | Leaf, start: int) -> int:
        """0 where a module covers one of ours, 1 where it lies inside or around ours, 2 where the two overlap."""
        end = start + child.size
        if isinstance(child, Leaf) or (start, end) in self._ranges:
            return 0
        return 1 + any(s < start < e < end or start < s < end < e for s, e in self._ranges)


def _lowest_bit(bits: int) -> int:
    """The number of the lowest bit that is set; -1 where none is."""
    return (bits & -bits).bit_length() - 1


def _ranges(branch: Branch, start: int) -> Iterator[tuple[int, int]]:
    """The positions that each of our modules takes: the first, and one past the last; a residual's body is one too."""
    end = start
    for child in branch.children:
        if isinstance(child, Branch):
            yield from _ranges(child, end)
            if _SHORTCUT.fullmatch(child.name.rpartition(".")[2]):
                yield start, end
        end += child.size
    yield start, end
