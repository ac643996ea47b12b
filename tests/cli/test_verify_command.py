"""`resnext-dsl verify`: two counts side by side, and what happens where they differ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from resnext_dsl.cli.app import app
from resnext_dsl.costs import fvcore_count as measure
from resnext_dsl.costs.closed_form import Cost

SMALL = """\
network small {
    input image: 3x8x8
    param width = 4
    template unit(c) { conv(c, 3x3); bn; relu }
    stem { unit(width) }
    stage a repeat 2 { unit(width) }
    head { avgpool(global); flatten; linear(2) }
    budget { params <= 450 }
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.arch").write_text(SMALL)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["verify", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def cells(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines() if line.strip()]


def test_both_counts_stand_side_by_side() -> None:
    status, out, err = run("small.arch")
    assert (status, err) == (0, "")
    rows = cells(out)
    # conv 108 and 144 weights per pixel of 64, bn 2 a value; pooling 1 a value; linear 8
    assert ["total", "430", "430", "27,144", "27,144", "770", "770"] in rows
    assert ["stem", "116", "116", "7,424", "7,424", "256", "256"] in rows
    assert ["a", "304", "304", "19,456", "19,456", "512", "512"] in rows
    assert ["conv", "25,344", "25,344"] in rows
    assert ["batch_norm", "1,536", "1,536"] in rows
    assert "uncounted by fvcore: flatten (1), relu (3)" in out
    assert "18 modules counted in closed form and by fvcore: all equal, to the digit" in out
    assert "FLOPs are fused multiply-adds as fvcore counts them" in out
    assert "budget: params 430 <= 450 (95.6%) ok" in out


@pytest.mark.parametrize(
    ("options", "shown", "hidden"),
    [
        (["--depth", "0"], "total", "stem"),
        ([], "stem", "a.0"),
        (["--depth", "2"], "a.0", "a.0.conv"),
        (["--all"], "a.0.conv", "a.0.conv.x"),
    ],
)
def test_more_levels_are_shown_when_asked_for(options: list[str], shown: str, hidden: str) -> None:
    names = [row[0] for row in cells(run("small.arch", *options)[1])]
    assert shown in names
    assert hidden not in names


def test_json_has_every_module_and_operator() -> None:
    status, out, _ = run("small.arch", "--json", "--set", "width=2")
    answer = json.loads(out)
    assert status == 0
    assert answer["ok"] is True
    assert answer["cost"] == answer["measured"]
    assert [row["name"] for row in answer["modules"]][:4] == ["", "stem", "stem.conv", "stem.bn"]
    assert all(row["equal"] and row["closed"] == row["measured"] for row in answer["modules"])
    assert [row["operator"] for row in answer["operators"]] == ["adaptive_avg_pool2d", "batch_norm", "conv", "linear"]
    assert answer["uncounted"] == {"flatten": 1, "relu": 3}
    assert answer["budgets"][0]["ok"] is True


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_an_exceeded_budget_is_status_1(options: list[str]) -> None:
    status, out, _ = run("small.arch", "--set", "width=8", *options)
    assert status == 1
    assert "EXCEEDED" in out or json.loads(out)["ok"] is False


def test_a_wrong_spec_is_status_2() -> None:
    Path("small.arch").write_text(SMALL.replace("bn;", "bm;"))
    status, out, err = run("small.arch")
    assert (status, out) == (2, "")
    assert "error[E101]: unknown operator or template `bm`" in err


@pytest.fixture
def miscounted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = measure.measure

    def wrong(model: torch.nn.Module, shape: tuple[int, ...]) -> measure.FvcoreCount:
        measured = counted(model, shape)
        name = "a.1.bn"
        return replace(measured, modules={**measured.modules, name: measured.modules[name] + Cost(flops=1)})

    monkeypatch.setattr(measure, "measure", wrong)


@pytest.mark.usefixtures("miscounted")
def test_counts_that_differ_are_our_mistake() -> None:
    status, out, err = run("small.arch")
    assert status == 3
    assert ["a.1.bn", "8", "8", "512", "513", "0", "0", "differs"] in cells(out)
    assert "18 modules counted in closed form and by fvcore: 1 of them differ" in out
    assert "error[E801]: two counts of `a.1.bn` differ: flops 512 in closed form, 513 by fvcore" in err


@pytest.mark.usefixtures("miscounted")
def test_counts_that_differ_are_marked_in_json() -> None:
    status, out, _ = run("small.arch", "--json")
    answer = json.loads(out)
    assert status == 3
    assert answer["ok"] is False
    assert [row["name"] for row in answer["modules"] if not row["equal"]] == ["a.1.bn"]
    assert answer["diagnostics"][0]["code"] == "E801"
