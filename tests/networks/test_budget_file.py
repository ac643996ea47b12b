"""Budgets in a file of their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app

BUDGETS = "# of phones\nbudget { params <= 6M }\nbudget tight { params <= 5M; head.params <= 2M }\n"


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "phones.arch"
    path.write_text(BUDGETS)
    return path


def test_the_budgets_of_a_file_replace_those_of_the_network(file: Path) -> None:
    network = rx.loads("network n { input image: 3x8x8; conv(4, 3x3); budget { params <= 1 } }")
    with pytest.raises(rx.ArchError, match="network `n` has no part `head`"):
        network.with_budgets(file)
    network = rx.load("efficientnet_b0").with_budgets(file)
    lines = [(line.limit.budget, line.limit.subject, line.limit.bound, line.met) for line in network.usage()]
    assert lines == [
        ("", "params", 6_000_000, True),
        ("tight", "params", 5_000_000, False),
        ("tight", "head.params", 2_000_000, True),
    ]
    with pytest.raises(rx.BudgetError) as caught:
        network.check("tight")
    (exceeded,) = caught.value.diagnostics
    assert exceeded.span is not None
    assert (exceeded.span.source.name, exceeded.span.line, exceeded.span.column) == (str(file), 3, 16)


def test_bounds_may_use_the_parameters_of_the_network(file: Path) -> None:
    file.write_text("budget { head.params <= classes * 2049 }")
    assert rx.load("resnet50").with_budgets(file).check()[0].limit.bound == 2_049_000
    assert rx.load("resnet50", classes=10).with_budgets(file).check()[0].limit.bound == 20_490


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("relu", "E105", ":1:1: error[E105]: a file of budgets has `budget` blocks only"),
        ("network n { relu }", "E105", ":1:1: error[E105]: a file of budgets has `budget` blocks only"),
        ("# nothing", "E105", "the file has no budget"),
        ("budget tight", "E002", "1:13: error[E002]: found the end of the file, expected `(` or `{`"),
        ("budget { params <= wdth }", "E101", "1:20: error[E101]: unknown name `wdth`"),
        ("budget { params <= 3 }\nbudget { params <= 4 }", "E102", "a second budget without a name"),
        ("budget { parms <= 3 }", "E208", "did you mean `params`?"),
        ("budget { heed.params <= 3 }", "E101", "did you mean `head`?"),
        ("}", "E003", "`}` has no opening bracket"),
    ],
)
def test_a_wrong_file_of_budgets(text: str, code: str, message: str, file: Path) -> None:
    file.write_text(text)
    with pytest.raises(rx.ArchError) as caught:
        rx.load("resnet18").with_budgets(file)
    assert caught.value.diagnostics[0].code == code
    assert message in str(caught.value)


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.usefixtures("file")
def test_check_takes_a_file_of_budgets() -> None:
    status, out, err = run("check", "efficientnet_b0", "--budget", "phones.arch")
    assert status == 1
    assert "budget: params 5,288,548 <= 6,000,000 (88.1%) ok\nbudget tight: params 5,288,548 <= 5,000,000" in out
    assert "phones.arch:3:16: error[E601]" in err
    status, out, _ = run("check", "resnet18", "--budget", "phones.arch", "--budget", "tight")
    assert (status, out.count("budget tight: ")) == (1, 2)
    assert "budget: " not in out


@pytest.mark.usefixtures("file")
def test_a_command_takes_one_file_of_budgets() -> None:
    status, _, err = run("check", "resnet18", "--budget", "phones.arch", "--budget", "tablets.arch")
    assert (status, err) == (2, "error: `--budget` has two files: `phones.arch` and `tablets.arch`\n")
    status, _, err = run("compile", "resnet18", "--budget", "missing.arch", "-o", "-")
    assert status == 2
    assert "missing.arch: error[E505]: there is no file `missing.arch`" in err
