"""From several modules to their pattern (anti-unification): equal parts stay, differing literals become holes.

    Conv2d(64, 256, 1)  and  Conv2d(128, 512, 1, stride=2)    ->    Conv2d({64, 128}, {256, 512}, 1, stride={1, 2})

A module that some rows lack becomes optional. A place with different kinds of modules becomes a choice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from itertools import groupby, pairwise

from resnext_dsl.emit.blocks.module_block import Built, LeafModule, Make, MismatchError, Named, Numbered, Value
from resnext_dsl.emit.patterns.keyword_defaults import DEFAULTS
from resnext_dsl.emit.patterns.pattern_tree import (
    ABSENT,
    AffineSlot,
    BuiltPattern,
    ChoicePattern,
    Hole,
    LeafPattern,
    Listed,
    LoopPattern,
    NamedPattern,
    NumberedPattern,
    OptionalPattern,
    Pattern,
    Slot,
    exact,
    fill,
)

Row = Make | None | object
"""A module; None if the row lacks it; ABSENT if any module suits the row."""

_INPLACE = "inplace"


def unify(rows: Sequence[Row]) -> Pattern:
    """The pattern of the modules at one place.

    Raises:
        MismatchError: If they have too little in common.
    """
    if any(row is None for row in rows):
        flag = Slot(tuple(ABSENT if row is ABSENT else row is not None for row in rows))
        return OptionalPattern(flag, _unify_present([ABSENT if row is None else row for row in rows]))
    return _unify_present(rows)


def merged_order(sequences: Sequence[Sequence[str]]) -> list[str]:
    """All names, in an order that agrees with each sequence.

    Raises:
        MismatchError: If no such order exists.
    """
    distinct = sorted({tuple(sequence): None for sequence in sequences}, key=len, reverse=True)
    if len(distinct) == 1:
        return list(distinct[0])
    # Names that only some sequences have come as early as possible, before names that all have.
    shared = set(distinct[0]).intersection(*distinct[1:])
    rank: dict[str, tuple[bool, int]] = {}
    after: dict[str, set[str]] = {}
    for sequence in distinct:
        for name in sequence:
            rank.setdefault(name, (name in shared, len(rank)))
            after.setdefault(name, set())
        for first, second in pairwise(sequence):
            after[first].add(second)
    waits = Counter(second for followers in after.values() for second in followers)
    ready = [(rank[name], name) for name in rank if not waits[name]]
    heapify(ready)
    order: list[str] = []
    while ready:
        _, name = heappop(ready)
        order.append(name)
        for second in after[name]:
            waits[second] -= 1
            if not waits[second]:
                heappush(ready, (rank[second], second))
    if len(order) < len(rank):
        raise MismatchError("the same names in another order")
    return order


def check_alike(rows: Sequence[Sequence[str]], union: Sequence[str]) -> None:
    """Check that rows have a third of their names in common; rows with fewer read better as two classes.

    Raises:
        MismatchError: If they have fewer.
    """
    shared = set(union).intersection(*rows)
    if 3 * len(shared) < len(union):
        raise MismatchError("too little in common")


def _unify_present(rows: Sequence[Row]) -> Pattern:
    kinds: dict[object, list[int]] = {}
    for number, row in enumerate(rows):
        if row is not ABSENT:
            kinds.setdefault(_kind(row), []).append(number)
    if len(kinds) == 1:
        return _unify_kind(rows)
    return _choice(rows, list(kinds.values()))


def _kind(row: Row) -> object:
    if isinstance(row, Built):
        return Built, row.name
    if isinstance(row, Named):
        return Named, row.row
    return (Numbered, row.container) if isinstance(row, Numbered) else LeafModule


def _unify_kind(rows: Sequence[Row]) -> Pattern:
    first = next(row for row in rows if row is not ABSENT)
    if isinstance(first, LeafModule):
        return _leaf(rows)
    if isinstance(first, Built):
        names = [name for name, _ in first.arguments]
        return BuiltPattern(first.name, tuple((name, _argument(rows, name)) for name in names))
    if isinstance(first, Named):
        return _named(rows, first.row)
    return _numbered(rows)


def _argument(rows: Sequence[Row], name: str) -> Slot:
    return Slot(tuple(dict(row.arguments)[name] if isinstance(row, Built) else ABSENT for row in rows))


def _choice(rows: Sequence[Row], groups: list[list[int]]) -> Pattern:
    options = []
    for group in groups:
        flag = Slot(tuple(ABSENT if row is ABSENT else number in group for number, row in enumerate(rows)))
        body = _unify_kind([row if number in group else ABSENT for number, row in enumerate(rows)])
        options.append((flag, body))
    return ChoicePattern(tuple(options))


def _leaf(rows: Sequence[Row]) -> Pattern:
    targets = Slot(tuple(row.target if isinstance(row, LeafModule) else ABSENT for row in rows))
    try:
        return _leaves(rows, targets)
    except MismatchError:
        by_target: dict[str, list[int]] = {}
        for number, target in enumerate(targets.values):
            if target is not ABSENT:
                by_target.setdefault(target, []).append(number)
        if len(by_target) == 1:
            raise
        return _choice(rows, list(by_target.values()))


def _leaves(rows: Sequence[Row], targets: Slot) -> LeafPattern:
    leaves = [row for row in rows if isinstance(row, LeafModule)]
    count = len(leaves[0].positional)
    if any(len(leaf.positional) != count for leaf in leaves):
        raise MismatchError("different numbers of arguments")
    positional = [_positional(rows, place) for place in range(count)]
    names = list(dict.fromkeys(name for leaf in leaves for name, _ in leaf.keywords))
    if any((_INPLACE, True) not in leaf.keywords for leaf in leaves):
        names = [name for name in names if name != _INPLACE]
    known = list(DEFAULTS.get(leaves[0].target, ()))
    names.sort(key=lambda name: known.index(name) if name in known else len(known))
    return LeafPattern(targets, tuple(positional), tuple((name, _keyword(rows, name)) for name in names))


def _positional(rows: Sequence[Row], place: int) -> Slot:
    return Slot(tuple(row.positional[place] if isinstance(row, LeafModule) else ABSENT for row in rows))


def _keyword(rows: Sequence[Row], name: str) -> Slot:
    return Slot(tuple(_keyword_of(row, name) if isinstance(row, LeafModule) else ABSENT for row in rows))


def _keyword_of(leaf: LeafModule, name: str) -> Value:
    for keyword, value in leaf.keywords:
        if keyword == name:
            return value
    known = DEFAULTS.get(leaf.target, {})
    if name not in known:
        raise MismatchError(f"`{leaf.target}` has no known default of `{name}`")
    return known[name]


def _named(rows: Sequence[Row], is_row: bool) -> NamedPattern:
    tables = [dict(row.children) if isinstance(row, Named) else ABSENT for row in rows]
    present = [list(table) for table in tables if isinstance(table, dict)]
    order = merged_order(present)
    check_alike(present, order)
    children = [
        (name, unify([table.get(name) if isinstance(table, dict) else ABSENT for table in tables])) for name in order
    ]
    return NamedPattern(tuple(children), is_row)


def _numbered(rows: Sequence[Row]) -> NumberedPattern:
    container = next(row.container for row in rows if isinstance(row, Numbered))
    lists = [row.items if isinstance(row, Numbered) else None for row in rows]
    failed: MismatchError | None = None
    for attempt in _attempts(lists):
        try:
            runs = attempt(lists)
            if container == "nn.ModuleList" and any(run.count and 0 in run.count.present() for run in runs):
                raise MismatchError("items called by number in a list that may be empty")
            return NumberedPattern(container, tuple(runs))
        except MismatchError as reason:
            failed = reason
    assert failed is not None
    raise failed


Items = tuple[Make, ...] | None

Attempt = Callable[[list[Items]], list[LoopPattern]]


def _attempts(lists: list[Items]) -> list[Attempt]:
    """The ways to spell lists of modules; the one that reads best comes first."""
    present = [items for items in lists if items is not None]
    runs = max(len(_runs_of(items)) for items in present)
    longest = max(map(len, present))
    if runs <= 2:
        return [_by_runs, _by_place]
    if len(present) == 1 and (runs <= 4 or 2 * runs <= longest):
        return [_by_line, _by_runs]
    if len(present) == 1:
        return [_by_line, _by_list, _by_runs]
    return [_by_line, _by_runs, _by_place] if runs <= 4 and longest > runs else [_by_line, _by_place]


def _runs_of(items: tuple[Make, ...]) -> list[tuple[Make, int]]:
    return [(make, len(list(equal))) for make, equal in groupby(items)]


def _by_runs(lists: list[Items]) -> list[LoopPattern]:
    """[A, B, B, B] -> A, then B three times."""
    runs = [None if items is None else _runs_of(items) for items in lists]
    longest = max(len(run) for run in runs if run is not None)
    if longest == 2 and all(run is None or len(run) == 1 or run[0][1] == 1 for run in runs):
        # Equal passes are a first pass and the rest, as in the rows whose first pass differs.
        runs = [[(run[0][0], 1), (run[0][0], run[0][1] - 1)] if run and len(run) == 1 else run for run in runs]
    loops = []
    for place in range(longest):
        bodies: list[Row] = []
        counts: list[Value] = []
        for run in runs:
            body_and_count = run[place] if run is not None and place < len(run) else (ABSENT, 0)
            bodies.append(body_and_count[0] if body_and_count[1] else ABSENT)
            counts.append(ABSENT if run is None else body_and_count[1])
        once = all(count in (1, ABSENT) for count in counts)
        loops.append(LoopPattern(None if once else Slot(tuple(counts)), _unify_present(bodies)))
    return loops


def _by_place(lists: list[Items]) -> list[LoopPattern]:
    """Item by item; shorter lists lack the last items."""
    longest = max(len(items) for items in lists if items is not None)
    loops = []
    for place in range(longest):
        bodies: list[Row] = [
            ABSENT if items is None else items[place] if place < len(items) else None for items in lists
        ]
        loops.append(LoopPattern(None, unify(bodies)))
    return loops


def _by_line(lists: list[Items]) -> list[LoopPattern]:
    """[Layer(64), Layer(96), Layer(128)] -> Layer(64 + i * 32) for i in range(3)."""
    sizes = [0 if items is None else len(items) for items in lists]
    if max(sizes) < 3:
        raise MismatchError("too few for a line")
    pattern = _unify_present([item for items in lists if items is not None for item in items])
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]

    def parts(slot: Slot) -> list[list[Value]]:
        return [list(slot.values[end - size : end]) for end, size in zip(ends, sizes, strict=True)]

    def line(slot: Slot) -> Hole:
        lines = [_line_through(values) for values in parts(slot)]
        starts, steps = Slot(tuple(start for start, _ in lines)), Slot(tuple(step for _, step in lines))
        return starts if all(step == 0 for step in steps.present()) else AffineSlot(starts, steps)

    def flag(slot: Slot) -> Slot:
        lines = [_line_through(values) for values in parts(slot)]
        if any(step not in (0, ABSENT) for _, step in lines):
            raise MismatchError("a flag that differs between passes")
        return Slot(tuple(start for start, _ in lines))

    counts = Slot(tuple(ABSENT if items is None else len(items) for items in lists))
    return [LoopPattern(counts, fill(pattern, line, flag))]


def _line_through(values: list[Value]) -> tuple[Value, Value]:
    """Start and step of values that lie on a line; the step of a list of one value is ABSENT."""
    present = [(place, value) for place, value in enumerate(values) if value is not ABSENT]
    if not present:
        return ABSENT, ABSENT
    place, start = present[0]
    if len({exact(value) for _, value in present}) == 1:
        return start, (ABSENT if len(values) == 1 else 0)
    other, value = present[1]
    if type(start) is not int or type(value) is not int or (value - start) % (other - place):
        raise MismatchError("not on a line")
    step = (value - start) // (other - place)
    if any(type(value) is not int or value != start + step * (at - place) for at, value in present):
        raise MismatchError("not on a line")
    return start - step * place, step


def _by_list(lists: list[Items]) -> list[LoopPattern]:
    """[Block(64, 1), Block(96, 2), ...] -> Block(c, s) for c, s in ((64, 1), (96, 2), ...)."""
    items = next(items for items in lists if items is not None)
    pattern = _unify_present(items)
    if not isinstance(pattern, BuiltPattern):
        raise MismatchError("not of one class")
    arguments: list[tuple[str, Hole]] = []
    for name, slot in pattern.arguments:
        assert isinstance(slot, Slot)
        present = tuple(slot.present())
        hole: Hole = Slot(tuple(ABSENT if each is None else present[0] for each in lists))
        arguments.append((name, hole if slot.constant() else Listed(name, present)))
    counts = Slot(tuple(ABSENT if each is None else len(each) for each in lists))
    return [LoopPattern(counts, BuiltPattern(pattern.name, tuple(arguments)))]
