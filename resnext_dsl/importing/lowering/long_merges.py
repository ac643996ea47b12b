"""Merges of more than two values, which Python writes as a chain of merges of two.

add(add(a, b), c)  ->  add(a, b, c), if nothing else reads the inner sum and one module computes both; mul likewise
scale(add(a, b), 1 / 2)  ->  mean(a, b), if the source divides by the number of values
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from resnext_dsl.importing.lowering.state import Draft
from resnext_dsl.importing.trace import Call
from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.arguments import validate

CHAINED = frozenset({"add", "mul"})


def with_long_merges(drafts: Sequence[Draft], outputs: Sequence[int], calls: Sequence[Call]) -> list[Draft]:
    """The nodes with long merges; nodes that they replace have no readers."""
    reads = Counter(source for draft in drafts for source in draft.inputs)
    reads.update(outputs)
    result: list[Draft] = []
    for draft in drafts:
        chosen = draft
        if draft.operator in CHAINED:
            chosen = _joined(result, reads, draft)
        elif draft.operator == "scale":
            chosen = _mean(result, reads, draft, calls)
        result.append(chosen)
    return result


def _joined(drafts: Sequence[Draft], reads: Counter[int], outer: Draft) -> Draft:
    """The merge with the values of an inner merge first: the order of additions stays, so sums stay equal."""
    for place, source in enumerate(outer.inputs[:2]):
        inner = drafts[source]
        alike = (inner.operator, inner.path, inner.shape) == (outer.operator, outer.path, outer.shape)
        if alike and reads[source] == 1 and inner.features == outer.features and (place == 0 or len(outer.inputs) == 2):
            others = outer.inputs[:place] + outer.inputs[place + 1 :]
            return outer._replace(inputs=inner.inputs + others)
    return outer


def _mean(drafts: Sequence[Draft], reads: Counter[int], scale: Draft, calls: Sequence[Call]) -> Draft:
    total = drafts[scale.inputs[0]]
    divisor = calls[scale.call].arguments.get("other") if calls[scale.call].operation == "div" else None
    if total.operator != "add" or divisor != len(total.inputs) or reads[scale.inputs[0]] > 1:
        return scale
    return scale._replace(operator="mean", attributes=validate(OPERATORS["mean"], {}), inputs=total.inputs)
