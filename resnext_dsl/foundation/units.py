"""The units of measures: plain counts, seconds and bytes, with the text form of an amount."""

from __future__ import annotations

from resnext_dsl.foundation.records import NamedTuple


class Unit(NamedTuple):
    """The unit of a measure.

    Attributes:
        name: The kind of amount, as messages name it.
        base: The unit of stored values; "" for a plain count.
        sizes: Unit as written -> its size, as a multiple of the smallest unit.
        per_base: The base unit as a multiple of the smallest unit.
        needed: Whether a bound must have a unit.
    """

    name: str
    base: str
    sizes: dict[str, int]
    per_base: int = 1
    needed: bool = False

    def show(self, value: float) -> str:
        """An amount as text; a time has four digits, in the largest unit that is not above it."""
        if not self.needed:
            return f"{value:,}" + (f" {self.base}" if self.base else "")
        fitting = [unit for unit, size in self.sizes.items() if value >= size / self.per_base]
        unit = fitting[-1] if fitting else next(iter(self.sizes))
        return f"{value / (self.sizes[unit] / self.per_base):.4g}{unit}"


COUNT = Unit("a count", "", {})
TIME = Unit("a time", "s", {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9}, per_base=10**9, needed=True)
BYTES = Unit(
    "a number of bytes",
    "B",
    {"B": 1}
    | {f"{letter}B": 1000 ** (power + 1) for power, letter in enumerate("KMGT")}
    | {f"{letter}iB": 1024 ** (power + 1) for power, letter in enumerate("KMGT")},
)

UNITS: dict[str, Unit] = {written: unit for unit in (TIME, BYTES) for written in unit.sizes}
"""Unit as written -> the `Unit` that it belongs to."""
