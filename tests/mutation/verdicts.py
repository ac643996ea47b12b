"""The verdict on a mutant: a run of the tests that cover it, or an entry of the list of equivalent mutants."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.mutation.coverage_map import (
    EXAMPLES_OF_A_RUN,
    FILE_LIMIT,
    CoverageMap,
    reduced,
)
from tests.mutation.forked import Copy, OverrunError, pytest_arguments, run_forked, time_limit
from tests.mutation.mutants import Mutant

Outcome = Literal["noticed", "timed out", "missed", "equivalent"]

FIRST = 25
"""Tests of the first run of a mutant; most mutants need no second run."""

BUDGET = (15.0, 6.0)
"""Seconds of the processor for the tests of a mutant's line, and for others of its module."""

START = 4.0
"""Seconds that a run with a time limit reserves for the imports of a mutant's tests."""

LEAST_TIME = (5.0, 30.0)
"""Seconds of the processor and of the clock that any test may take, beside a multiple of its measured seconds."""

UNMEASURED_TIME = (60.0, 30.0)
"""Seconds in place of the measured ones."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of a mutant.

    Attributes:
        mutant: The change.
        outcome: `noticed`, `timed out`, `missed` or `equivalent`.
        reason: The test that failed, or the reason of the equivalence.
    """

    mutant: Mutant
    outcome: Outcome
    reason: str = ""


class Running:
    """A plugin of pytest that runs chosen tests in their order, or every test of some files."""

    def __init__(self, tests: list[str], coverage_map: CoverageMap) -> None:
        self.order = {name.partition("::")[2] and name: place for place, name in enumerate(tests)}
        self.seconds = coverage_map.seconds
        self.failed: list[str] = []
        self.overran = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        if "" not in self.order:
            chosen = [item for item in items if item.nodeid in self.order]
            items[:] = sorted(chosen, key=lambda item: self.order[item.nodeid])
        for item in items:
            reduced(item, EXAMPLES_OF_A_RUN)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        processor, clock = self.seconds.get(item.nodeid, UNMEASURED_TIME)
        try:
            with time_limit(LEAST_TIME[0] + 5 * processor, LEAST_TIME[1] + 10 * clock):
                return (yield)
        except OverrunError:
            self.overran = True
            raise

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome == "failed":
            self.failed.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.outcome == "failed":
            self.failed.append(report.nodeid)


def run_tests(copy: Copy, tests: list[str], coverage_map: CoverageMap, *, stops: bool = True) -> dict[str, Any]:
    """Runs some tests, until the first fails or all of them; called in a child."""
    settings.register_profile(
        "mutation",
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],  # a failure is reported without the search for a smaller example
        suppress_health_check=list(HealthCheck),
    )
    plugin = Running(tests, coverage_map)
    files = list(dict.fromkeys(name.partition("::")[0] for name in tests))
    options = ["--hypothesis-profile=mutation", *(["-x"] if stops else [])]
    status = int(pytest.main([*pytest_arguments(copy, files), *options], plugins=[plugin]))
    return {"status": status, "failed": plugin.failed, "overran": plugin.overran}


def failing(copy: Copy, tests: list[str], coverage_map: CoverageMap) -> set[str]:
    """The tests that fail on the package as it is, in a run like that of a mutant: they tell nothing of a mutant."""
    if not tests:
        return set()
    answer = run_forked(lambda: run_tests(copy, tests, coverage_map, stops=False), copy, FILE_LIMIT) or {}
    if "error" in answer:
        raise RuntimeError(answer["error"])
    return set(answer["failed"]) if answer else set(tests)


def judge(
    copy: Copy,
    mutant: Mutant,
    coverage_map: CoverageMap,
    end: float = float("inf"),
    share: float | None = None,
) -> Verdict | None:
    """Runs the tests of a mutant: the first few, the others, files without a measurement.

    Args:
        copy: The copy of the checkout.
        mutant: The change.
        coverage_map: The tests of each line.
        end: The end of the time, of the clock.
        share: Seconds for this mutant in a run with a time limit: the fastest measured tests that they suffice for
            run at once, and files without a measurement only if no test has one.

    Returns:
        The verdict; None if `end` comes before it.
    """
    first, unmeasured, longest = FIRST, coverage_map.unmeasured, 400.0
    if share is None:
        selected = coverage_map.selection(mutant, BUDGET)
    else:
        selected = coverage_map.selection(mutant, budget_of(share), by_clock=True)
        first, longest = len(selected), 2 * share + LEAST_TIME[1]
        unmeasured = [] if selected else unmeasured
    source = (copy.root / mutant.path).read_bytes()
    seconds = coverage_map.seconds
    with copy.changed(mutant.path, mutant.applied(source)):
        for tests in (selected[:first], selected[first:], unmeasured):
            if not tests:
                continue
            limit = min(60 + sum(10 * seconds.get(name, (0, FILE_LIMIT))[1] for name in tests), longest)
            left = end - time.monotonic()
            answer = run_forked(lambda tests=tests: run_tests(copy, tests, coverage_map), copy, min(limit, left))
            if answer is None and (left < limit or share is not None or tests is unmeasured):
                return None
            if answer is None:
                return Verdict(mutant, "timed out", f"over {limit:.0f} s")
            if answer.get("overran"):
                return Verdict(mutant, "timed out", answer["failed"][0])
            if "error" in answer:
                raise RuntimeError(answer["error"])
            if not answer:
                return Verdict(mutant, "noticed", "the process died")
            if answer["status"] != 0:
                return Verdict(mutant, "noticed", (answer["failed"] or [f"status {answer['status']} of pytest"])[0])
    return Verdict(mutant, "missed", f"{len(selected)} tests pass")


EQUIVALENT = Path(__file__).with_name("equivalent.toml")
"""The mutants that no test can notice, each with its reason."""


def equivalents(path: Path = EQUIVALENT) -> dict[tuple[str, str, str, str], str]:
    """Reasons by the keys of mutants."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    return {(e["path"], e["function"], e["original"], e["mutated"]): e["reason"] for e in entries}


class Results:
    """Verdicts in a file of lines, written one by one: an interrupted run goes on from there."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.known: dict[tuple[str, ...], tuple[Outcome, str]] = {}
        if path and path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                row = json.loads(line)
                self.known[tuple(row["key"])] = row["outcome"], row["reason"]

    def add(self, verdict: Verdict) -> None:
        """Keeps a verdict."""
        self.known[verdict.mutant.key] = verdict.outcome, verdict.reason
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            row = {"key": verdict.mutant.key, "outcome": verdict.outcome, "reason": verdict.reason}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def budget_of(share: float) -> tuple[float, float]:
    """Seconds for the tests of the line, and for others of the module, of a mutant that has a share of a time limit."""
    left = max(share - START, 1.0)
    return min(BUDGET[0], 0.7 * left), min(BUDGET[1], 0.3 * left)
