"""From the keys of two state_dicts to the map between them, or to the error that says why there is none.

Tries in this order:

1. Equal keys.
2. The order of layers (see `match`). If the other side has no layers of the paths' shapes, the equal paths of a split
   are read as slices of one layer. Example: 32 convolutions of 4 channels are one of 128 channels in 32 groups.
3. The same, with the equal paths of every split read as one layer.
4. The same as 2, with separate lists of layers in the checkpoint (all convolutions, then all norms) read in turn.

Names then decide among layers that could be exchanged (see `exchange`). A map of the caller goes before all of this:
the layers under its names are matched by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from resnext_dsl.foundation.diagnostics import Diagnostic, Note, WeightsError
from resnext_dsl.weights.exchange import Exchange
from resnext_dsl.weights.interchangeable import interchangeable
from resnext_dsl.weights.layer_facts import LayerFacts
from resnext_dsl.weights.layer_map import parts_of
from resnext_dsl.weights.leaves import (
    COUNTER,
    Branch,
    Leaf,
    Shapes,
    Whole,
    fits,
    join_paths,
    keys,
    layer_of,
    sort_naturally,
    tree,
    zip_lists,
)
from resnext_dsl.weights.match import LayerMatch, ParameterLink, link
from resnext_dsl.weights.mismatch import explain


@dataclass(frozen=True, slots=True)
class KeyMap:
    """A one-to-one map between the parameters of a network and those of a checkpoint, every shape checked.

    Attributes:
        links: The pairs of parameters, in the order of the network.
        warnings: W911 for layers that could be exchanged.
    """

    links: tuple[ParameterLink, ...]
    warnings: tuple[Diagnostic, ...] = ()

    def rows(self) -> list[tuple[str, str]]:
        """Each of our keys with the checkpoint's key; several keys of paths are joined by ", "."""
        return [
            (key, ", ".join(keys(pair.theirs)) if pair.theirs else "") for pair in self.links for key in keys(pair.ours)
        ]


def map_keys(
    ours: Shapes,
    theirs: Shapes,
    file: str = "weights",
    facts: LayerFacts | None = None,
    mapping: Mapping[str, str] | None = None,
) -> KeyMap:
    """Map a checkpoint's keys onto a network's by structure.

    Args:
        ours: Shapes of the network's state_dict, in the order of execution.
        theirs: Shapes of the checkpoint's state_dict, in its order.
        file: The name of the checkpoint in errors.
        facts: The network's graph; with it, layers that could be exchanged are listed.
        mapping: The checkpoint's name of a layer, module or key -> the network's name.

    Raises:
        WeightsError: E701: they are of different networks. The error names the first layer that differs, on both sides.
            E707: a name of `mapping` is unknown or stands there twice.

    >>> key_map = map_keys({"head.linear.weight": (10, 8)}, {"classifier.weight": (10, 8, 1, 1)})
    >>> key_map.rows()
    [('head.linear.weight', 'classifier.weight')]
    """
    ordered = not _is_sorted(theirs)
    try:
        maps = [_map(here, there, file, ordered, facts) for here, there in parts_of(ours, theirs, mapping or {}, file)]
    except ValueError as reason:
        raise WeightsError([Diagnostic("E701", f"the weights cannot be mapped: {reason}", file=file)]) from None
    if len(maps) == 1:
        return maps[0]
    places = {key: place for place, key in enumerate(ours)}
    links = [pair for key_map in maps for pair in key_map.links]
    links.sort(key=lambda pair: places[next(keys(pair.ours))])
    return KeyMap(tuple(links), tuple(warning for key_map in maps for warning in key_map.warnings))


def _map(ours: Shapes, theirs: Shapes, file: str, ordered: bool, facts: LayerFacts | None) -> KeyMap:
    if _without_counters(ours) == _without_counters(theirs):
        return _map_equal_keys(ours, theirs, file)
    return _map_by_structure(ours, theirs, file, ordered, facts)


