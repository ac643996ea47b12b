"""Units of what a budget limits, and how an amount is shown: counts, times in seconds, memory in bytes."""

from __future__ import annotations

from decimal import Decimal

from resnext_dsl.foundation.records import NamedTuple


class Unit(NamedTuple):
    """What a measure is counted in.

    Attributes:
        name: Its name in messages.
        base: The unit that values are held in; "" for a plain count.
        factors: Unit as written -> how many of the base it is.
        needed: Whether a bound must be written with a unit.
    """

    name: str
    base: str
    factors: dict[str, Decimal]
    needed: bool = False

    def show(self, value: float) -> str:
        """An amount for people; times in the largest unit that they have one of, four digits of them."""
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
"""Unit as written -> what it is a unit of."""
