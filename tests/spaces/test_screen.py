"""The method by which candidates are checked, with its reason, and candidates that a budget's input rejects."""

from __future__ import annotations

from typing import Any

import pytest
from space_oracle import METHODS, space_from


def names(text: str, body: str) -> tuple[Any, ...]:
    """The method, its reason, and the kept candidates of a space, by the value of `w` or `k`."""
    space = space_from(f"network n {{\n input x: {text}\n {body} }}")
    kept = [next(iter(candidate.values())) for candidate in space.candidates()]
    return space.screen().method, space.screen().reason, kept


@pytest.mark.parametrize(
    ("last", "method", "reason"),
    [(2**16, METHODS[0], ""), (2**16 + 1, METHODS[1], "`w` has too many values for a table")],
)
def test_a_table_has_at_most_65536_values_of_a_parameter(last: int, method: str, reason: str) -> None:
    space = space_from(f"network n {{ input x: 3x4x4\n param w = 4 in 1..{last}; conv(w, 1x1) }}")
    assert (space.screen().method, space.screen().reason) == (method, reason)


def test_a_budget_at_another_input_has_a_closed_form() -> None:
    """A 3x3 convolution to w channels has 27 w multiply-adds at each of the 16 x 16 places."""
    body = "param w = 4 in {4, 8}; conv(w, 3x3); budget(input=3x16x16) { flops <= 30000 }"
    assert names("3x8x8", body) == (METHODS[0], "", [4])
    body = body.replace("3x16x16", "3 x 4 * w x 16").replace("30000", "30K")
    reason = "the input shape of a budget depends on a parameter"
    assert names("3x8x8", body) == (METHODS[2], reason, [4])


def test_a_candidate_that_cannot_take_the_input_of_a_budget_leaves_the_others_alone() -> None:
    """At 3x4x4, kernels of 9 and 5 do not fit; 4 bytes for 48 numbers and 16, or 64 with a kernel of 1."""
    body = "param k = 9 in {9, 3, 5, 1}; conv(4, k, padding=valid); budget(input=3x4x4) { peak_activations(1) <= 300B }"
    assert names("3x16x16", body) == (METHODS[0], "", [3])
    assert names("3x16x16", body.replace("300B", "448B"))[2] == [3, 1]
    assert names("3x16x16", body.replace("300B", "255B"))[2] == []
