"""docs/operators.md is what the table says."""

from __future__ import annotations

from pathlib import Path

from resnext_dsl.operators import OPERATORS
from resnext_dsl.operators.reference import reference, signature

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == reference(), "write `reference()` to docs/operators.md"


def test_signatures() -> None:
    conv = "conv(channels, kernel, stride=1, padding=same, dilation=1, groups=1, bias=false, standardize=false"
    assert signature(OPERATORS["conv"]) == f"{conv}, gain=1.0, gamma=1.0, eps=1e-6)"
    assert signature(OPERATORS["fixed_conv"]) == "fixed_conv(kernel, stride=1, padding=same, mode=constant)"
    assert signature(OPERATORS["bn"]) == "bn(eps=1e-5, momentum=0.1, affine=true)"
    assert signature(OPERATORS["relu"]) == "relu"
    assert signature(OPERATORS["add"]) == "add(value, ...)"
