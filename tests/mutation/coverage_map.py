"""The map from lines of the package to the tests that run them, with the seconds of each test.

A test file is measured on its own and its part of the map kept in `build/mutation`, until the file changes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests.mutation.forked import Copy, OverrunError, pytest_arguments, run_forked, time_limit
from tests.mutation.mutants import Mutant
from tests.mutation.sampling import FOLDERS

LONGEST = 2.0
"""Seconds of the processor after which a test is left out of the map, and the later cases of its function with it."""

LONGEST_CLOCK = 20.0
"""Seconds of the clock, likewise."""

EXAMPLES = 10
"""Examples of a property test in the measurement: enough for its lines. Its seconds are scaled to those of a run."""

EXAMPLES_OF_A_RUN = 60
"""Examples of a property test in the run of a mutant."""

FILE_BUDGET = 30.0
"""Seconds of the processor for the tests of one file: one case of each function first, then the second of each."""

QUICK_FILE_BUDGET = 8.0
"""The same in a run with a time limit, which needs the map of many files at once."""

FILE_LIMIT = 600.0
"""Seconds of the clock, likewise."""


def reduced(item: pytest.Item, most: int) -> int:
    """Sets an upper limit for the examples of a property test; returns their number before, 0 for another test."""
    test = getattr(item, "obj", None)
    test = getattr(test, "__func__", test)
    kept = getattr(test, "_hypothesis_internal_use_settings", None)
    if kept is None:
        return 0
    test._hypothesis_internal_use_settings = settings(kept, max_examples=min(kept.max_examples, most))
    return int(kept.max_examples)


class Measuring:
    """A plugin of pytest that records the lines and the seconds of each test."""

    def __init__(self, measured: Any, budget: float) -> None:
        self.coverage = measured
        self.seconds: dict[str, float] = {}
        self.clock: dict[str, float] = {}
        self.left_out: dict[str, str] = {}
        self.slow: set[str] = set()
        self.scales: dict[str, float] = {}
        self.end = time.process_time() + budget

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Puts one case of each function first, and reduces the examples of property tests."""
        ranks: Counter[str] = Counter()
        places = {}
        for place, item in enumerate(items):
            function = item.nodeid.partition("[")[0]
            places[item.nodeid] = ranks[function], place
            ranks[function] += 1
            if examples := reduced(item, EXAMPLES):
                self.scales[item.nodeid] = max(min(examples, EXAMPLES_OF_A_RUN) / EXAMPLES, 1)
        items.sort(key=lambda item: places[item.nodeid])

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        if item.nodeid.partition("[")[0] in self.slow:
            pytest.skip("slow, as an earlier case is")
        if time.process_time() > self.end:
            pytest.skip("the file's time is over")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self.coverage.switch_context(item.nodeid)
        started, began = time.process_time(), time.monotonic()
        try:
            return (yield)
        finally:
            self.coverage.switch_context("")
            scale = self.scales.get(item.nodeid, 1)
            self.seconds[item.nodeid] = round(scale * (time.process_time() - started), 3)
            self.clock[item.nodeid] = round(scale * (time.monotonic() - began), 3)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        try:
            with time_limit(LONGEST, LONGEST_CLOCK):
                return (yield)
        except OverrunError:
            self.left_out[item.nodeid] = "slow"
            self.slow.add(item.nodeid.partition("[")[0])
            raise

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.outcome != "passed":
            self.left_out.setdefault(report.nodeid, report.outcome)


def measure(copy: Copy, test_file: str, budget: float) -> dict[str, Any]:
    """The map's part of one test file, from tests of so many seconds; runs in a child."""
    import coverage

    measured = coverage.Coverage(
        data_file=None,
        include=[str(copy.root / "resnext_dsl" / folder / "*") for folder in FOLDERS],
        config_file=False,
        messages=False,
    )
    measured.start()
    plugin = Measuring(measured, budget)
    # A test that is stopped leaves files and processes open. The next tests must not fail because of them.
    unclosed = ("-W", "ignore::pytest.PytestUnraisableExceptionWarning")
    status = int(pytest.main([*pytest_arguments(copy, [test_file]), *unclosed], plugins=[plugin]))
    measured.stop()
    tests = [name for name in plugin.seconds if name not in plugin.left_out]
    numbers = {name: number for number, name in enumerate(tests)}
    lines: dict[str, dict[str, list[int]]] = {}
    content = measured.get_data()
    for file in content.measured_files():
        by_line = content.contexts_by_lineno(file)
        path = Path(file).relative_to(copy.root).as_posix()
        rows = {
            str(line): sorted(numbers[context] for context in contexts if context in numbers)
            for line, contexts in by_line.items()
        }
        lines[path] = {line: row for line, row in rows.items() if row}
    return {
        "status": status,
        "budget": budget,
        "tests": {name: [plugin.seconds[name], plugin.clock[name]] for name in tests},
        "left_out": plugin.left_out,
        "lines": lines,
    }


