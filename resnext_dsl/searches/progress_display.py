"""Shows a search: how it stands while it runs, on a terminal only, and what it has found."""

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
    """The live line of a search, on a terminal: results, best so far, front, rate, time left."""

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
        """Shows where the search stands."""
        self._live.update(Text(self.line(now, stages)))

    def line(self, now: Standing, stages: Sequence[Stage] = ()) -> str:
        """Where the search stands, on one line; before there is a trial, where the last stage does."""
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
        """The best of the first objective, and how many are on the front."""
        front = front_of(now.done, self._plan.directions)
        if not front:
            return ["none keeps the constraints yet"]
        sign = -1 if self._plan.directions[0] == "maximize" else 1
        best = min((trial.values[0] for trial in front), key=lambda value: sign * value)
        return [f"best {self._plan.objectives[0]} {_number(best)}", f"front {len(front)}"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.5g}"


def print_found(found: Found) -> None:
    """The stages, the front as a table, and what failed."""
    console = Console(width=None if sys.stdout.isatty() else 160)
    for stage in found.stages:
        console.print(f"{stage.name}: {stage.came:,} in, {stage.went:,} on", highlight=False)
    failed = f", {len(found.failures)} failed" if found.failures else ""
    state = " (stopped; the same command goes on)" if found.stopped else ""
    state = " (the space has no more)" if found.exhausted else state
    console.print(f"{found.space.network.name}: {len(found.trials)} results{failed}{state}", highlight=False)
    if found.devices:
        console.print(f"evaluated on {devices_text(found)}", highlight=False, markup=False)
    outside = sum(not trial.feasible for trial in found.trials)
    if outside:
        console.print(f"{outside} of them miss {' or '.join(found.plan.constrain)}", highlight=False, markup=False)
    if found.front:
        console.print(_table(found), highlight=False)
    if len(found.front) > MOST:
        console.print(f"and {len(found.front) - MOST} more on the front", highlight=False)
    for reason, count in _reasons(found)[:5]:
        console.print(f"failed {count}: {reason}", highlight=False, markup=False)


def devices_text(found: Found) -> str:
    """The devices of the results: `cuda:0 (12), cpu (3)`."""
    return ", ".join(f"{device} ({count})" for device, count in found.devices.items())


def _table(found: Found) -> Table:
    names = list(dict.fromkeys(dimension.parameter for dimension in found.space.dimensions))
    table = Table(title="front" if len(found.plan.objectives) > 1 else "best", title_justify="left", box=None)
    table.add_column("trial", justify="right")
    for name in (*found.plan.objectives, *names):
        table.add_column(name, justify="right")
    for trial in found.front[:MOST]:
        values = [_number(value) for value in trial.values]
        settings = [text_of(trial.candidate[name]) if name in trial.candidate else "" for name in names]
        table.add_row(str(trial.number), *values, *settings)
    return table


def _reasons(found: Found) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for failure in found.failures:
        counts[failure.reason] = counts.get(failure.reason, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])


def answer(found: Found) -> dict[str, Any]:
    """The answer of `search --json`."""
    front = {trial.number for trial in found.front}
    return {
        "network": found.space.network.name,
        "objectives": dict(zip(found.plan.objectives, found.plan.directions, strict=True)),
        "stages": [stage._asdict() for stage in found.stages],
        "stopped": found.stopped,
        "exhausted": found.exhausted,
        "front": [trial.number for trial in found.front],
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
            for trial in found.trials
        ],
        "failures": [
            {"number": failure.number, "candidate": failure.candidate.to_json(), "reason": failure.reason}
            for failure in found.failures
        ],
    }
