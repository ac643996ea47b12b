"""Compares the checkout with an earlier commit in one run: text to graph, re-bind, a million candidates, `check`.

python benchmarks/against.py COMMIT [--rounds 20]

Two worker processes stay open, one for each checkout, and take turns; `check` is a new process each time. Only public
names are used, so the commit may have another layout of files. The figures are ratios of CPU time, this checkout over
the commit: a ratio below 1 means that this checkout is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from timing import interval

CHECKOUT = Path(__file__).parent.parent

LIMIT = 1.05
"""The largest ratio that counts as no slower."""

WORKER = """
import gc, itertools, json, sys, time
import numpy as np
import resnext_dsl as rx

space = rx.space("resnext50_32x4d")
values = itertools.cycle({"cardinality": 8, "width": width} for width in range(8, 33))
generator = np.random.default_rng(0)
count = 1_000_000
ends = np.full(count, 3)
depths = np.stack([ends, generator.integers(1, 9, count), generator.integers(1, 37, count), ends], axis=1)
columns = {
    "cardinality": 2 ** generator.integers(0, 7, count), "width": generator.integers(1, 65, count), "depths": depths
}
tasks = {
    "text to graph of resnext50_32x4d": lambda: [rx.load("resnext50_32x4d") for _ in range(20)],
    "text to graph of resnext50_32x4d_a": lambda: [rx.load("resnext50_32x4d_a") for _ in range(4)],
    "re-bind to cost": lambda: [space.bind(next(values)).cost() for _ in range(30)],
    "cost of a million candidates": lambda: space.cost(columns),
}
for task in tasks.values():
    task()
gc.collect()
gc.freeze()
print(json.dumps(list(tasks)), flush=True)
for name in sys.stdin:
    task = tasks[name.strip()]
    start = time.process_time()
    task()
    print(time.process_time() - start, flush=True)
"""

CHECK = "check as a process"


class Worker:
    """A process that runs tasks of one checkout."""

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._environment = _environment(checkout)
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self._environment, cwd=checkout,
        )  # fmt: skip
        self.tasks: list[str] = json.loads(self._line())

    def seconds(self, task: str) -> float:
        """CPU time of one run of a task."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{task}\n")
        self._process.stdin.flush()
        return float(self._line())

    def check(self) -> tuple[float, int]:
        """CPU time in seconds and peak memory in KiB of `resnext-dsl check` as a process."""
        command = [sys.executable, "-m", "resnext_dsl", "check", "resnext50_32x4d"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=self._environment, cwd=self._checkout)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"`check` ended with {process.returncode}")
        return used.ru_utime + used.ru_stime, used.ru_maxrss

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a worker ended with {self._process.wait()}")
        return line


def _environment(checkout: Path) -> dict[str, str]:
    """The environment of a process that imports the package of a checkout, with its bytecode cached."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}


@contextmanager
def checkout_of(commit: str) -> Iterator[Path]:
    """A checkout of a commit in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="resnext-dsl-against-") as folder:
        archive = subprocess.run(["git", "archive", commit], cwd=CHECKOUT, check=True, capture_output=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def ratios_of(ours: Worker, theirs: Worker, rounds: int) -> dict[str, tuple[list[float], list[float]]]:
    """Figures of each task in each round, of both checkouts; every other round begins with the other checkout."""
    figures: dict[str, tuple[list[float], list[float]]] = {
        name: ([], []) for name in [*ours.tasks, CHECK, "peak memory of check"]
    }
    for turn in range(rounds):
        order = [(0, ours), (1, theirs)] if turn % 2 else [(1, theirs), (0, ours)]
        for task in ours.tasks:
            for side, worker in order:
                figures[task][side].append(worker.seconds(task))
        for side, worker in order:
            seconds, peak = worker.check()
            figures[CHECK][side].append(seconds)
            figures["peak memory of check"][side].append(peak / 1024)
    return figures


def main() -> int:
    """Prints the ratios; 1 if one of them is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("commit", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=20, help="rounds, at least 3; 20 by default")
    asked = parser.parse_args()
    with checkout_of(asked.commit) as folder:
        ours, theirs = Worker(CHECKOUT), Worker(folder)
        try:
            figures = ratios_of(ours, theirs, max(asked.rounds, 3))
        finally:
            ours.close()
            theirs.close()
    slower = False
    for name, (one, other) in figures.items():
        middle, low, high = interval([a / b for a, b in zip(one, other, strict=True)])
        unit, factor = ("MiB", 1) if "memory" in name else ("ms", 1000)
        shown = (
            f"{factor * statistics.median(one):.1f} {unit} here, {factor * statistics.median(other):.1f} {unit} there"
        )
        print(f"{name}: {shown}, ratio {middle:.3f} (95%: {low:.3f} to {high:.3f})")
        slower |= low > LIMIT
    print(f"no ratio is above {LIMIT}" if not slower else f"a ratio is above {LIMIT}")
    return int(slower)


if __name__ == "__main__":
    sys.exit(main())
