"""Two networks compared: `align` lays their graphs over each other, `structure` says what differs between these.

`networks` adds parameters, interface, costs and budgets, and `differences` puts it into words.
"""

from __future__ import annotations

from resnext_dsl.compare.networks import Comparison, LimitPair, RowPair, TextPair, compare, verdict

__all__ = ["Comparison", "LimitPair", "RowPair", "TextPair", "compare", "verdict"]
