"""`resnext-dsl compile`: what is written, when nothing is, and fvcore's count against ours."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_spec import SMALL
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.costs import fvcore_count as measure
from resnext_dsl.costs.closed_form import Cost


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["compile", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_the_source_is_written_under_the_networks_name(folder: Path) -> None:
    status, out, err = run("small.arch")
    assert (status, err) == (0, "")
    assert "budget: params 126 <= 150 (84.0%) ok" in out
    assert "wrote small.py" in out
    assert (folder / "small.py").read_text() == rx.load(folder / "small.arch").emit()


def test_the_written_source_runs_without_the_tool(folder: Path) -> None:
    run("small.arch", "-o", "model.py")
    program = (
        "import sys; sys.modules['resnext_dsl'] = None\n"
        "import torch, model\n"
        "print(tuple(model.Small()(torch.zeros(2, 3, 8, 8)).shape))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, check=True)
    assert done.stdout == "(2, 2)\n"


def test_a_dash_prints_the_source_alone(folder: Path) -> None:
    status, out, err = run("small.arch", "-o", "-")
    assert status == 0
    assert out == rx.load("small.arch").emit()
    assert "budget: params" in err
    assert sorted(path.name for path in folder.iterdir()) == ["small.arch"]


def test_nothing_is_written_where_a_budget_is_exceeded(folder: Path) -> None:
    status, out, err = run("small.arch", "--set", "width=32")
    assert status == 1
    assert "EXCEEDED" in out
    assert "error[E601]: `params` is 994 (+562.7%); the limit is <= 150" in err
    assert sorted(path.name for path in folder.iterdir()) == ["small.arch"]


def test_the_budgets_that_are_named_are_held(folder: Path) -> None:
    Path("small.arch").write_text(SMALL.replace("budget {", "budget strict { params <= 1 }; budget loose {"))
    assert run("small.arch")[0] == 1
    status, out, err = run("small.arch", "--budget", "loos")
    assert (status, out) == (2, "")
    assert err == "small.arch: error[E101]: unknown budget `loos`\n  help: did you mean `loose`?\n"
    assert not Path("small.py").exists()
    status, out, _ = run("small.arch", "--budget", "loose")
    assert status == 0
    assert "budget loose: params 126 <= 150 (84.0%) ok" in out
    assert "strict" not in out


def test_nothing_is_written_where_the_spec_is_wrong(folder: Path) -> None:
    Path("small.arch").write_text(SMALL.replace("bn;", "bm;"))
    status, out, err = run("small.arch", "-o", "model.py")
    assert (status, out) == (2, "")
    assert "error[E101]: unknown operator or template `bm`" in err
    assert not Path("model.py").exists()


def test_a_folder_that_is_missing_is_one_line(folder: Path) -> None:
    status, _, err = run("small.arch", "-o", "missing/model.py")
    assert status == 2
    assert err == "missing/model.py: error[E704]: the file cannot be written: no such file or directory\n"


def test_an_old_file_is_replaced_in_one_step(folder: Path) -> None:
    Path("small.py").write_text("old")
    assert run("small.arch")[0] == 0
    assert sorted(path.name for path in folder.iterdir()) == ["small.arch", "small.py"]
    assert "class Small" in Path("small.py").read_text()


def test_json_names_the_file_and_the_fingerprint(folder: Path) -> None:
    status, out, _ = run("small.arch", "--json")
    answer = json.loads(out)
    assert status == 0
    assert answer == {"ok": True, "name": "small", "file": "small.py", "fingerprint": rx.load("small.arch").fingerprint}


def test_two_counts_that_differ_are_an_internal_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted = measure.measure

    def wrong(model: torch.nn.Module, shape: tuple[int, ...]) -> measure.FvcoreCount:
        measured = counted(model, shape)
        return measure.FvcoreCount(measured.cost + Cost(flops=1), measured.flops_by_operator)

    monkeypatch.setattr(measure, "measure", wrong)
    status, _, err = run("small.arch")
    assert status == 3
    assert "error[E801]: two counts of the same network differ: flops 7,688 in closed form, 7,689 by fvcore" in err
    assert not Path("small.py").exists()


PATHS = """\
network paths {
    input image: 8x6x6
    stage s {
        split 4 { conv(2, 1x1); relu; conv(8, 3x3) } merge add
        split { path { conv(4, 1x1) } path { conv(4, 3x3) } } merge concat
    }
    head { avgpool(global); flatten; linear(2) }
}
"""


def test_explain_says_what_became_one_and_what_did_not(folder: Path) -> None:
    (folder / "paths.arch").write_text(PATHS)
    status, out, err = run("paths.arch", "--explain")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    start = next(place for place, text in enumerate(lines) if text.startswith("rewritten"))
    assert lines[start:-1] == [
        "rewritten: `s.add` at paths.arch:4:60: same_input, channelwise, sum_of_convolutions (4 into one)",
        "left alone: `s.concat` at paths.arch:5:69: `kernel` of `conv` is 1x1 in one path and 3x3 in another "
        "(paths.arch:5:46)",
        "operators 19 -> 9, kernel launches 20 -> 8, bytes read and written 30,480 -> 17,808 (float32, batch 1)",
        "params 978, unchanged",
        "macs 34,576, unchanged",
    ]


def test_explain_is_data_too(folder: Path) -> None:
    (folder / "paths.arch").write_text(PATHS)
    status, out, _ = run("paths.arch", "--explain", "--json")
    report = json.loads(out)["rewriting"]
    assert status == 0
    assert [(fired["place"], fired["number"], fired["line"]) for fired in report["fired"]] == [("s.add", 4, 4)]
    assert [(left["place"], left["line"], left["cause"]["column"]) for left in report["left"]] == [("s.concat", 5, 46)]
    assert report["before"]["params"] == report["after"]["params"]
    assert report["invertible"] is True


@pytest.mark.parametrize("form", ["written", "a", "b", "c", "fastest"])
def test_every_form_can_be_written(folder: Path, form: str) -> None:
    text = PATHS.replace("conv(8, 3x3)", "conv(8, 3x3, groups=1); relu; conv(8, 3x3)").replace(
        "merge add", "merge concat"
    )
    (folder / "paths.arch").write_text(text)
    status, _, _ = run("paths.arch", "--form", form, "-o", "model.py")
    assert status == 0
    assert (folder / "model.py").read_text() == rx.load("paths.arch").emit(form=form)


def test_a_form_that_the_network_does_not_have_is_one_error(folder: Path) -> None:
    status, _, err = run("small.arch", "--form", "a", "-o", "model.py")
    assert status == 2
    assert err.startswith(
        "small.arch:1:9: error[E608]: the network cannot be spelled in form (a): no grouped convolution can become "
        "paths\n"
    )
    assert err.endswith("help: forms: written, c, fastest\n")
    assert not (folder / "model.py").exists()
