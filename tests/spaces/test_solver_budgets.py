"""Solving within the budgets of the file, against the check of every single network."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app

SPEC = """
network n {
    input image: 3x16x16
    param width = 8 in 4..16 step 4
    param depths = [1, 2]
    stage a repeat depths[0] { conv(width * 2, 3x3); relu }
    stage b repeat depths[1] { conv(width * 4, 3x3, stride=first(2, 1)); relu }
    head { avgpool(global); flatten; linear(10) }
    budget { params <= width * 4K }
    budget small(input=3x32x32) { flops <= 20M; b.params <= 20K; depth <= 5 }
    budget memory { weights <= 60KB }
}
"""

BUDGETS: list[tuple[str, ...]] = [(), ("small",), ("memory",), ("small", "memory")]


@pytest.fixture
def spec(tmp_path: Path) -> str:
    path = tmp_path / "n.arch"
    path.write_text(SPEC, encoding="utf-8")
    return str(path)


def run(spec: str, *options: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["solve", spec, *options])
    return result.exit_code, result.stdout, result.stderr


def meets(spec: str, budgets: tuple[str, ...], width: int, depth: int) -> bool:
    network = rx.load(spec, width=width, **{"depths[1]": depth})
    return all(line.met for line in network.usage(*budgets))


@pytest.mark.parametrize("budgets", BUDGETS)
def test_solutions_meet_the_budgets(budgets: tuple[str, ...], spec: str) -> None:
    options = [word for name in budgets for word in ("--budget", name)]
    vary = ["--vary", "width=2..20 step 2", "--vary", "depths[1]=1..4"]
    status, out, _ = run(spec, *vary, "--minimize", "params", "--count", "100", *options, "--json")
    wanted = {
        (width, depth)
        for width, depth in itertools.product(range(2, 21, 2), range(1, 5))
        if meets(spec, budgets, width, depth)
    }
    answer = json.loads(out)
    assert status == 0
    assert 0 < len(wanted) < 40
    assert {(each["width"], each["depths[1]"]) for each in answer["solutions"]} == wanted
    assert (answer["candidates"], answer["valid"], answer["met"]) == (40, 40, len(wanted))


def test_a_target_is_matched_outside_the_budgets_unless_one_is_named(spec: str) -> None:
    match = ["--vary", "width=4..64 step 4", "--match", "params=200K", "--json"]
    free = json.loads(run(spec, *match)[1])
    held = json.loads(run(spec, *match, "--budget", "small")[1])
    assert free["met"] == free["candidates"] == 16
    assert not meets(spec, ("small",), free["solutions"][0]["width"], 2)
    assert 0 < held["met"] < 16
    assert all(meets(spec, ("small",), each["width"], 2) for each in held["solutions"])


def test_no_combination_within_the_budgets_is_status_1_and_an_unknown_budget_status_2(spec: str) -> None:
    status, out, err = run(spec, "--vary", "width=40..64", "--minimize", "params", "--budget", "small")
    assert (status, out) == (1, "")
    assert "error[E604]: none of 25 combinations meets the bounds: 25 break a bound" in err
    status, _, err = run(spec, "--vary", "width", "--minimize", "params", "--budget", "smal")
    assert status == 2
    assert "unknown budget `smal`" in err
    assert "did you mean `small`?" in err


def test_bounds_that_agree_on_the_best_are_no_pareto_front(spec: str) -> None:
    _, out, _ = run(spec, "--vary", "width=4..8", "--under", "params=1M", "--under", "flops=1G", "--budget", "small")
    assert out.startswith("n: best of 5 combinations")
    _, out, _ = run(spec, "--vary", "width=4..8", "--under", "params=9K", "--under", "params=1M", "--json")
    answer = json.loads(out)
    assert answer["pareto"] is False
    assert all(each["params"] <= 9000 for each in answer["solutions"])
    _, out, _ = run(spec, "--vary", "width", "--minimize", "params", "--maximize", "flops", "--budget", "small")
    assert out.startswith("n: Pareto front of 4 combinations")
