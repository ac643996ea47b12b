"""The results of a search as text: a short table of the front, and the counts around it."""

from __future__ import annotations

from io import StringIO

from rich.console import Console
from rich.table import Table

from resnext_dsl.searches.observers import number
from resnext_dsl.searches.results import Results
from resnext_dsl.spaces.candidate import text_of

MOST = 20
"""Rows of the front that are printed."""

WIDTH = 160
"""Columns of a table that is not printed on a terminal."""


def text_of_results(results: Results, width: int = WIDTH) -> str:
    """The stages, the counts, the front as a table, and the failures."""
    stream = StringIO()
    console = Console(file=stream, width=width, highlight=False, markup=False, emoji=False)
    for stage in results.stages:
        console.print(f"{stage.name}: {stage.came:,} in, {stage.went:,} on")
    failed = f", {len(results.failures)} failed" if results.failures else ""
    state = " (stopped; the same command goes on)" if results.stopped else ""
    state = " (the space has no more candidates)" if results.exhausted else state
    console.print(f"{results.space.network.name}: {len(results.trials)} results{failed}{state}")
    if results.devices:
        console.print(f"evaluated on {devices_text(results)}")
    outside = sum(not trial.feasible for trial in results.trials)
    if outside:
        console.print(f"{outside} of them miss {' or '.join(results.plan.constrain)}")
    if results.front:
        console.print(_table(results))
    if len(results.front) > MOST:
        rest = len(results.front) - MOST
        console.print(f"and {rest} more on the front: `--json` lists all of it, `-o DIR` writes it as specs")
    for reason, count in _reasons(results)[:5]:
        console.print(f"failed {count}: {reason}")
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def devices_text(results: Results) -> str:
    """The devices of the results: `cuda:0 (12), cpu (3)`."""
    return ", ".join(f"{device} ({count})" for device, count in results.devices.items())


def _table(results: Results) -> Table:
    names = list(dict.fromkeys(dimension.parameter for dimension in results.space.dimensions))
    table = Table(title="front" if len(results.plan.objectives) > 1 else "best", title_justify="left", box=None)
    table.add_column("trial", justify="right")
    for name in (*results.plan.objectives, *names):
        table.add_column(name, justify="right")
    for trial in results.front[:MOST]:
        values = [number(value) for value in trial.values]
        settings = [text_of(trial.candidate[name]) if name in trial.candidate else "" for name in names]
        table.add_row(str(trial.number), *values, *settings)
    return table


def _reasons(results: Results) -> list[tuple[str, int]]:
    counts: dict[str, int] = {}
    for failure in results.failures:
        counts[failure.reason] = counts.get(failure.reason, 0) + 1
    return sorted(counts.items(), key=lambda item: -item[1])
