"""Compares two networks. `align` pairs the operators of their graphs, `structure` finds the structural changes.

`networks` adds parameters, interface, costs and budgets. `differences` prints the comparison.
"""

from __future__ import annotations

from resnext_dsl.compare.networks import Comparison, LimitPair, RowPair, TextPair, compare, verdict

__all__ = ["Comparison", "LimitPair", "RowPair", "TextPair", "compare", "verdict"]