@dataclass(slots=True)
class CoverageMap:
    """Lines of the package and the tests that run them.

    Attributes:
        lines: Tests by module and line.
        seconds: Seconds of the processor and of the clock by test.
        unmeasured: Test files of the mirror folder that the time did not suffice to measure.
    """

    lines: dict[str, dict[int, set[str]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(set)))
    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)
    unmeasured: list[str] = field(default_factory=list)

    def add(self, part: dict[str, Any], digests: dict[str, str]) -> None:
        """Adds the tests of a file. Lines of a module that has changed since then stand as line 0."""
        tests = list(part["tests"])
        self.seconds.update({name: (seconds[0], seconds[1]) for name, seconds in part["tests"].items()})
        for path, rows in part["lines"].items():
            is_known = part["modules"].get(path) == digests.get(path)
            for line, numbers in rows.items():
                self.lines[path][int(line) if is_known else 0].update(tests[number] for number in numbers)

    def drop(self, tests: Iterable[str]) -> None:
        """Leaves tests out of every selection."""
        dropped = set(tests)
        for rows in self.lines.values():
            for line in rows:
                rows[line] -= dropped

    def selection(self, mutant: Mutant, budget: tuple[float, float], *, by_clock: bool = False) -> list[str]:
        """Tests for a mutant: first those of its line, then others of its module.

        Of each test function the fastest case comes first, then the second of each, and so on.

        Args:
            mutant: A change of a module.
            budget: Seconds for the tests of the line, and for the others of the module.
            by_clock: Whether these are seconds of the clock, not of the processor.
        """
        rows = self.lines.get(mutant.path, {})
        near: set[str] = set()
        for line in mutant.lines:
            near = near or set(rows.get(line, ()))
        others = {name for row in rows.values() for name in row} - near
        if not near:  # a line that runs on import
            return self._affordable(others, budget[0], by_clock, mutant.original)
        return [*self._affordable(near, budget[0], by_clock), *self._affordable(others, budget[1], by_clock)]

    def _affordable(self, tests: Iterable[str], budget: float, by_clock: bool, row: str = "") -> list[str]:
        """The tests that the budget suffices for. Cases with the name of a table's row come first."""
        ranks: dict[str, int] = defaultdict(int)
        ranked = []
        costs = {name: self.seconds[name][by_clock] for name in tests}
        for name in sorted(costs, key=lambda name: (costs[name], name)):
            function, _, case = name.rstrip("]").partition("[")
            is_named = bool(case) and f"'{case}'" in row
            ranked.append((-1 if is_named else ranks[function], costs[name], name))
            ranks[function] += 1
        chosen = []
        for _, cost, name in sorted(ranked):
            budget -= cost + 0.02
            if budget < 0 and chosen:
                break
            chosen.append(name)
        return chosen


def digest(path: Path) -> str:
    """Identifies the content of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


class MapStore:
    """The parts of the map, as files of a folder."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.folder = folder
        self.checkout = checkout
        self.digests: dict[str, str] = {
            path.relative_to(checkout).as_posix(): digest(path)
            for name in FOLDERS
            for path in sorted((checkout / "resnext_dsl" / name).rglob("*.py"))
        }

    def file_of(self, test_file: str) -> Path:
        return self.folder / (test_file.replace("/", "-") + ".json")

    def load(self, test_file: str, budget: float = FILE_BUDGET) -> dict[str, Any] | None:
        """The part of a test file, if it was measured with its present content and so much time, or more."""
        path = self.file_of(test_file)
        if not path.exists():
            return None
        part: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        file = self.checkout / test_file
        is_known = file.exists() and part["digest"] == digest(file) and part.get("budget", FILE_BUDGET) >= budget
        return part if is_known else None

    def kept(self) -> list[str]:
        """The test files that have a part."""
        return [json.loads(path.read_text(encoding="utf-8"))["file"] for path in sorted(self.folder.glob("*.json"))]

    def remake(
        self, copy: Copy, test_file: str, limit: float = FILE_LIMIT, budget: float = FILE_BUDGET
    ) -> dict[str, Any] | None:
        """Measures a test file and keeps its part; None if it outlasts the limit or its process dies."""
        part = run_forked(lambda: measure(copy, test_file, budget), copy, limit)
        if not part:
            return None
        if "error" in part:
            raise RuntimeError(part["error"])
        part["file"] = test_file
        part["digest"] = digest(self.checkout / test_file)
        part["modules"] = {path: self.digests.get(path, "") for path in part["lines"]}
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file_of(test_file).write_text(json.dumps(part), encoding="utf-8")
        return part


def mirror_files(checkout: Path, folders: Sequence[str]) -> list[str]:
    """The test files of some folders, by the folders of the package that they mirror."""
    return [
        path.relative_to(checkout).as_posix()
        for folder in folders
        for path in sorted((checkout / "tests" / folder).rglob("test_*.py"))
    ]


def likely_first(checkout: Path, test_files: Iterable[str], modules: Iterable[str]) -> list[str]:
    """Test files in the order of their likely worth for some modules.

    The worth is the number of names of the modules in the text of the test file, for each kilobyte of it.
    """
    names = set()
    for module in modules:
        path = checkout / module
        names.add(path.stem)
        body = ast.parse(path.read_text(encoding="utf-8")).body
        names |= {node.name for node in body if isinstance(node, ast.FunctionDef | ast.ClassDef)}

    def worth(test_file: str) -> float:
        text = (checkout / test_file).read_text(encoding="utf-8")
        return len(names & set(re.findall(r"\w+", text))) / (2 + len(text) / 1000)

    return sorted(test_files, key=lambda test_file: (-worth(test_file), test_file))
