"""Computes the results of a search from the trials of its study, and writes them as a report."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import Stage
from resnext_dsl.searches.propose import front_of
from resnext_dsl.searches.results import Failure, Results, Trial
from resnext_dsl.searches.trials import Standing, candidate_of, device_of, is_feasible, metrics_of, reason_of
from resnext_dsl.spaces.space import Space


class Found(Results):
    """The results of a search; `report` writes them as a page, `print` shows a short table."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"<Found {self.space.network.name}: {len(self.trials)} results, {len(self.front)} on the front>"

    def __str__(self) -> str:
        from resnext_dsl.searches.result_lines import text_of_results

        return text_of_results(self)

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Writes all results as one self-contained HTML file.

        Raises:
            ArchError: E721 if a package that draws the charts is not installed.
            OSError: If the file cannot be written.
        """
        from resnext_dsl.searches.report.document import write

        return write(self, path)


def results_of(space: Space, plan: Plan, now: Standing, stages: list[Stage], stopped: bool = False) -> Found:
    """The results of a study."""
    results = {
        trial.number: _result(space, plan.objectives, trial)
        for trial in sorted(now.done, key=lambda trial: trial.number)
    }
    signs = [-1 if direction == "maximize" else 1 for direction in plan.directions]
    front = [results[trial.number] for trial in front_of(now.done, plan.directions)]
    front.sort(key=lambda one: tuple(sign * value for sign, value in zip(signs, one.values, strict=True)))
    failures = [
        Failure(trial.number, space.candidate(candidate_of(trial) or {}), reason_of(trial))
        for trial in sorted(now.failed, key=lambda trial: trial.number)
    ]
    count = len(now.done) + len(now.failed)
    exhausted = not stopped and count < plan.trials
    unfinished = len(now.running), len(now.waiting) + len(now.dead)
    return Found(plan, space, front, list(results.values()), failures, stages, stopped, exhausted, *unfinished)


def _result(space: Space, objectives: Sequence[str], trial: Any) -> Trial:
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    candidate = space.candidate(candidate_of(trial) or {})
    values, feasible = tuple(trial.values), is_feasible(trial)
    finished, device = trial.datetime_complete, device_of(trial)
    return Trial(trial.number, candidate, metrics_of(trial, objectives), values, seconds, feasible, finished, device)
