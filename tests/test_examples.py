"""The examples that train: their networks are as the page shows them; training them takes longer than a test may."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import resnext_dsl as rx

CHECKOUT = Path(__file__).parent.parent
PAGE = (CHECKOUT / "docs" / "train.md").read_text()


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(CHECKOUT / "examples")


def test_networks_compared_by_cardinality_are_those_of_the_page() -> None:
    import cardinality

    compared = cardinality.variants()
    for row in compared:
        assert f"| {row.group} | {row.name} | {row.flops:,} | {row.params:,} |" in PAGE
        assert rx.load(cardinality.SPEC, **row.settings).cost().flops == row.flops
    one = rx.load(cardinality.SPEC).cost().flops
    for row in compared:
        assert row.flops / one == pytest.approx(2 if "twice" in row.group else 1, rel=0.1)


def test_intervals_are_those_of_students_t() -> None:
    import cardinality
    from scipy import stats

    values = np.random.default_rng(0).normal(size=9)
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    assert 2 * cardinality.interval(values) == pytest.approx(high - low)


def test_the_regular_networks_follow_the_rules_and_all_are_in_the_box() -> None:
    import error_distributions

    for name, regular in error_distributions.SPACES.items():
        sample = rx.space(error_distributions.SPEC, regular=regular).sample(30)
        assert all(100_000 <= flops <= 200_000 for flops in sample.costs["flops"]), name
        if regular:
            assert all(c["channels"][0] <= c["channels"][1] and c["depths"][0] <= c["depths"][1] for c in sample)
            assert all(len(set(c["ratios"])) == len(set(c["groups"])) == 1 for c in sample)


@pytest.mark.slow
def test_distributions_of_a_few_networks(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import error_distributions

    arguments = ["error_distributions.py", "--count", "2", "--processes", "1", "--plot", str(tmp_path / "plot.svg")]
    monkeypatch.setattr(sys, "argv", arguments)
    error_distributions.main()
    assert re.findall(r"^\| (\w+) \| \d", capsys.readouterr().out, re.MULTILINE) == ["AnyNet", "regular"]
    assert (tmp_path / "plot.svg").read_text().startswith("<?xml")


def run_example(name: str, folder: Path, *arguments: str) -> str:
    command = [sys.executable, str(CHECKOUT / "examples" / name), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_search_in_less_than_forty_lines(tmp_path: Path) -> None:
    assert len((CHECKOUT / "examples" / "search_digits.py").read_text().splitlines()) < 40
    first, *front = run_example("search_digits.py", tmp_path, "--trials", "2").splitlines()
    assert first == "2 networks trained, each in the box and each another"
    assert front
    for line in front:
        flags = shlex.split(re.fullmatch(r"[\d.]+%  ([\d,]+) FLOPs  (--set .*)", line)[2])
        network = rx.load(CHECKOUT / "examples" / "families.arch", **dict(flag.split("=") for flag in flags[1::2]))
        network.check("box")
        assert f"{network.cost().flops:,} FLOPs" in line
    assert {path.name for path in tmp_path.iterdir()} >= {"search_digits.db", "search_digits.html"}


@pytest.mark.slow
def test_the_same_in_plain_optuna(tmp_path: Path) -> None:
    first = run_example("search_optuna.py", tmp_path, "--trials", "3").splitlines()[0]
    assert re.fullmatch(r"3 trials: \d are no networks, \d are outside the box", first)
