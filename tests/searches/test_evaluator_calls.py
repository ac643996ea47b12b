"""Calls of an evaluator's function, and the amounts of resources that a plan refuses."""

from __future__ import annotations

from typing import Any

import pytest

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.searches import Plan
from resnext_dsl.searches.evaluator import Evaluator


def test_a_function_reports_only_if_it_asks_for_that() -> None:
    network = rx.loads("network n { input image: 3x4x4; conv(2, 1x1) }")
    seen: list[tuple[int, dict[str, float]]] = []

    def steps(network: Any, candidate: Any, report: Any) -> dict[str, float]:
        report(1, {"accuracy": 0.5})
        return {"accuracy": 0.75}

    def plain(network: Any, candidate: Any) -> dict[str, float]:
        return {"accuracy": 0.25}

    def noted(step: int, metrics: dict[str, float]) -> None:
        seen.append((step, metrics))

    arguments: Any = (network, {}, ("accuracy",), 0, noted, {"latency": 2.0})
    found = Evaluator(steps)(*arguments)
    assert (found["accuracy"], found["latency"], found["params"]) == (0.75, 2.0, 6)
    assert seen == [(1, {"accuracy": 0.5})]
    assert Evaluator(plain)(*arguments)["accuracy"] == 0.25
    assert len(seen) == 1


@pytest.mark.parametrize(
    ("resources", "engine", "message"),
    [
        ({"cpu": -1.0}, "ray", "`cpu` must be 0 or more; found -1"),
        ({"cpu": 1.0, "gpu": float("inf")}, "ray", "`gpu` must be 0 or more; found inf"),
        (
            {"cpu": 1.0},
            "processes",
            "processes of this machine share its resources; only `ray` reserves them per trial",
        ),
    ],
)
def test_resources_that_no_engine_takes(resources: dict[str, float], engine: str, message: str) -> None:
    plan = Plan("n", {}, None, ("accuracy",), (), (), 5, 2, "", "", "random", "m:f", 0, 0, "", 20)
    with pytest.raises(ArchError) as caught:
        plan._replace(resources=resources, engine=engine).check()
    assert [(each.code, each.message) for each in caught.value.diagnostics] == [("E205", message)]
