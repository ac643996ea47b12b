"""Columns of values, one value for each row: which columns agree, and one column made from two."""

from __future__ import annotations

from collections import Counter

from resnext_dsl.emit.patterns.pattern_tree import ABSENT, ClassPattern, Slot, exact, holes


def full_columns(pattern: ClassPattern) -> list[Slot]:
    """The columns of a class that are not constant and have a value in every row."""
    columns = [hole for _, child in pattern.children for hole in holes(child) if isinstance(hole, Slot)]
    return [column for column in columns if ABSENT not in column.values and not column.constant()]


def agree(slot: Slot, column: Slot) -> bool:
    """Whether a column has the same value in every row in which the slot has one."""
    return all(
        value is ABSENT or exact(value) == exact(other) for value, other in zip(slot.values, column.values, strict=True)
    )


def joined(slot: Slot, column: Slot) -> Slot | None:
    """Two columns as one, if they agree in all rows of one of them; else None."""
    return overlaid(slot, column) if agree(slot, column) or agree(column, slot) else None


def overlaid(slot: Slot, column: Slot) -> Slot | None:
    """Two columns as one, if no row has different values in them; else None."""
    pairs = list(zip(slot.values, column.values, strict=True))
    if any(ABSENT not in pair and exact(pair[0]) != exact(pair[1]) for pair in pairs):
        return None
    return Slot(tuple(b if a is ABSENT else a for a, b in pairs))


def renames(names: Slot, slot: Slot) -> bool:
    """Whether a column of strings names the values of a slot one to one."""
    pairs = {(name, value) for name, value in zip(names.values, slot.values, strict=True) if value is not ABSENT}
    if not all(type(name) is str for name, _ in pairs):
        return False
    return len({name for name, _ in pairs}) == len(pairs) == len({value for _, value in pairs})


def filled(slot: Slot) -> Slot:
    """The column with its most frequent value in the rows that have none."""
    common = Counter(map(exact, slot.present())).most_common(1)[0][0]
    value = next(value for value in slot.present() if exact(value) == common)
    return Slot(tuple(value if each is ABSENT else each for each in slot.values))
