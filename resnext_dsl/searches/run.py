"""Runs a search: chooses what to evaluate first, starts workers, replaces those that die, and gathers the results."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import optuna

from resnext_dsl.searches.engine import REFUSED, Engine, Running, engine_of, useless
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.propose import Proposer, front_of, params_of
from resnext_dsl.searches.stages import Stage, chosen
from resnext_dsl.searches.storage import patient
from resnext_dsl.searches.trials import (
    CANDIDATE,
    METRICS,
    Standing,
    all_trials,
    bury,
    is_feasible,
    make,
    reason_of,
    standing,
)
from resnext_dsl.searches.worker import Session, Worker, key_of
from resnext_dsl.spaces import Candidate, Space

LOOK = 0.25
"""Seconds between looks at the workers."""

STOPPING = 15.0
"""Seconds that workers have to stop, before they are killed."""

STAGES = "stages"
"""Where a study keeps what its stages have chosen."""


class Trial(NamedTuple):
    """A result: the candidate, its metrics, and whether it keeps every constraint."""

    number: int
    candidate: Candidate
    metrics: Mapping[str, float]
    values: tuple[float, ...]
    seconds: float
    feasible: bool = True
    finished: datetime | None = None


class Failure(NamedTuple):
    """A candidate without a result, and why."""

    number: int
    candidate: Candidate
    reason: str


class Found(NamedTuple):
    """What a search has found.

    Attributes:
        front: Results that keep every constraint and than which no other such is better in everything, the first
            objective's best first.
        trials: All results, in the order they were asked for.
        failures: Candidates without one.
        stages: What came in and went on before.
        stopped: Whether it was stopped before it was done; the same call goes on.
        exhausted: Whether the space has no more candidates.
        running: Candidates that were being evaluated when this was read.
        waiting: Those to be evaluated, or to be tried again.
    """

    plan: Plan
    space: Space
    front: list[Trial]
    trials: list[Trial]
    failures: list[Failure]
    stages: list[Stage]
    stopped: bool
    exhausted: bool
    running: int = 0
    waiting: int = 0

    def report(self, path: str | os.PathLike[str]) -> Path:
        """Writes all of it as one HTML file, which needs nothing else to be read.

        Raises:
            ArchError: E721 where what draws the charts is not installed.
            OSError: Where the file cannot be written.
        """
        from resnext_dsl.searches.report.document import write

        return write(self, path)


Progress = Callable[[Standing, list[Stage]], None]


def run(plan: Plan, evaluator: Any = None, progress: Progress | None = None) -> Found:
    """Runs a search to its end, or until Ctrl-C.

    Args:
        plan: What to do.
        evaluator: In place of the plan's, for one worker in this process.
        progress: Told how it stands, now and then.

    Raises:
        ArchError: For a plan that cannot be done; E724 where the workers cannot work.
    """
    plan.check()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Session(plan, evaluator) as session, engine_of(plan) as engine:
        session.space.sample(1, plan.seed, plan.budget or None)  # that something keeps the budgets
        stages: list[Stage] = []
        stopped = False
        try:
            stages = _staged(session, progress)
            if evaluator is not None:
                Worker(session, 0).run()
            else:
                _supervise(session, engine, lambda now: progress(now, stages) if progress is not None else None)
        except KeyboardInterrupt:
            stopped = True
        return found(session.space, plan, standing(all_trials(session.study)), stages, stopped)


def _staged(session: Session, progress: Progress | None) -> list[Stage]:
    """Chooses what is evaluated first, once for a study."""
    plan, study = session.plan, session.study
    if not plan.screen:
        return []
    known = study.user_attrs.get(STAGES)
    if known is None:
        nothing = standing([])
        candidates, stages = chosen(session.space, plan, lambda so_far: progress and progress(nothing, so_far))
        proposer = Proposer(session.space, plan, 0)
        trials = standing(all_trials(study))
        for candidate in candidates:
            key = key_of(session.space, candidate, session.space.bind(candidate))
            if key not in trials.keys:
                make(study, params_of(session.space, candidate), proposer.distributions, candidate.to_json(), key)
        known = [list(stage) for stage in stages]
        patient(lambda: study.set_user_attr(STAGES, known))
    return [Stage(*stage) for stage in known]


def _supervise(session: Session, engine: Engine, told: Callable[[Standing], None]) -> None:
    """Keeps as many workers at work as the plan has, until they are done."""
    plan = session.plan
    workers: dict[int, Running] = {}
    futile, results, buried = 0, -1, time.monotonic()
    try:
        for number in range(plan.workers):
            workers[number] = engine.start(number)
        while workers:
            if time.monotonic() - buried > plan.heartbeat:  # workers that wait for their turn cannot
                bury(session.study)
                buried = time.monotonic()
            now = standing(all_trials(session.study))
            told(now)
            if len(now.done) + len(now.failed) > results:
                futile, results = 0, len(now.done) + len(now.failed)
            for number, worker in list(workers.items()):
                status = worker.status(now)
                if status is None:
                    continue
                last = workers.pop(number).end(0)
                if status == 0:
                    continue
                futile += 1
                if status == REFUSED or futile > 10 * plan.workers:
                    message = f"the workers end without a result (status {status}): {last}"
                    raise useless(message, "results so far are in the storage")
                workers[number] = engine.start(number)
            time.sleep(LOOK)
    finally:
        for worker in workers.values():
            worker.ask_to_stop()
        end = time.monotonic() + STOPPING
        for worker in workers.values():
            worker.end(end - time.monotonic())


def found(space: Space, plan: Plan, now: Standing, stages: list[Stage], stopped: bool = False) -> Found:
    """The results of a study."""
    results = {trial.number: _result(space, trial) for trial in sorted(now.done, key=lambda trial: trial.number)}
    signs = [-1 if direction == "maximize" else 1 for direction in plan.directions]
    front = [results[trial.number] for trial in front_of(now.done, plan.directions)]
    front.sort(key=lambda one: tuple(sign * value for sign, value in zip(signs, one.values, strict=True)))
    failures = [
        Failure(trial.number, space.candidate(trial.user_attrs[CANDIDATE]), reason_of(trial))
        for trial in sorted(now.failed, key=lambda trial: trial.number)
    ]
    count = len(now.done) + len(now.failed)
    exhausted = not stopped and count < plan.trials
    alive = len(now.running), len(now.waiting) + len(now.dead)
    return Found(plan, space, front, list(results.values()), failures, stages, stopped, exhausted, *alive)


def _result(space: Space, trial: Any) -> Trial:
    seconds = trial.duration.total_seconds() if trial.duration is not None else 0.0
    candidate = space.candidate(trial.user_attrs[CANDIDATE])
    values, feasible = tuple(trial.values), is_feasible(trial)
    return Trial(trial.number, candidate, trial.user_attrs[METRICS], values, seconds, feasible, trial.datetime_complete)
