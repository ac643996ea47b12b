"""`resnext-dsl summary` and `zoo`."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from resnext_dsl.cli.app import app
from resnext_dsl.files import shipped_names


def run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    assert result.exit_code == 0, result.stderr
    return result.stdout


def cells(out: str) -> list[list[str]]:
    return [[cell for cell in line.split("  ") if cell.strip()] for line in out.splitlines() if line.strip()]


def test_the_stage_table_is_that_of_the_paper() -> None:
    """Xie et al., CVPR 2017, Table 1: stages, output sizes, repeats and cardinality of ResNeXt-50 (32x4d)."""
    rows = {row["name"]: row for row in json.loads(run("summary", "resnext50_32x4d", "--json"))["stages"]}
    assert {name: row["output"] for name, row in rows.items()} == {
        "image": [3, 224, 224],
        "stem": [64, 56, 56],
        "conv2": [256, 56, 56],
        "conv3": [512, 28, 28],
        "conv4": [1024, 14, 14],
        "conv5": [2048, 7, 7],
        "head": [1000],
    }
    assert [rows[f"conv{k}"]["repeats"] for k in (2, 3, 4, 5)] == [3, 4, 6, 3]
    assert [rows[f"conv{k}"]["paths"] for k in (2, 3, 4, 5)] == [
        "32 x 4 = 128",
        "32 x 8 = 256",
        "32 x 16 = 512",
        "32 x 32 = 1024",
    ]


def test_the_rows_of_a_level_add_up_to_the_whole() -> None:
    answer = json.loads(run("summary", "inception_v4", "--depth", "3", "--json"))
    for level in (0,):
        rows = [row for row in answer["stages"] if row["level"] == level]
        for measure in ("params", "flops", "macs", "activations"):
            assert sum(row[measure] for row in rows) == answer["cost"][measure]


def test_every_level_asked_for_is_shown() -> None:
    levels = {row["level"] for row in json.loads(run("summary", "resnet18", "--depth", "3", "--json"))["stages"]}
    assert levels == {0, 1, 2}


def test_the_table_for_people_has_a_row_for_each_stage_and_a_total() -> None:
    out = run("summary", "resnet50", "--set", "classes=10")
    first = [row[0].strip() for row in cells(out)]
    for name in ("stem", "conv2", "conv3", "conv4", "conv5", "head", "total"):
        assert name in first
    assert "23,528,522" in out  # 25,557,032 less 990 classes of 2,049 parameters
    assert "fused multiply-adds as fvcore counts them" in out


def test_the_zoo_lists_every_shipped_network() -> None:
    answer = json.loads(run("zoo", "--json"))
    assert [row["name"] for row in answer] == shipped_names()
    assert all(row["params"] > 0 and row["doc"] for row in answer)


def test_the_zoo_can_be_narrowed() -> None:
    out = run("zoo", "resnext101")
    assert "resnext101_32x8d" in out
    assert "vgg11" not in out


def test_a_zoo_without_a_match_is_an_error() -> None:
    result = CliRunner().invoke(app, ["zoo", "nosuch"])
    assert result.exit_code == 2
    assert result.stderr == "error: no shipped network has `nosuch` in its name\n"