def _without_counters(shapes: Shapes) -> set[str]:
    return {key for key in shapes if layer_of(key)[1] != COUNTER}


def _map_equal_keys(ours: Shapes, theirs: Shapes, file: str) -> KeyMap:
    shared = {key: theirs[key] for key in ours if key in theirs}
    if not all(fits(ours[key], shape, alone=False) for key, shape in shared.items()):
        raise WeightsError([explain(tree(ours), tree(shared), ordered=True, file=file)])
    return KeyMap(
        tuple(ParameterLink(Whole(k, s), Whole(k, theirs[k]) if k in theirs else None) for k, s in ours.items())
    )


def _map_by_structure(ours: Shapes, theirs: Shapes, file: str, ordered: bool, facts: LayerFacts | None) -> KeyMap:
    first = _Attempt(ours, theirs, ordered)
    for attempt in _attempts(first, ours, theirs, ordered):
        pairs = attempt.match.pairs()
        if pairs is not None:
            return _decided(pairs, list(attempt.theirs.leaves()) if ordered else None, file, facts)
    diagnostic = explain(first.ours, first.theirs, ordered, file)
    if first.match.gave_up:
        diagnostic = diagnostic._replace(notes=(*diagnostic.notes, Note("the search stopped at its limit of steps")))
    raise WeightsError([diagnostic])


def _decided(
    pairs: list[tuple[Leaf, Leaf]], registered: Sequence[Leaf] | None, file: str, facts: LayerFacts | None
) -> KeyMap:
    """The map of matched layers, after names have decided among those that could be exchanged."""
    exchange = Exchange(pairs, registered, facts)
    opened = exchange.settle()
    warnings = interchangeable(exchange, opened, facts, file) if facts is not None else []
    links = [pair for layer, other in exchange.pairs() for pair in link(layer, other) or ()]
    return KeyMap(tuple(links), tuple(warnings))


class _Attempt:
    """One reading of both sides as trees of layers, and the search for a match."""

    def __init__(
        self, ours: Shapes, theirs: Shapes, ordered: bool, *, everywhere: bool = False, zipped: bool = False
    ) -> None:
        self.ours, self.theirs = tree(ours), tree(theirs)
        if not ordered:
            sort_naturally(self.theirs)
        if zipped:
            zip_lists(self.theirs)
        known_there, known_here = _Known(self.theirs), _Known(self.ours)
        join_paths(self.ours, lambda path: everywhere or not known_there.holds(path))
        join_paths(self.theirs, lambda path: everywhere or not known_here.holds(path))
        self.match = LayerMatch(self.ours, self.theirs, ordered)


def _attempts(first: _Attempt, ours: Shapes, theirs: Shapes, ordered: bool) -> Iterator[_Attempt]:
    yield first
    yield _Attempt(ours, theirs, ordered, everywhere=True)
    yield _Attempt(ours, theirs, ordered, zipped=True)


class _Known:
    """The kinds of layers that a state_dict holds, before any are joined."""

    def __init__(self, branch: Branch) -> None:
        self._layers = list({leaf.kind: leaf for leaf in branch.leaves()}.values())
        self._answers: dict[object, bool] = {}

    def holds(self, path: Sequence[Leaf]) -> bool:
        """Whether every layer of a path has a counterpart in the state_dict."""
        for leaf in path:
            if leaf.kind not in self._answers:
                self._answers[leaf.kind] = any(link(leaf, other) for other in self._layers)
        return all(self._answers[leaf.kind] for leaf in path)


def _is_sorted(shapes: Shapes) -> bool:
    """Whether the keys are sorted by type and name, as in a safetensors file, so that their order has no meaning."""
    for counters in (True, False):
        names = [key for key in shapes if (layer_of(key)[1] == COUNTER) == counters]
        if names != sorted(names):
            return False
    return True
