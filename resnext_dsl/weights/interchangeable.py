"""The warnings for layers that could be exchanged: both candidates with their lines, and the option that decides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

from resnext_dsl.foundation.diagnostics import Diagnostic, Note
from resnext_dsl.weights.exchange import Exchange, OpenPair
from resnext_dsl.weights.layer_facts import LayerFacts
from resnext_dsl.weights.leaves import Leaf
from resnext_dsl.weights.shown import shown

MAX_SETS = 12
"""The most sets of layers with a warning each."""

MAX_CANDIDATES = 6
"""The most layers of one set that a warning names."""


def interchangeable(exchange: Exchange, opened: Sequence[OpenPair], facts: LayerFacts, file: str) -> list[Diagnostic]:
    """W911 for each set of layers that could be exchanged.

    Args:
        exchange: The matched layers.
        opened: Its pairs without evidence.
        facts: The network's graph.
        file: The name of the checkpoint.
    """
    sets = _of_modules(_sets(opened), exchange)
    warnings = [_warning(exchange, members, differ, facts, file) for members, differ in sets[:MAX_SETS]]
    if len(sets) > MAX_SETS:
        message = f"{len(sets) - MAX_SETS} more sets of layers could be exchanged"
        warnings.append(Diagnostic("W911", message, file=file, severity="warning"))
    return warnings


def _sets(opened: Iterable[OpenPair]) -> list[tuple[list[int], tuple[str, ...]]]:
    """Chains of open pairs as sets of positions, with the attributes that differ."""
    sets: list[tuple[list[int], tuple[str, ...]]] = []
    ends: dict[int, int] = {}
    for pair in opened:
        if pair.first in ends:
            number = ends.pop(pair.first)
            members, differ = sets[number]
            sets[number] = [*members, pair.second], tuple(dict.fromkeys((*differ, *pair.differ)))
        else:
            number = len(sets)
            sets.append(([pair.first, pair.second], pair.differ))
        ends[pair.second] = number
    return sorted(sets)


def _of_modules(
    sets: list[tuple[list[int], tuple[str, ...]]], exchange: Exchange
) -> list[tuple[list[int], tuple[str, ...]]]:
    """One set for each pair of modules: a convolution and its norm are exchanged together."""
    chosen: dict[object, tuple[list[int], tuple[str, ...]]] = {}
    for members, differ in sets:
        modules = tuple(exchange.apart(*pair) for pair in pairwise(members))
        before = chosen.get(modules, (members, ()))
        chosen[modules] = before[0], tuple(dict.fromkeys((*before[1], *differ)))
    return list(chosen.values())


def _warning(
    exchange: Exchange, members: Sequence[int], differ: Sequence[str], facts: LayerFacts, file: str
) -> Diagnostic:
    ours = [exchange.ours[position] for position in members]
    theirs = [exchange.theirs[position] for position in members]
    named = _listed(f"`{shown(leaf.name)}`" for leaf in ours)
    candidates = _listed(f"`{shown(leaf.name)}`" for leaf in theirs)
    message = f"{named} are interchangeable: {candidates} of the checkpoint fit each of them{_unlike(differ)}"
    notes = [
        Note(f"`{shown(here.name)}` takes `{shown(there.name)}`{_values(here, differ, facts)}", facts.span(here.name))
        for here, there in zip(ours[:MAX_CANDIDATES], theirs, strict=False)
    ]
    hint = (
        f"if this is right, `--map {shown(theirs[0].name)}={shown(ours[0].name)}` says so, in Python `mapping` of "
        "`Checkpoint`; `--reference` compares with the source"
    )
    span = facts.span(ours[0].name)
    return Diagnostic("W911", message, span, hint=hint, notes=tuple(notes), severity="warning", file=file)


def _unlike(differ: Sequence[str]) -> str:
    if not differ:
        return ""
    if differ == ("operators",):
        return ", and the operators of their paths differ"
    return f", and they differ in {' and '.join(f'`{name}`' for name in differ)}"


def _values(layer: Leaf, differ: Sequence[str], facts: LayerFacts) -> str:
    """The differing attributes of a layer: " (dilation=2x2)"."""
    attributes = facts.attributes(layer.name)
    values = [f"{name}={_text(attributes[name])}" for name in differ if name in attributes]
    return f" ({', '.join(values)})" if values else ""


def _text(value: object) -> str:
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _listed(names: Iterable[str]) -> str:
    """Names as in "`a`, `b` and `c`", with at most `MAX_CANDIDATES` names."""
    listed = list(names)
    if len(listed) > MAX_CANDIDATES:
        return f"{', '.join(listed[:MAX_CANDIDATES])} and {len(listed) - MAX_CANDIDATES} more"
    return f"{', '.join(listed[:-1])} and {listed[-1]}"
