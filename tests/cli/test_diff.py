"""`resnext-dsl diff`: what it prints, its JSON, its exit status and its errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app

MEASURES = ("params", "flops", "macs", "activations")
SMALL = """\
network small {
    input image: 3x8x8
    param width = 4
    stem { conv(width, 3x3); bn; relu }
    stage a repeat 2 { conv(width, 3x3); bn; relu }
    head { avgpool(global); flatten; linear(2) }
    budget { params <= 450; flops <= 1M }
    budget phone(input=3x4x4) { flops <= 10K }
}
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.arch").write_text(SMALL)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["diff", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def shown(*arguments: str) -> list[str]:
    status, out, err = run(*arguments)
    assert (status, err) == (0, "")
    return [line.rstrip() for line in out.splitlines()]


def asked(*arguments: str) -> dict[str, object]:
    return json.loads("\n".join(shown(*arguments, "--json")))


def test_all_that_people_read() -> None:
    lines = shown("small.arch", "--set", "width=8")
    assert lines == EXPECTED.splitlines()


EXPECTED = """\
A  small.arch
B  small.arch with width=8
the architectures differ

parameters
  width  4 -> 8

  stage            output   block                              parameters               FLOPs      activations
 ──────────────────────────────────────────────────────────────────────────────────────────────────────────────
  stem    A        4x8x8    conv 3x3 4, bn, relu                      116               7,424              256
          B        8x8x8    conv 3x3 8, bn, relu                      232              14,848              512
          change                                           +116 (+100.0%)    +7,424 (+100.0%)   +256 (+100.0%)
  a       A        4x8x8    2 x (conv 3x3 4, bn, relu)                304              19,456              512
          B        8x8x8    2 x (conv 3x3 8, bn, relu)              1,184              75,776            1,024
          change                                           +880 (+289.5%)   +56,320 (+289.5%)   +512 (+100.0%)
  head    A        2                                                   10                 264                2
          B        2                                                   18                 528                2
          change                                              +8 (+80.0%)      +264 (+100.0%)                =

  total   A                                                           430              27,144              770
          B                                                         1,434              91,152            1,538
          change                                         +1,004 (+233.5%)   +64,008 (+235.8%)    +768 (+99.7%)

FLOPs are fused multiply-adds as fvcore counts them, batch 1; fvcore does not count flatten, relu

structure
  ~ stem.conv: channels 4 -> 8
  ~ stem: 2 operators give another shape
  ~ a.*.conv (2): channels 4 -> 8
  ~ a: 4 operators give another shape
  ~ head: 2 operators give another shape

budgets
  params 430 <= 450 kept -> 1,434 <= 450 EXCEEDED
  phone: flops at 3x4x4 6,792 <= 10,000 kept -> 22,800 <= 10,000 EXCEEDED
"""


def test_structure_lines() -> None:
    def structure(*arguments: str) -> list[str]:
        lines = shown(*arguments)
        start = lines.index("structure") + 1
        return lines[start : lines.index("", start) if "" in lines[start:] else None]

    assert structure("resnext50_32x4d", "--set", "cardinality=8", "--set", "width=14")[:3] == [
        "  ~ conv2.*.conv1 (3): channels 128 -> 112",
        "  ~ conv2.*.conv2 (3): channels 128 -> 112, groups 32 -> 8",
        "  ~ conv2: 12 operators give another shape",
    ]
    assert structure("vgg16", "vgg16_bn")[2:4] == ["  + conv3.repeat.*.bn (3): bn", "  + conv4.repeat.*.bn (3): bn"]
    assert structure("resnet50", "resnet101") == ["  + conv4.{6..22} (17): 3 conv, 3 bn, 3 relu, 1 add"]
    assert structure("resnext50_32x4d", "resnext50_32x4d_a")[:3] == [
        "  - conv2.*.{conv1, bn1, relu1, conv2, bn2, relu2, conv3} (3): conv 1x1 128, bn, relu, conv 3x3 128, bn, relu, conv 1x1 256",
        "  + conv2.*.{paths, add1} (3): 96 conv, 64 bn, 64 relu, add",
        "  = conv2.*.{bn3, add, relu3} -> conv2.*.{bn, add2, relu} (3)",
    ]


