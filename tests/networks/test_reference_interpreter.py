"""The shipped specs by the reference interpreter and by the package: the same operators, shapes, counts and verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest
from interpreter_agreement import agree
from reference_interpreter import interpret

import resnext_dsl as rx

SPECS = Path(__file__).parents[2] / "specs"
SUPPORTED = sorted(path.stem for path in SPECS.glob("*.arch"))


def test_every_shipped_spec_is_interpreted() -> None:
    assert len(SUPPORTED) == 37


@pytest.mark.parametrize("name", SUPPORTED)
def test_a_shipped_spec_reads_the_same_way_twice(name: str) -> None:
    path = SPECS / f"{name}.arch"
    agree(rx.load(path), interpret(path.read_text(encoding="utf-8")))
