"""Which layer of a checkpoint is which layer of the network, by structure.

Names differ between libraries; what two spellings of one network share is the sequence of layers as they are executed. The
network's layers come in that order. The checkpoint's come in the order in which its modules were
registered, which is nearly that: a shortcut or an auxiliary head may stand elsewhere among its siblings. So the rule is: order the
modules inside each module of the checkpoint such that its layers, read in turn, have the kinds and shapes of ours.

    block {proj {0, 1}, f {a {0, 1}, b {0, 1}}}     ->    f.a.0, f.a.1, f.b.0, f.b.1, proj.0, proj.1

Plain layers of a module keep their order, and the first order that fits is taken, so that what need not move stays. Where the file says
nothing about order (safetensors sorts its keys), names are read with numbers by value, and plain layers move as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from resnext_dsl.weights.leaves import COUNTER, Branch, Leaf, Parameter, Reading, fits

MAX_STEPS = 2_000_000
"""Comparisons of two layers before the search gives up; torchvision's and timm's networks need about 10 a layer."""


@dataclass(frozen=True, slots=True)
class Link:
    """A parameter of the network and the one of the checkpoint that it is.

    Attributes:
        ours: The network's.
        theirs: The checkpoint's; None for a batch norm's counter, which old checkpoints lack.
    """

    ours: Parameter
    theirs: Parameter | None


def link(ours: Leaf, theirs: Leaf) -> list[Link] | None:
    """Pair the parameters of two layers, or None where their kinds or shapes differ."""
    for reading in ours.readings:
        for other in theirs.readings:
            links = _link_readings(reading, other)
            if links is not None:
                return links
    return None


def _link_readings(ours: Reading, theirs: Reading) -> list[Link] | None:
    if len(ours) == 1 == len(theirs) and _is_named_freely(ours, theirs):
        names = [(next(iter(ours)), next(iter(theirs)))]
    elif set(theirs) in (set(ours), set(ours) - {COUNTER}):
        names = [(suffix, suffix) for suffix in ours]
    else:
        return None
    links = [Link(ours[name], theirs.get(other)) for name, other in names]
    for pair in links:
        if pair.theirs is not None and not fits(pair.ours.shape, pair.theirs.shape, alone=len(ours) == 1):
            return None
    return links


def _is_named_freely(ours: Reading, theirs: Reading) -> bool:
    """A scale is a `weight` here and a `gamma` there; a layer with a bias alone is another matter."""
    return "bias" not in ours and "bias" not in theirs


class Match:
    """The search for the order in which a checkpoint's layers are ours.

    Attributes:
        furthest: Position of the last of our layers that any order reached.
        refused: The checkpoint's layers that did not fit there.
        unused: After a partial match, the modules and layers of the checkpoint that nothing fits.
    """

    def __init__(self, ours: Sequence[Leaf], theirs: Branch, ordered: bool) -> None:
        self.ours = ours
        self.theirs = theirs
        self.ordered = ordered
        self.furthest = 0
        self.refused: list[Leaf] = []
        self.unused: list[Branch | Leaf] = []
        self._steps = 0
        self._kinds: dict[object, int] = {}
        self._numbers: dict[int, int] = {}
        self._links: dict[tuple[int, int], bool] = {}
        self._orders: dict[tuple[int, int], tuple[list[Branch | Leaf], int] | None] = {}

    def pairs(self) -> list[tuple[Leaf, Leaf]] | None:
        """Our layers and theirs, each used once, or None where no order fits."""
        theirs = list(self.theirs.leaves())
        if len(theirs) == len(self.ours) and all(map(self._same, self.ours, theirs)):
            return list(zip(self.ours, theirs, strict=True))
        found = self._order(self.theirs, 0)
        if found is None or found[1] != len(self.ours):
            self._note_missing(found)
            return None
        return list(zip(self.ours, self._ordered_leaves(self.theirs, 0), strict=True))

    def leaves_over(self) -> list[Branch | Leaf] | None:
        """What is left of the checkpoint's outermost modules where all our layers have found theirs, or None."""
        found = self._order(self.theirs, 0, partial=True)
        return None if found is None else self.unused

    def _ordered_leaves(self, branch: Branch, start: int) -> Iterator[Leaf]:
        found = self._orders[id(branch), start]
        assert found is not None
        for child in found[0]:
            if isinstance(child, Leaf):
                yield child
                start += 1
            else:
                yield from self._ordered_leaves(child, start)
                start = self._end(child, start)

    def _end(self, branch: Branch, start: int) -> int:
        found = self._orders[id(branch), start]
        assert found is not None
        return found[1]

    def _note_missing(self, found: tuple[list[Branch | Leaf], int] | None) -> None:
        if found is not None and found[1] < len(self.ours):
            self.furthest, self.refused = found[1], []

    def _fit(self, child: Branch | Leaf, start: int) -> int | None:
        """Where our layers go on after this module, put at position `start`; None where it does not fit there."""
        if isinstance(child, Branch):
            found = self._order(child, start)
            return None if found is None else found[1]
        if start < len(self.ours) and self._same(self.ours[start], child):
            return start + 1
        if start > self.furthest:
            self.furthest, self.refused = start, []
        if start == self.furthest:
            self.refused.append(child)
        return None

    def _same(self, ours: Leaf, theirs: Leaf) -> bool:
        self._steps += 1
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

    def _order(self, branch: Branch, start: int, partial: bool = False) -> tuple[list[Branch | Leaf], int] | None:
        """The children of a module in an order that fits our layers from `start`, and where those go on."""
        key = (id(branch), start)
        if partial or key not in self._orders:
            self._orders[key] = self._search(branch, start, partial)
        return self._orders[key]

    def _search(self, branch: Branch, start: int, partial: bool) -> tuple[list[Branch | Leaf], int] | None:
        everything = (1 << len(branch.children)) - 1
        dead: set[int] = set()
        trail: list[tuple[int, int, Iterator[tuple[int, int]]]] = [(0, start, self._choices(branch, 0, start))]
        chosen: list[int] = []
        while trail:
            used, position, choices = trail[-1]
            if used == everything or (partial and position == len(self.ours)):
                self.unused = [c for number, c in enumerate(branch.children) if not used >> number & 1]
                return [branch.children[number] for number in chosen], position
            number, end = next(((n, e) for n, e in choices if used | 1 << n not in dead), (-1, -1))
            if number < 0:
                dead.add(used)
                trail.pop()
                chosen = chosen[:-1]
                continue
            chosen.append(number)
            trail.append((used | 1 << number, end, self._choices(branch, used | 1 << number, end)))
        return None

    def _choices(self, branch: Branch, used: int, position: int) -> Iterator[tuple[int, int]]:
        """The children that may come next: their numbers, and where our layers go on after each."""
        tried: set[int] = set()
        plain_layer_waits = False
        for number, child in enumerate(branch.children):
            if used >> number & 1 or self._steps > MAX_STEPS:
                continue
            stays = self.ordered and isinstance(child, Leaf) and not child.own
            if self._kind(child) in tried or (stays and plain_layer_waits):
                continue
            plain_layer_waits = plain_layer_waits or stays
            tried.add(self._kind(child))
            self._steps += 1
            end = self._fit(child, position)
            if end is not None:
                yield number, end
