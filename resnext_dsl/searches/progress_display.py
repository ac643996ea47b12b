"""Shows the progress of a search on a terminal, and prints its results."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from resnext_dsl.searches.found import Found
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import Stage
from resnext_dsl.searches.propose import front_of
from resnext_dsl.searches.trials import Standing
from resnext_dsl.spaces.candidate import text_of

MOST = 20
"""Rows of the front that are printed."""


class Progress:
    """The progress line of a search on a terminal: results, best so far, front, rate, time left."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._live = Live(console=Console(stderr=True), refresh_per_second=4, transient=True)
        self._began = time.monotonic()
        self._before: int | None = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def __call__(self, now: Standing, stages: list[Stage]) -> None:
        """Shows the progress line."""
        self._live.update(Text(self.line(now, stages)))

    def line(self, now: Standing, stages: Sequence[Stage] = ()) -> str:
        """The progress on one line; before the first trial, the progress of the last stage."""
        if stages and not now.counted:
            return f"{stages[-1].name}: {stages[-1].went:,} of {stages[-1].came:,}"
        plan, results = self._plan, len(now.done) + len(now.failed)
        self._before = results if self._before is None else self._before
        seconds = max(time.monotonic() - self._began, 1e-9)
        rate = (results - self._before) / seconds
        parts = [f"{results}/{plan.trials} trials", f"{len(now.running)} running"]
        if now.failed:
            parts.append(f"{len(now.failed)} failed")
        if now.done:
            parts += self._best(now)
        if rate > 0:
            parts += [f"{3600 * rate:,.0f} an hour", f"{_duration((plan.trials - results) / rate)} left"]
        return " · ".join(parts)

    def _best(self, now: Standing) -> list[str]:
        """The best value of the first objective, and the size of the front."""
        front = front_of(now.done, self._plan.directions)
        if not front:
            return ["no result meets the constraints yet"]
        sign = -1 if self._plan.directions[0] == "maximize" else 1
        best = min((trial.values[0] for trial in front), key=lambda value: sign * value)
        return [f"best {self._plan.objectives[0]} {_number(best)}", f"front {len(front)}"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.5g}"


def print_results(results: Found) -> None:
    """Prints the stages, the front as a table, and the failures."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for stage in results.stages:
        console.print(f"{stage.name}: {stage.came:,} in, {stage.went:,} on", highlight=False)
    failed = f", {len(results.failures)} failed" if results.failures else ""
    state = " (stopped; the same command goes on)" if results.stopped else ""
    state = " (the space has no more candidates)" if results.exhausted else state
    console.print(f"{results.space.network.name}: {len(results.trials)} results{failed}{state}", highlight=False)
    if results.devices:
        console.print(f"evaluated on {devices_text(results)}", highlight=False, markup=False)
    outside = sum(not trial.feasible for trial in results.trials)
    if outside:
        console.print(f"{outside} of them miss {' or '.join(results.plan.constrain)}", highlight=False, markup=False)
    if results.front:
        console.print(_table(results), highlight=False)
    if len(results.front) > MOST:
        console.print(f"and {len(results.front) - MOST} more on the front", highlight=False)
    for reason, count in _reasons(results)[:5]:
        console.print(f"failed {count}: {reason}", highlight=False, markup=False)


def devices_text(results: Found) -> str:
    """The devices of the results: `cuda:0 (12), cpu (3)`."""
    return ", ".join(f"{device} ({count})" for device, count in results.devices.items())


def _table(results: Found) -> Table:
    names = list(dict.fromkeys(dimension.parameter for dimension in results.space.dimensions))
    table = Table(title="front" if len(results.plan.objectives) > 1 else "best", title_justify="left", box=None)
    table.add_column("trial", justify="right")
    for name in (*results.plan.objectives, *names):
        table.add_column(name, justify="right")
    for trial in results.front[:MOST]:
        values = [_number(value) for value in trial.values]
        settings = [text_of(trial.candidate[name]) if name in trial.candidate else "" for name in names]
        table.add_row(str(trial.number), *values, *settings)
    return table


def _reasons(results: Found) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for failure in results.failures:
        counts[failure.reason] = counts.get(failure.reason, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


def answer(results: Found) -> dict[str, Any]:
    """The answer of `search --json`."""
    front = {trial.number for trial in results.front}
    return {
        "network": results.space.network.name,
        "objectives": dict(zip(results.plan.objectives, results.plan.directions, strict=True)),
        "stages": [stage._asdict() for stage in results.stages],
        "stopped": results.stopped,
        "exhausted": results.exhausted,
        "front": [trial.number for trial in results.front],
        "trials": [
            {
                "number": trial.number,
                "candidate": trial.candidate.to_json(),
                "metrics": dict(trial.metrics),
                "on_front": trial.number in front,
                "feasible": trial.feasible,
                "seconds": trial.seconds,
                "device": trial.device,
            }
            for trial in results.trials
        ],
        "failures": [
            {"number": failure.number, "candidate": failure.candidate.to_json(), "reason": failure.reason}
            for failure in results.failures
        ],
    }
