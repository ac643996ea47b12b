"""`resnext-dsl solve`: the answers of the fixed interface, and its mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["solve", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_example_of_the_design() -> None:
    status, out, err = run(
        "resnext50_32x4d",
        "--vary",
        "width",
        "--set",
        "cardinality=8",
        "--match",
        "params",
        "--of",
        "resnet50",
        "--json",
    )
    answer = json.loads(out)
    cost = rx.load("resnext50_32x4d", cardinality=8, width=14).cost()
    assert (status, err) == (0, "")
    assert answer["solutions"][0] == {
        "width": 14,
        "params": cost.params,
        "flops": cost.flops,
        "macs": cost.macs,
        "activations": cost.activations,
    }
    assert answer["targets"] == {"params": 25_557_032}
    assert (answer["candidates"], answer["valid"], answer["pareto"]) == (64, 64, False)


def test_the_target_is_the_spec_itself_by_default_times_a_factor_or_a_number() -> None:
    own = rx.load("resnext50_32x4d").cost()
    _, out, _ = run("resnext50_32x4d", "--vary", "width", "--set", "cardinality=8", "--match", "params", "--json")
    assert json.loads(out)["targets"] == {"params": own.params}
    _, out, _ = run("resnext50_32x4d", "--vary", "width", "--match", "flops", "--times", "2", "--json")
    assert json.loads(out)["targets"] == {"flops": 2 * own.flops}
    _, out, _ = run("resnext50_32x4d", "--vary", "width", "--match", "flops=4.1G", "--json")
    assert json.loads(out)["targets"] == {"flops": 4_100_000_000}


def test_a_table_for_people() -> None:
    status, out, _ = run("resnext50_32x4d", "--vary", "width=1..8", "--under", "flops=4.1G", "--count", "2")
    lines = [line.split() for line in out.splitlines() if line.strip()]
    assert status == 0
    assert lines[0] == ["resnext50_32x4d:", "best", "of", "8", "combinations"]
    assert [line[0] for line in lines[3:5]] == ["3", "2"]
    assert "0 are not valid, 5 break a bound" in out
    assert "FLOPs are fused multiply-adds as fvcore counts them" in out


def test_none_is_status_1() -> None:
    status, out, err = run("resnext50_32x4d", "--vary", "width", "--under", "flops=1M", "--json")
    assert status == 1
    assert json.loads(out)["solutions"] == []
    assert "error[E604]: none of 64 combinations meets the bounds: 64 break a bound" in err
    assert "the least flops is 1,393,102,336" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--vary", "widht", "--match", "params"], "error[E201]: network `resnext50_32x4d` has no parameter `widht`"),
        (["--vary", "classes", "--match", "params"], "error[E202]: `classes` has no domain"),
        (["--vary", "width=9..3", "--match", "params"], "error[E205]: the range 9..3 is empty"),
        (["--vary", "width=many", "--match", "params"], "error[E002]: cannot read the domain"),
        (
            ["--vary", "width={4, 8} } network b {", "--match", "params"],
            "error[E002]: `{4, 8} } network b {` is not a domain",
        ),
        (
            ["--vary", "width=0.5..1", "--match", "params"],
            "error[E205]: the domain 0.5..1 of `width` is infinite",
        ),
        (["--vary", "width=1/0..4", "--match", "params"], "error[E206]: division by zero"),
        (["--vary", "width", "--set", "width=4", "--match", "params"], "`width` has a value by --set"),
        (["--vary", "width", "--match", "flop"], "error[E208]: unknown measure `flop`"),
        (["--vary", "width", "--under", "flops"], "`--under flops` is not MEASURE=NUMBER"),
        (["--vary", "width", "--under", "flops=lots"], "error[E101]: unknown name `lots`"),
        (
            ["--vary", "width", "--match", "params", "--within", "much"],
            "`--within much` is not a percentage; write one like 1%",
        ),
        (["--vary", "width"], "error[E202]: no objective is given"),
        (["--vary", "width", "--match", "params", "--of", "resnet5"], "resnet50"),
    ],
)
def test_a_wrong_question_is_status_2(arguments: list[str], message: str) -> None:
    status, out, err = run("resnext50_32x4d", *arguments)
    assert (status, out) == (2, "")
    assert message in err


def answer(*arguments: str) -> Any:
    status, out, err = run(*arguments, "--json")
    assert (status, err) == (0, "")
    return json.loads(out)


def test_a_list_varies_in_the_domains_of_its_elements(tmp_path: Path) -> None:
    spec = tmp_path / "n.arch"
    spec.write_text(
        "network n {\n    input image: 3x8x8\n    param d = [1, 2] in [1..3, {2, 4}]\n"
        "    repeat d[0] { conv(4, 3x3) }; repeat d[1] { conv(8, 3x3) }\n}\n"
    )
    whole = answer(str(spec), "--vary", "d", "--minimize", "params", "--count", "9")
    assert whole["candidates"] == 6
    assert {(s["d[0]"], s["d[1]"]) for s in whole["solutions"]} == {(a, b) for a in (1, 2, 3) for b in (2, 4)}
    one = answer(str(spec), "--vary", "d[1]", "--minimize", "params")
    assert [solution["d[1]"] for solution in one["solutions"]] == [2, 4]
    given = answer(str(spec), "--vary", "d=[1..2, 5..6]", "--minimize", "params")
    assert given["candidates"] == 4
