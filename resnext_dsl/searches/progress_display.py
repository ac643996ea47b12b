"""Shows the progress of a search on a terminal, and prints its results."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from resnext_dsl.searches.found import Found
from resnext_dsl.searches.observers import Observer, number, silence
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import Stage
from resnext_dsl.searches.propose import front_of
from resnext_dsl.searches.result_lines import WIDTH, text_of_results
from resnext_dsl.searches.trials import Standing


class Progress(Observer):
    """The progress line of a search on a terminal: results, best so far, front, rate, time left."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._shown = ""
        self._began = time.monotonic()
        self._before: int | None = None
        console = Console(stderr=True, highlight=False, markup=False)
        self._live = Live(console=console, refresh_per_second=4, transient=True, get_renderable=self._text)

    def __enter__(self) -> Progress:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def _text(self) -> Text:
        """The line that the terminal shows now; during an outage it says that the database does not answer."""
        return Text(" · ".join(filter(None, [silence(), self._shown])))

    def step(self, text: str) -> None:
        """Shows the step until the next one."""
        self._shown = text

    def note(self, text: str) -> None:
        """Prints an event above the progress line."""
        self._live.console.print(text)

    def __call__(self, now: Standing, stages: list[Stage]) -> None:
        """Shows the standing, once there is a trial or a stage."""
        if now.counted or stages:
            self._shown = self.line(now, stages)

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
        return [f"best {self._plan.objectives[0]} {number(best)}", f"front {len(front)}"]


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


def print_results(results: Found) -> None:
    """Prints the stages, the front as a table, and the failures."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    sys.stdout.write(f"{text_of_results(results, width)}\n")


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