def test_forms_of_one_block_have_equal_parameters_and_flops() -> None:
    lines = shown("resnext50_32x4d", "resnext50_32x4d_b")
    assert lines[:3] == [
        "A  resnext50_32x4d",
        "B  resnext50_32x4d_b",
        "one architecture, its splits spelled in two ways",
    ]
    assert "  block  bottleneck -> concatenated" in lines


@pytest.mark.parametrize("names", [("resnet50", "resnet50"), ("resnext50_32x4d", "--set", "cardinality=32")])
def test_no_difference_is_said_in_a_line(names: tuple[str, ...]) -> None:
    assert shown(*names)[2:] == ["no difference"]


def test_the_same_architecture_under_other_names() -> None:
    Path("other.arch").write_text(
        SMALL.replace("stage a", "stage b").replace("network small", "# a comment\nnetwork x")
    )
    lines = shown("small.arch", "other.arch")
    assert "the same architecture; 6 operators have other names" in lines
    assert any(line.startswith("  a -> b ") for line in lines)
    assert lines[-2:] == ["structure", "  = a -> b"]


def test_depth_differs_below_the_table() -> None:
    assert "depth 50 -> 101" in shown("resnet50", "resnet101")


def test_settings_of_both_sides() -> None:
    lines = shown("resnet50", "resnet18", "--set-a", "classes=10", "--set", "classes=20")
    assert lines[:2] == ["A  resnet50 with classes=10", "B  resnet18 with classes=20"]
    assert "  classes   10 -> 20" in lines
    answer = asked("small.arch", "--set-a", "width=8")
    assert answer["a"]["settings"] == {"width": "8"}
    assert answer["parameters"] == [{"name": "width", "a": "8", "b": "4"}]


@pytest.mark.parametrize(
    ("a", "b"), [("resnet50", "resnext50_32x4d"), ("vgg16", "vgg16_bn"), ("googlenet", "inception_v3")]
)
def test_json_holds_the_costs_of_both_and_their_difference(a: str, b: str) -> None:
    answer = asked(a, b)
    for side, name in (("a", a), ("b", b)):
        network = rx.load(name)
        assert answer[side] == {"spec": name, "settings": {}, "name": name, "fingerprint": network.fingerprint}
        stages = {row[side]["name"]: row[side] for row in answer["stages"] if row[side] is not None}
        cost = network.cost()
        for measure in MEASURES:
            assert answer["cost"][side][measure] == getattr(cost, measure)
            assert sum(row[measure] for row in stages.values()) == getattr(cost, measure)
            assert {stage: row[measure] for stage, row in stages.items()} == {
                stage: getattr(part, measure) for stage, part in cost.by_stage().items()
            }
        assert answer["cost"][side]["depth"] == cost.depth
    for measure in MEASURES:
        assert sum(row["change"][measure] for row in answer["stages"]) == answer["cost"]["change"][measure]
        assert answer["cost"]["change"][measure] == answer["cost"]["b"][measure] - answer["cost"]["a"][measure]
    assert answer["differs"] is True
    assert answer["same_architecture"] is False
    assert answer["convention"] == "FLOPs are fused multiply-adds as fvcore counts them, batch 1"


def test_the_keys_of_json() -> None:
    answer = asked("small.arch", "--set", "width=8")
    assert list(answer) == [
        "a",
        "b",
        "differs",
        "same_architecture",
        "parameters",
        "inputs",
        "outputs",
        "init",
        "stages",
        "cost",
        "structure",
        "budgets",
        "convention",
    ]
    assert answer["structure"][0] == {
        "kind": "changed",
        "part": "stem",
        "a": ["stem.conv"],
        "b": ["stem.conv"],
        "changed": {"channels": ["4", "8"]},
        "holds": "",
        "operators": 1,
    }
    assert list(answer["stages"][0]) == ["name", "level", "a", "b", "change"]
    assert list(answer["stages"][0]["a"]) == ["name", "output", "block", "repeats", "paths", *MEASURES]
    params, flops, phone = answer["budgets"]
    assert (params["a"]["ok"], params["b"]["ok"], params["differs"]) == (True, False, True)
    assert (flops["a"]["ok"], flops["b"]["ok"], flops["differs"]) == (True, True, False)
    assert (phone["a"]["input"], phone["a"]["ok"], phone["b"]["ok"]) == ([3, 4, 4], True, False)


