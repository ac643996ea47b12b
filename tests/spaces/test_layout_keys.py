"""Keys of candidates: two are equal only if the candidates are, in small spaces, large ones and those without a size."""

from __future__ import annotations

import pytest
from space_oracle import space_from

TEXT = "network n {{ input x: 3x8x8\n param w = 1 in 1..{most}\n param d = false in {{false, true}}\n{more}\n conv(w, 1x1) }}"
SOMETIMES = " param m = 1 in 1..3 when d"


@pytest.mark.parametrize(
    ("most", "more"),
    [(4, SOMETIMES), (4, ""), (2**61, SOMETIMES), (4, " param r = 0.1 in 0.01..1.0 log")],
    ids=["sometimes", "plain", "large", "without a size"],
)
def test_keys_of_candidates_are_equal_only_if_the_candidates_are(most: int, more: str) -> None:
    space = space_from(TEXT.format(most=most, more=more))
    rows = [
        {"w": w, "d": d, **({"m": m} if more == SOMETIMES and d else {}), **({"r": r} if "r =" in more else {})}
        for w in (1, 2, 4)
        for d in (False, True)
        for m in (1, 2, 3)
        for r in (0.1, 0.1 + 1e-16)
    ]
    different = {tuple(sorted(row.items())) for row in rows}
    keys = [key for row in rows for key in space.layout.keys(space.population([space.candidate(row)]))]
    assert len(set(keys)) == len(different)
    known = {tuple(sorted(row.items())): key for row, key in zip(rows, keys, strict=True)}
    assert keys == [known[tuple(sorted(row.items()))] for row in rows]
