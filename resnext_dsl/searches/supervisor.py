"""Runs a search: chooses what to evaluate first, starts workers, and replaces those that die."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import optuna

from resnext_dsl.searches.engine import REFUSED, Engine, Running, useless
from resnext_dsl.searches.found import Found, found
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import STAGES, Stage, chosen
from resnext_dsl.searches.processes import Processes
from resnext_dsl.searches.propose import Proposer, params_of
from resnext_dsl.searches.storage import patient
from resnext_dsl.searches.trials import LOST, Standing, add, all_trials, bury, standing
from resnext_dsl.searches.trouble import BrokenDeviceError
from resnext_dsl.searches.worker import Session, Worker, key_of

LOOK = 0.25
"""Seconds between looks at the workers."""

STOPPING = 15.0
"""Seconds that workers have to stop, before they are killed."""


Progress = Callable[[Standing, list[Stage]], None]


def engine_of(session: Session) -> Engine:
    """The engine of a plan; Ray is imported for its own only."""
    plan = session.plan
    if plan.engine == "ray":
        from resnext_dsl.searches.cluster import Cluster

        return Cluster(plan)
    return Processes(plan, any(":" in device for device in session.timed_devices))


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
    with Session(plan, evaluator) as session, engine_of(session) as engine:
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
        except BrokenDeviceError as problem:
            message = f"this process can use its device no longer: {problem}"
            raise useless(
                message, "start the program again: the search goes on, and tries the candidate again"
            ) from None
        return found(session.space, plan, standing(all_trials(session.records)), stages, stopped)


def _staged(session: Session, progress: Progress | None) -> list[Stage]:
    """Chooses what is evaluated first, once for a study."""
    plan, records = session.plan, session.records
    if not plan.screen:
        return []
    known = records.study.user_attrs.get(STAGES)
    if known is None:
        nothing = standing([])
        candidates, stages = chosen(session.space, plan, lambda so_far: progress and progress(nothing, so_far))
        proposer = Proposer(session.space, plan, 0)
        trials = standing(all_trials(records))
        for candidate in candidates:
            key = key_of(session.space, candidate, session.space.bind(candidate))
            if key not in trials.keys:
                add(records, params_of(session.space, candidate), proposer.distributions, candidate.to_json(), key)
        known = [list(stage) for stage in stages]
        patient(lambda: records.study.set_user_attr(STAGES, known))
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
                bury(session.records)
                buried = time.monotonic()
            now = standing(all_trials(session.records))
            told(now)
            settled = len(now.done) + sum(LOST not in trial.user_attrs for trial in now.failed)
            if settled > results:
                futile, results = 0, settled
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
