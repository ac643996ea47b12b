"""Parts of an emitted class by themselves: names of attributes, conditions of two parameters, lists of paths."""

from __future__ import annotations

import pytest

from resnext_dsl.emit.blocks.module_block import ForwardStep, MismatchError
from resnext_dsl.emit.patterns.pattern_tree import (
    ABSENT,
    ClassPattern,
    NamedPattern,
    NumberedPattern,
    Pattern,
    Slot,
    StepPattern,
)
from resnext_dsl.emit.patterns.wiring import _check_containers
from resnext_dsl.emit.text.class_text import ClassText
from resnext_dsl.emit.text.column_formulas import Condition
from resnext_dsl.emit.text.parameters import Parameters


def test_two_values_of_one_wanted_name_are_two_attributes() -> None:
    text = ClassText.__new__(ClassText)
    text._attributes, text._taken, text.settings = {}, {"conv"}, []
    names = [text._set(wanted, value) for wanted, value in (("kept", "a"), ("kept", "b"), ("kept", "a"), ("conv", "c"))]
    assert names[0] == names[2] == "kept"
    assert len({names[0], names[1], names[3], "conv"}) == 4
    assert text.settings == ["self.kept = a", f"self.{names[1]} = b", f"self.{names[3]} = c"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((True, False, False, False), "p and q"),
        ((True, False, False, ABSENT), "p and q"),  # a row that lacks the value takes any
        ((True, True, True, ABSENT), "p or q"),
        ((True, ABSENT, False, False), "p"),
        ((ABSENT, ABSENT, True, False), "q"),
        ((False, True, True, False), ""),
    ],
)
def test_a_condition_of_two_parameters_has_the_values_of_the_rows_that_have_one(
    values: tuple[object, ...], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tests = [
        Condition("p", Slot((True, True, False, False)), ("p",)),
        Condition("q", Slot((True, False, True, False)), ("q",)),
    ]
    monkeypatch.setattr(Parameters, "_conditions", lambda _: list(tests))
    monkeypatch.setattr(Parameters, "_use", lambda *_: None)
    assert Parameters.__new__(Parameters)._test(Slot(values), "has_relu") == expected  # type: ignore[arg-type]


def pattern(kind: str, container: Pattern) -> ClassPattern:
    """A class with one step of a kind, which reads the container `paths`."""
    step = ForwardStep("step", kind, "paths", "", (), ())  # type: ignore[arg-type]
    one = Slot((1,))
    return ClassPattern(1, (1,), 1, one, one, (), (("paths", container),), (StepPattern(step, (), None),), (), False)


@pytest.mark.parametrize(("kind", "is_refused"), [("merge", True), ("loop", False), ("stages", False)])
def test_only_a_merge_needs_its_paths_in_a_list(kind: str, is_refused: bool) -> None:
    if is_refused:
        with pytest.raises(MismatchError, match="paths that are no list"):
            _check_containers(pattern(kind, NamedPattern((), False)))
    else:
        _check_containers(pattern(kind, NamedPattern((), False)))
    _check_containers(pattern(kind, NumberedPattern("nn.ModuleList", ())))
