"""`resnext-dsl summary` and `zoo`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resnext_dsl.cli.app import app
from resnext_dsl.semantics.spec_files import shipped_names


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


SPEC = """\
from std.blocks import conv_bn_act

network net {
    input image: 4x8x8
    stem { conv_bn_act(4, 1x1); avgpool(2x2) }
    head { avgpool(global); flatten; linear(2, bias=false) }
    output aux when training from stem { conv(1, 1x1) }
}
"""


@pytest.fixture
def spec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.arch").write_text(SPEC)
    return "net.arch"


def test_the_margin_shows_what_each_line_costs(spec: str) -> None:
    # conv 16 weights, bn 8, on 64 pixels: 1024 + 512; pooling 4 * 16; linear 8
    assert run("summary", spec, "--by", "line").splitlines() == [
        "  parameters      FLOPs",
        "                           1 | from std.blocks import conv_bn_act",
        "                           2 |",
        "                           3 | network net {",
        "                           4 |     input image: 4x8x8",
        "              uncounted    5 |     stem { conv_bn_act(4, 1x1); avgpool(2x2) }",
        "           8       4.5%    6 |     head { avgpool(global); flatten; linear(2, bias=false) }",
        "           4       0.0%    7 |     output aux when training from stem { conv(1, 1x1) }",
        "                           8 | }",
        "",
        "std/blocks.arch",
        "          24      95.5%    5 |     conv(channels, kernel, stride=stride, groups=groups, padding=padding); bn; act",
        "",
        "total: 36 parameters, 1,608 FLOPs",
        "FLOPs are fused multiply-adds as fvcore counts them, batch 1",
        "uncounted by fvcore: avgpool (1), flatten (1), relu (1)",
        "outputs of training count in parameters only",
    ]


def test_lines_as_json(spec: str) -> None:
    answer = json.loads(run("summary", spec, "--by", "line", "--json"))
    assert answer["lines"][0] == {
        "file": "net.arch",
        "line": 5,
        "text": "stem { conv_bn_act(4, 1x1); avgpool(2x2) }",
        "uncounted": {"avgpool": 1},
        "params": 0,
        "flops": 0,
        "macs": 0,
        "activations": 0,
    }
    assert [(row["file"], row["line"]) for row in answer["lines"]] == [
        ("net.arch", 5),
        ("net.arch", 6),
        ("net.arch", 7),
        ("std/blocks.arch", 5),
    ]
    assert sum(row["flops"] for row in answer["lines"]) == answer["cost"]["flops"] == 1608
    assert answer["convention"] == "FLOPs are fused multiply-adds as fvcore counts them, batch 1"


def test_operators_that_are_not_counted_say_so(spec: str) -> None:
    rows = cells(run("summary", spec, "--by", "operator"))
    table = {row[0].strip(): [cell.strip() for cell in row[1:]] for row in rows}
    assert table["conv"] == ["2", "20", "1,024", "63.7%"]
    assert table["relu"] == ["1", "0", "uncounted"]
    assert table["avgpool"] == ["2", "0", "64, 1 uncounted", "4.0%"]
    assert table["total"] == ["36", "1,608", "100.0%"]
    assert "FLOPs are fused multiply-adds as fvcore counts them, batch 1" in table
    answer = json.loads(run("summary", spec, "--by", "operator", "--json"))
    assert [(row["operator"], row["uses"], row["uncounted"]) for row in answer["operators"]] == [
        ("conv", 2, 0),
        ("bn", 1, 0),
        ("relu", 1, 1),
        ("avgpool", 2, 1),
        ("flatten", 1, 1),
        ("linear", 1, 0),
    ]


def test_template_calls_are_listed_by_place() -> None:
    rows = cells(run("summary", "resnet50", "--by", "template"))
    table = [[cell.strip() for cell in row] for row in rows]
    assert ["bottleneck", "resnet50.arch:18", "4", "1,219,584", "1,033,826,304", "25.1%"] in table
    answer = json.loads(run("summary", "resnet50", "--by", "template", "--json"))
    assert [(row["template"], row["file"], row["line"], row["calls"]) for row in answer["templates"]] == [
        ("bottleneck", "resnet50.arch", line, calls) for line, calls in ((17, 3), (18, 4), (19, 6), (20, 3))
    ]


def test_views_need_no_torch() -> None:
    code = (
        "import sys; from resnext_dsl.cli.app import app; from typer.testing import CliRunner\n"
        "for view in ('stage', 'operator', 'template', 'line'):\n"
        "    assert CliRunner().invoke(app, ['summary', 'resnet18', '--by', view]).exit_code == 0\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'networkx', 'pydantic')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
