"""Tells a user how a search goes: the steps before the first trial, each trial, the death of a worker, an outage.

`Lines` writes to standard error; `progress_display.Progress` shows one line on a terminal.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from optuna.trial import FrozenTrial

from resnext_dsl.searches.patience import silent_since
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import Stage
from resnext_dsl.searches.trials import Standing, metrics_of, reason_of

OnProgress = Callable[[Standing, list[Stage]], None]

LOOK = 1.0
"""Seconds between two looks at the database."""

LAST_LOOK = 2.0
"""Most seconds that the end of a search waits for the last look."""


class Observer:
    """An observer of a search that shows nothing."""

    def __enter__(self) -> Observer:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def step(self, text: str) -> None:
        """Announces a step that a user waits for."""

    def note(self, text: str) -> None:
        """Reports an event."""

    def __call__(self, now: Standing, stages: list[Stage]) -> None:
        """Shows the standing, and the stages before the first trial."""


class FunctionObserver(Observer):
    """Passes the standing on to a function of the user."""

    def __init__(self, function: OnProgress) -> None:
        self._function = function

    def __call__(self, now: Standing, stages: list[Stage]) -> None:
        """FunctionObserver the function."""
        self._function(now, stages)


class Lines(Observer):
    """Writes one line for each step, trial and event to standard error."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: set[int] | None = None
        self._stage = ""
        self._outage = Outage(self.note)

    def __enter__(self) -> Lines:
        self._outage.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._outage.stop()

    def step(self, text: str) -> None:
        """Writes the step."""
        self.note(text)

    def note(self, text: str) -> None:
        """Writes the event."""
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()

    def __call__(self, now: Standing, stages: list[Stage]) -> None:
        """Writes the trials that have ended since the last call; only the number of those of earlier runs."""
        if stages and stages[-1].name != self._stage and not now.counted:
            self._stage = stages[-1].name
            self.note(self._stage)
        ended = now.done + now.failed
        if self._known is None:
            self._known = {trial.number for trial in ended}
            if ended:
                self.note(f"{len(ended)} of {self._plan.trials} trials are there from earlier runs")
            return
        fresh = [trial for trial in ended if trial.number not in self._known]
        for place, trial in enumerate(sorted(fresh, key=_end_of), len(self._known) + 1):
            self._known.add(trial.number)
            self.note(f"{place}/{self._plan.trials} {trial_line(self._plan, trial)}")


def _end_of(trial: FrozenTrial) -> tuple[datetime, int]:
    return trial.datetime_complete or datetime.max, trial.number


def trial_line(plan: Plan, trial: FrozenTrial) -> str:
    """A trial that has ended, on one line: its objectives and its time, or why it failed."""
    if trial.values is None:
        return f"trial {trial.number} failed: {next(iter(reason_of(trial).splitlines()), '')}"
    metrics: Mapping[str, float] = metrics_of(trial, plan.objectives)
    values = zip(plan.objectives, trial.values, strict=True)
    shown = [f"{name} {number(value)}" for name, value in values]
    shown += [f"{bound} missed" for bound in plan.bounds if bound.violation(metrics.get(bound.metric, 0.0)) > 0]
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    return f"trial {trial.number}: {', '.join(shown)} ({seconds:.1f} s)"


def number(value: float) -> str:
    """A metric as text."""
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) >= 100 else f"{value:.5g}"


def silence() -> str:
    """A sentence if the database does not answer, else ""."""
    since = silent_since()
    if since is None:
        return ""
    seconds = (datetime.now() - since).total_seconds()
    return f"the database does not answer since {since:%H:%M:%S} ({seconds:.0f} s)"


class Outage:
    """A thread that reports when the database stops answering, and when it answers again."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._note = note
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread, after its last look."""
        self._done.set()
        if self._thread is not None:
            self._thread.join(LAST_LOOK)

    def _run(self) -> None:
        for text in self._changes():
            self._note(text)

    def _changes(self) -> Iterator[str]:
        silent = ended = False
        while not ended:
            ended = self._done.wait(LOOK)
            sentence = silence()
            if bool(sentence) != silent:
                silent = not silent
                yield sentence or "the database answers again"


def observer_of(progress: Any, plan: Plan) -> Observer:
    """The observer of an argument `progress`: True for lines, False or None for none, or a function or an observer."""
    if isinstance(progress, Observer):
        return progress
    if callable(progress):
        return FunctionObserver(progress)
    return Lines(plan) if progress else Observer()
