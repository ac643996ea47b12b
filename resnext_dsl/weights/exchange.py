"""Decides among layers that could be exchanged: by names, by numbers, by their place in the modules, or not at all.

`match` finds an order in which all shapes fit. Layers of equal kinds fit in each other's places too, and a state_dict
does not say which of them is which. This module looks at neighbours among the layers of one kind, in the order of the
network: if a match is wrong, two neighbours are exchanged. The evidence for two neighbours is, in this order:

1. Words that both libraries use: `prev` and `now`, `shortcut` and `downsample`. They can exchange the two layers.
2. Modules: a layer belongs to the module whose other layers fit in one place only.
3. Dilations of the checkpoint's paths, if its keys tell them.
4. Numbers, by value, if the layers run in turn, or if both sides number them and their operators are equal.
5. The order of the file, if it has one. The layers must run in turn with equal attributes, or the modules beside them
   that fit in one place only must come in the network's order.

Neighbours without evidence are open.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from resnext_dsl.weights.known_layouts import known_dilations
from resnext_dsl.weights.layer_facts import AFTER, LayerFacts
from resnext_dsl.weights.leaves import Leaf
from resnext_dsl.weights.name_words import numbers_of, path_of, words_of

Pair = tuple[Leaf, Leaf]


class OpenPair(NamedTuple):
    """Two layers of the network that could take each other's weights.

    Attributes:
        first: The position of the first layer.
        second: The position of the second layer.
        differ: The attributes of the two layers that differ, or ("operators",) if the paths around them do.
    """

    first: int
    second: int
    differ: tuple[str, ...]


MAX_ROUNDS = 64
"""The most rounds of exchanges between neighbours."""

SAME, SWAPPED, SILENT = 1, -1, 0
"""Verdicts on two layers: they are right, they are exchanged, or there is no evidence."""


class Exchange:
    """Matched layers, exchanged if names say so, with the pairs that stay open."""

    def __init__(self, pairs: Sequence[Pair], registered: Sequence[Leaf] | None, facts: LayerFacts | None) -> None:
        """Reads the names of matched layers.

        Args:
            pairs: Our layers in the order of execution, each with the checkpoint's layer.
            registered: The checkpoint's layers in the order of its keys; None if that order has no meaning.
            facts: The network's graph; without it only words decide, and no pair is open.
        """
        self.ours = [layer for layer, _ in pairs]
        self.theirs = [other for _, other in pairs]
        self._ranks = {id(layer): rank for rank, layer in enumerate(registered)} if registered is not None else None
        self._facts = facts
        self._kinds = _kinds(self.theirs)
        self._classes = _classes([self._kinds[id(layer)] for layer in self.theirs])
        self._late = _late(self.theirs)
        dilations = known_dilations({layer.name for layer in self.theirs})
        self._dilations = {path_of(module): dilation for module, dilation in dilations.items()}
        self._modules = _Modules(self.theirs, self._kinds, self._ranks)
        self._verdicts: dict[tuple[int, int], int] = {}
        self._our_paths = [tuple(layer.name.split(".")) for layer in self.ours]
        self._scopes: dict[tuple[str, ...], list[int]] = defaultdict(list)
        for position, path in enumerate(self._our_paths):
            for level in range(len(path)):
                self._scopes[path[: level + 1]].append(position)

    def settle(self) -> list[OpenPair]:
        """Exchanges layers by their names; returns the neighbours that stay open."""
        for members in self._classes:
            self._assign_by_words(members)
        for _ in range(MAX_ROUNDS):
            self._modules = _Modules(self.theirs, self._kinds, self._ranks)
            self._verdicts = {}
            swaps = [self._swap_neighbours(members) for members in self._classes]
            if not any(swaps):
                break
        if self._facts is None:
            return []
        return [
            OpenPair(first, second, self._differing(first, second))
            for members in self._classes
            for first, second in pairwise(members)
            if self._verdict(first, second) != SAME
        ]

    def _swap_neighbours(self, members: list[int]) -> bool:
        """Exchanges neighbours that their names call exchanged; no layer moves twice in one round."""
        moved = -1
        for first, second in pairwise(members):
            if first != moved and self._verdict(first, second) == SWAPPED:
                self.theirs[first], self.theirs[second] = self.theirs[second], self.theirs[first]
                moved = second
        return moved >= 0

    def pairs(self) -> list[Pair]:
        """Our layers, each with the checkpoint's layer."""
        return list(zip(self.ours, self.theirs, strict=True))

    def apart(self, first: int, second: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The names of the outermost modules of the checkpoint that hold one of two layers and not the other."""
        return self._modules.apart(first, second)

    def _assign_by_words(self, members: list[int]) -> None:
        """Gives each word's layers of the checkpoint to the same word's layers of the network, if both are as many."""
        here = {position: self._our_words(position) for position in members}
        there = {position: self._their_words(position) for position in members}
        counts = Counter(word for words in here.values() for word in words)
        others = Counter(word for words in there.values() for word in words)
        telling = frozenset(word for word, count in counts.items() if count == others[word] < len(members))
        if not telling:
            return
        places, layers = defaultdict(list), defaultdict(list)
        for position in members:
            places[here[position] & telling].append(position)
            layers[there[position] & telling].append(self.theirs[position])
        if any(len(layers[words]) != len(positions) for words, positions in places.items()):
            return
        for words, positions in places.items():
            for position, layer in zip(positions, layers[words], strict=True):
                self.theirs[position] = layer

    def _our_words(self, position: int) -> frozenset[str]:
        name = self.ours[position].name
        return self._facts.words(name) if self._facts is not None and self._facts.knows(name) else words_of(name)

    def _their_words(self, position: int) -> frozenset[str]:
        name = self.theirs[position].name
        return words_of(name) | {AFTER} if name in self._late else words_of(name)

    def _verdict(self, first: int, second: int) -> int:
        if (first, second) not in self._verdicts:
            self._verdicts[first, second] = self._judged(first, second)
        return self._verdicts[first, second]

    def _judged(self, first: int, second: int) -> int:
        by_words = self._by_words(first, second)
        if by_words != SILENT:
            return by_words
        if self._facts is None or self._by_modules(first, second) or self._by_dilations(first, second):
            return SAME
        return self._by_numbers(first, second) or self._by_order(first, second)

    def _by_words(self, first: int, second: int) -> int:
        here, there = self._our_words(first), self._our_words(second)
        one, other = self._their_words(first), self._their_words(second)
        here, there, one, other = here - there, there - here, one - other, other - one
        same, swapped = len(here & one) + len(there & other), len(here & other) + len(there & one)
        return SAME if same > swapped else SWAPPED if same < swapped else SILENT

    def _by_modules(self, first: int, second: int) -> bool:
        """Whether the other layers of their modules hold the two in place.

        Modules of different layers decide if each of them is a whole scope of the network. An anchor of a module is a
        layer of a kind that the other module lacks. If our layer is nearer to the anchor's counterpart than its
        neighbour, the module decides too.
        """
        one, other = self._modules.apart(first, second)
        if self._modules.kinds(one) != self._modules.kinds(other) and self._fill_scopes(first, second):
            return True
        for module, rest, place, neighbour in ((one, other, first, second), (other, one, second, first)):
            for anchor in self._modules.anchors(module, rest):
                if self._common(place, anchor) > self._common(neighbour, anchor):
                    return True
        return False

    def _fill_scopes(self, first: int, second: int) -> bool:
        """Whether the modules of two layers hold exactly the layers of the two scopes that part them in the network."""
        level = _shared(self._our_paths[first], self._our_paths[second]) + 1
        return all(
            self._modules.members(module) == self._scopes.get(self._our_paths[position][:level])
            for module, position in zip(self._modules.apart(first, second), (first, second), strict=True)
        )

    def _by_dilations(self, first: int, second: int) -> bool:
        """Whether the paths that hold the two have the dilations that the checkpoint's keys tell."""
        assert self._facts is not None
        level = _shared(self._our_paths[first], self._our_paths[second]) + 1
        for module, position in zip(self._modules.apart(first, second), (first, second), strict=True):
            expected = self._dilations.get(module)
            if expected is None or self._facts.dilations(".".join(self._our_paths[position][:level])) != {expected}:
                return False
        return True

    def _common(self, first: int, second: int) -> int:
        """The number of scopes that two of our layers share."""
        return _shared(self._our_paths[first], self._our_paths[second])

    def _by_numbers(self, first: int, second: int) -> int:
        level = _shared(self._modules.paths[first], self._modules.paths[second])
        letters, numbers = _numbers_at(self._modules.paths[first], level)
        others_letters, others = _numbers_at(self._modules.paths[second], level)
        # a letter behind a number counts as a further number: `conv2` comes before `conv2b`
        if letters.rstrip("#") != others_letters.rstrip("#") or numbers == others:
            return SILENT
        rising = numbers < others
        if self._in_series(first, second):
            return SAME if rising else SILENT
        numbered = self._our_numbers_rise(first, second)
        if letters != others_letters or numbered is None or self._differing(first, second):
            return SILENT
        return SAME if rising == numbered else SWAPPED

    def _our_numbers_rise(self, first: int, second: int) -> bool | None:
        """Whether the numbers in our names rise too; None if the compiler numbered them in the order of execution."""
        here, there = self._our_paths[first], self._our_paths[second]
        level = _shared(here, there)
        letters, numbers = _numbers_at(here, level)
        others_letters, others = _numbers_at(there, level)
        if letters != others_letters or numbers == others or not self._is_numbered(here, level):
            return None
        return numbers < others

    def _is_numbered(self, path: tuple[str, ...], level: int) -> bool:
        """Whether the number in a name has a meaning: `paths.0` is the first path, and an author names parts."""
        assert self._facts is not None
        around = self._facts.kind_of_scope(".".join(path[:level]))
        return around in ("paths", "passes") or self._facts.kind_of_scope(".".join(path[: level + 1])) == "part"

    def _by_order(self, first: int, second: int) -> int:
        if self._ranks is None or self._differing(first, second):
            return SILENT
        if self._in_series(first, second):
            return SAME
        return SAME if self._modules.lie_in_order(first, second) else SILENT

    def _in_series(self, first: int, second: int) -> bool:
        assert self._facts is not None
        return self._facts.in_series(self.ours[first].name, self.ours[second].name)

    def _differing(self, first: int, second: int) -> tuple[str, ...]:
        """The attributes in which two layers differ; ("operators",) if the paths that hold them differ otherwise."""
        assert self._facts is not None
        here, there = (self._facts.attributes(self.ours[position].name) for position in (first, second))
        differ = tuple(name for name in here if here[name] != there.get(name))
        if differ or self._in_series(first, second):
            return differ
        paths = self._our_paths[first], self._our_paths[second]
        level = _shared(*paths)
        contexts = [self._facts.context(".".join(path[: level + 1])) for path in paths]
        return () if contexts[0] == contexts[1] else ("operators",)


def _late(layers: Sequence[Leaf]) -> frozenset[str]:
    """The layers of `branch.1` if there is no other number: `branch.0` is an operator without weights."""
    numbers: dict[str, set[str]] = defaultdict(set)
    inside: dict[str, list[str]] = defaultdict(list)
    for layer in layers:
        parts = layer.name.split(".")
        for level, part in enumerate(parts):
            if part.isdecimal():
                module = ".".join(parts[:level])
                numbers[module].add(part)
                inside[module].append(layer.name)
    return frozenset(name for module, listed in numbers.items() if listed == {"1"} for name in inside[module])


def _kinds(layers: Sequence[Leaf]) -> dict[int, int]:
    """A number for the kind of each layer, by the layer's identity."""
    numbers: dict[object, int] = {}
    return {id(layer): numbers.setdefault(layer.kind, len(numbers)) for layer in layers}


def _classes(kinds: Sequence[int]) -> list[list[int]]:
    """The positions of the layers of each kind that several layers have."""
    members: dict[int, list[int]] = defaultdict(list)
    for position, kind in enumerate(kinds):
        members[kind].append(position)
    return [positions for positions in members.values() if len(positions) > 1]


def _shared(first: Sequence[str], second: Sequence[str]) -> int:
    """The number of parts with which both paths begin."""
    count = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        count += 1
    return count


def _numbers_at(path: Sequence[str], level: int) -> tuple[str, tuple[int, ...]]:
    return numbers_of(path[level]) if level < len(path) else ("", ())


class _Modules:
    """The checkpoint's layers under the modules that dots and underscores in their names spell."""

    def __init__(self, layers: Sequence[Leaf], kinds: Mapping[int, int], ranks: Mapping[int, int] | None) -> None:
        self._kinds = [kinds[id(layer)] for layer in layers]
        self._ranks = [ranks[id(layer)] for layer in layers] if ranks is not None else list(range(len(layers)))
        self.paths = [path_of(layer.name) for layer in layers]
        self._members: dict[tuple[str, ...], list[int]] = defaultdict(list)
        self._children: dict[tuple[str, ...], dict[tuple[str, ...], None]] = defaultdict(dict)
        for position, path in enumerate(self.paths):
            for level in range(len(path) + 1):
                self._members[path[:level]].append(position)
                if level:
                    self._children[path[: level - 1]][path[:level]] = None
        self._anchors: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = {}
        self._orders: dict[tuple[str, ...], bool] = {}

    def apart(self, first: int, second: int) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The outermost modules that hold one of two layers and not the other."""
        level = _shared(self.paths[first], self.paths[second])
        return self.paths[first][: level + 1], self.paths[second][: level + 1]

    def members(self, module: tuple[str, ...]) -> list[int]:
        """The positions of the layers of a module."""
        return self._members[module]

    def kinds(self, module: tuple[str, ...]) -> list[int]:
        """The kinds of the layers of a module, sorted."""
        return sorted(self._kinds[position] for position in self._members[module])

    def anchors(self, module: tuple[str, ...], other: tuple[str, ...]) -> list[int]:
        """The layers of a module of kinds that another module lacks, one of each kind."""
        if (module, other) not in self._anchors:
            there = {self._kinds[position] for position in self._members[other]}
            firsts: dict[int, int] = {}
            for position in self._members[module]:
                if self._kinds[position] not in there:
                    firsts.setdefault(self._kinds[position], position)
            self._anchors[module, other] = list(firsts.values())
        return self._anchors[module, other]

    def lie_in_order(self, first: int, second: int) -> bool:
        """Whether the modules beside two layers that fit in one place only come in the network's order."""
        level = _shared(self.paths[first], self.paths[second])
        parent = self.paths[first][:level]
        if parent not in self._orders:
            children = sorted(self._children[parent], key=lambda c: min(self._ranks[p] for p in self._members[c]))
            signatures = [tuple(self.kinds(child)) for child in children]
            counts = Counter(signatures)
            starts = [
                min(self._members[child])
                for child, signature in zip(children, signatures, strict=True)
                if counts[signature] == 1
            ]
            self._orders[parent] = len(starts) > 1 and starts == sorted(starts)
        return self._orders[parent]
