"""Workers as processes: which GPU each of them sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import search_evaluators
from search_specs import SPACE

import resnext_dsl as rx

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("choices", "expected"),
    [({}, {5, 7}), pytest.param({"device": "cuda:1"}, {57}, marks=pytest.mark.slow)],
    ids=["in turn", "as chosen"],
)
def test_each_worker_sees_one_of_several(
    choices: dict[str, str], expected: set[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(HERE), prepend=os.pathsep)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,7")
    (tmp_path / "space.arch").write_text(SPACE)
    found = rx.search(
        "space.arch", maximize="accuracy", budget="small", trials=12, workers=2, choices=choices,
        evaluator=f"{search_evaluators.__name__}:sees",
    )  # fmt: skip
    assert {trial.metrics["sees"] for trial in found.trials} == expected
