"""Workers as processes: which GPU each of them sees."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import search_evaluators
from search_specs import SPACE

import resnext_dsl as rx
from resnext_dsl.devices.device_locks import gpus

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("environment", "listed", "expected"),
    [
        ({}, 0, []),
        ({}, 3, ["0", "1", "2"]),
        ({"CUDA_VISIBLE_DEVICES": "2, 5"}, 8, ["2", "5"]),
        ({"CUDA_VISIBLE_DEVICES": "GPU-1f2e,GPU-aa00"}, 8, ["GPU-1f2e", "GPU-aa00"]),
        ({"CUDA_VISIBLE_DEVICES": ""}, 8, []),
    ],
)
def test_the_gpus_of_a_process(environment: dict[str, str], listed: int, expected: list[str], tmp_path: Path) -> None:
    for place in range(listed):
        (tmp_path / f"0000:{place}").mkdir()
    assert gpus(environment, tmp_path) == expected
    assert gpus({}, tmp_path / "none") == []


@pytest.mark.parametrize(
    ("choices", "expected"), [({}, {5, 7}), ({"device": "cuda:1"}, {57})], ids=["in turn", "as chosen"]
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