def test_one_part_deeper() -> None:
    answer = asked("resnet50", "resnext50_32x4d", "--stage", "conv3", "--depth", "2")
    assert [row["name"] for row in answer["stages"]] == ["conv3", *(f"conv3.{k}" for k in range(4))]
    assert {change["part"] for change in answer["structure"]} == {"conv3"}
    inside = asked("resnet50", "resnext50_32x4d", "--stage", "conv3.1")
    assert [row["name"] for row in inside["stages"]] == ["conv3.1"]


def test_an_unknown_part_is_an_error() -> None:
    assert run("resnet50", "resnet18", "--stage", "conv7") == (
        2,
        "",
        "error: neither network has a part `conv7`; did you mean `conv2`?\n",
    )
    assert run("small.arch", "--set", "width=8", "--stage", "entirely")[2] == (
        "error: neither network has a part `entirely`; parts: stem, a, head\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["small.arch", "--set", "width=8"], 1),
        (["small.arch", "small.arch"], 0),
        (["small.arch", "comment.arch"], 0),
        (["small.arch", "budget.arch"], 1),
    ],
)
def test_exit_code_is_that_of_git_where_it_is_asked_for(arguments: list[str], status: int) -> None:
    Path("comment.arch").write_text("# the same\n" + SMALL)
    Path("budget.arch").write_text(SMALL.replace("450", "500"))
    assert run(*arguments)[0] == 0
    assert run(*arguments, "--exit-code")[0] == status
    assert run(*arguments, "--exit-code", "--json")[0] == status


def test_errors_of_both_sides_are_reported() -> None:
    Path("wrong.arch").write_text(SMALL.replace("bn;", "bm;", 1))
    status, out, err = run("wrong.arch", "resnet5", "--exit-code")
    assert (status, out) == (2, "")
    assert err.startswith("wrong.arch:\nwrong.arch:4:30: error[E101]: unknown operator or template `bm`\n")
    assert "\n\nresnet5:\nresnet5: error[E505]: `resnet5` is neither a file nor a shipped network\n" in err
    assert "help: did you mean `resnet50`?" in err


def test_errors_of_one_side_say_of_which() -> None:
    status, out, err = run("small.arch", "--set", "width=0")
    assert (status, out) == (2, "")
    assert err.startswith(
        "small.arch with width=0:\nsmall.arch:4:17: error[E205]: `channels` must be at least 1; found 0"
    )


def test_an_error_that_both_sides_have_is_shown_once() -> None:
    Path("wrong.arch").write_text(SMALL.replace("bn;", "bm;", 1))
    _, _, err = run("wrong.arch", "--set", "width=8")
    assert err.startswith("wrong.arch:4:30: error[E101]")
    assert err.count("error[E101]") == 1


def test_a_requirement_that_does_not_hold_is_status_2() -> None:
    Path("required.arch").write_text(SMALL.replace("    stem", '    require width < 8, "too wide"\n    stem'))
    status, out, err = run("required.arch", "--set", "width=8", "--exit-code")
    assert (status, out) == (2, "")
    assert "error[E602]" in err


def test_a_budget_that_a_side_cannot_have_is_an_error_of_it() -> None:
    text = SMALL.replace("3x4x4", "3x1x1").replace(
        "conv(width, 3x3); bn; relu }\n    stage", "conv(width, 3x3, padding=0); bn; relu }\n    stage"
    )
    Path("tight.arch").write_text(text)
    status, _, err = run("small.arch", "tight.arch")
    assert status == 2
    assert err.startswith("tight.arch:\ntight.arch:8:24: error[E303]: with an input of 3x1x1, ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet50"], "nothing to compare A with: give a second spec, or a setting (`--set NAME=VALUE`)"),
        (["resnet50", "--set", "width"], "`--set width` is not NAME=VALUE"),
        (["resnet50", "--set-a", "=3"], "`--set-a =3` is not NAME=VALUE"),
    ],
)
def test_a_command_that_says_nothing_is_an_error(arguments: list[str], message: str) -> None:
    assert run(*arguments) == (2, "", f"error: {message}\n")


def test_it_needs_nothing_that_is_slow_to_import() -> None:
    code = (
        "import sys; from resnext_dsl.cli.app import app; from typer.testing import CliRunner\n"
        "for form in ([], ['--json']):\n"
        "    assert CliRunner().invoke(app, ['diff', 'resnet18', 'resnet34', *form]).exit_code == 0\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'networkx', 'pydantic')))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
