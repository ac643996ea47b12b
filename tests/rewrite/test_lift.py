"""A lift whose rule does not hold leaves no nodes, and its reason names the place."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from resnext_dsl.operators import RuleError
from resnext_dsl.rewrite.join import Blocked, Lift


class Work:
    """A workspace that notes what is asked of it; operators of `refused` cannot be made."""

    def __init__(self, refused: str = "") -> None:
        self.nodes = [SimpleNamespace(operator="relu")] * 5
        self.refused = refused
        self.notes: list[Any] = []

    def mark(self) -> str:
        return f"mark {len(self.notes)}"

    def undo(self, mark: str) -> None:
        self.notes.append(mark)

    def make(self, operator: str, attributes: Any, inputs: Any, origin: int, place: int) -> int:
        if operator == self.refused:
            raise RuleError("E301", "too wide")
        self.notes.append(operator)
        return 99


def lift_of(work: Work, partial: bool = True) -> Lift:
    return Lift(work, 4, partial=partial)  # type: ignore[arg-type]


@pytest.mark.parametrize("origins", [(3, 1), (1,), (2, 3, 1)])
def test_an_operator_that_cannot_be_made_is_named_by_the_first_that_it_replaces(origins: tuple[int, ...]) -> None:
    with pytest.raises(Blocked, match="too wide") as caught:
        lift_of(Work("conv")).make("conv", None, [0], origins)
    assert caught.value.node == origins[0]


def test_nodes_of_a_blocked_lift_below_are_taken_back_before_a_concatenation(monkeypatch: pytest.MonkeyPatch) -> None:
    def ruled(lift: Lift, values: tuple[int, ...]) -> int:
        if values == (1, 2):
            return lift.lift((2, 3))
        lift.make("conv", None, values, values)
        raise Blocked("no rule", values[0])

    monkeypatch.setattr(Lift, "_ruled", ruled)
    work = Work()
    lift = lift_of(work)
    assert lift.lift((1, 2)) == 99
    assert work.notes == ["conv", "mark 0", "concat"]
    assert lift.consumed == set()


def test_without_a_concatenation_below_a_blocked_lift_ends_the_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    def ruled(lift: Lift, values: tuple[int, ...]) -> int:
        if values == (1, 2):
            return lift.lift((2, 3))
        raise Blocked("no rule", values[0])

    monkeypatch.setattr(Lift, "_ruled", ruled)
    work = Work()
    with pytest.raises(Blocked, match="no rule"):
        lift_of(work, partial=False).lift((1, 2))
    assert work.notes == []
