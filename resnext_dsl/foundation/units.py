"""The units of measures: plain counts, seconds and bytes, with the text form of an amount."""

from __future__ import annotations

from decimal import Decimal

from resnext_dsl.foundation.records import NamedTuple


class Unit(NamedTuple):
    """The unit of a measure.

    Attributes:
        name: The kind of amount, as messages name it.
        base: The unit of stored values; "" for a plain count.
        factors: Unit as written -> its size in the base unit.
        needed: Whether a bound must have a unit.
    """

    name: str
    base: str
    factors: dict[str, Decimal]
    needed: bool = False

    def show(self, value: float) -> str:
        """An amount as text; a time has four digits, in the largest unit that is not above it."""
        if not self.needed:
            return f"{value:,}" + (f" {self.base}" if self.base else "")
        fitting = [unit for unit, factor in self.factors.items() if value >= factor]
        unit = fitting[-1] if fitting else next(iter(self.factors))
        return f"{value / float(self.factors[unit]):.4g}{unit}"


COUNT = Unit("a count", "", {})
_SECONDS = {"ns": Decimal("1e-9"), "us": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)}
TIME = Unit("a time", "s", _SECONDS, needed=True)
BYTES = Unit(
    "a number of bytes",
    "B",
    {"B": Decimal(1)}
    | {f"{letter}B": Decimal(1000) ** (power + 1) for power, letter in enumerate("KMGT")}
    | {f"{letter}iB": Decimal(1024) ** (power + 1) for power, letter in enumerate("KMGT")},
)

UNITS: dict[str, Unit] = {written: unit for unit in (TIME, BYTES) for written in unit.factors}
"""Unit as written -> the `Unit` that it belongs to."""
