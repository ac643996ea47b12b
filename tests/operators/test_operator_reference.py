"""docs/operators.md is what the table says."""

from __future__ import annotations

from pathlib import Path

from resnext_dsl.operators import OPERATORS, arguments_of
from resnext_dsl.operators.reference import ARGUMENTS, reference, signature

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "write `reference()` to docs/operators.md"


def test_every_operator_and_argument_is_explained_and_nothing_else() -> None:
    used = {
        f"{row.name}.{argument.name}" if f"{row.name}.{argument.name}" in ARGUMENTS else argument.name
        for row in OPERATORS.values()
        for argument in arguments_of(row.attributes)
    }
    assert used == set(ARGUMENTS)


def test_signatures() -> None:
    conv = "conv(channels, kernel, stride=1, padding=same, dilation=1, groups=1, bias=false)"
    assert signature(OPERATORS["conv"]) == conv
    assert signature(OPERATORS["bn"]) == "bn(eps=1e-5, momentum=0.1, affine=true)"
    assert signature(OPERATORS["relu"]) == "relu"
    assert signature(OPERATORS["add"]) == "add(value, ...)"
