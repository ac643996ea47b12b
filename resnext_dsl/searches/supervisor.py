"""Runs a search: selects the first candidates, starts workers, and replaces workers that die."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import optuna

from resnext_dsl.searches.engine import REFUSED, Engine, Running, engine_error
from resnext_dsl.searches.found import Found, results_of
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import STAGES, Stage, preselected
from resnext_dsl.searches.processes import Processes
from resnext_dsl.searches.propose import Proposer, params_of
from resnext_dsl.searches.storage import patient
from resnext_dsl.searches.trials import LOST, Standing, add, all_trials, fail_stale_trials, standing
from resnext_dsl.searches.trouble import BrokenDeviceError
from resnext_dsl.searches.worker import Session, Worker, key_of

POLL = 0.25
"""Seconds between checks of the workers."""

STOPPING = 15.0
"""Seconds that workers have to stop before they are killed."""


Progress = Callable[[Standing, list[Stage]], None]


def engine_of(session: Session) -> Engine:
    """The engine of a plan; imports Ray only for the engine "ray"."""
    plan = session.plan
    if plan.engine == "ray":
        from resnext_dsl.searches.cluster import Cluster

        return Cluster(plan)
    return Processes(plan, any(":" in device for device in session.timed_devices))


def run(plan: Plan, evaluator: Any = None, progress: Progress | None = None) -> Found:
    """Runs a search to its end, or until Ctrl-C.

    Args:
        plan: The plan of the search.
        evaluator: An evaluator to use instead of the plan's, for one worker in this process.
        progress: A function that the search calls repeatedly with the standing and the stages.

    Raises:
        ArchError: If the plan is not valid; E724 if the workers cannot run.
    """
    plan.check()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with Session(plan, evaluator) as session, engine_of(session) as engine:
        session.space.sample(1, plan.seed, plan.budget or None)  # raises E604 if no candidate meets the budgets
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
            message = f"the device no longer works in this process: {problem}"
            raise engine_error(
                message, "start the program again: the search continues and tries the candidate again"
            ) from None
        return results_of(session.space, plan, standing(all_trials(session.records)), stages, stopped)


def _staged(session: Session, progress: Progress | None) -> list[Stage]:
    """Selects the first candidates, once per study, and adds them as trials."""
    plan, records = session.plan, session.records
    if not plan.screen:
        return []
    known = records.study.user_attrs.get(STAGES)
    if known is None:
        nothing = standing([])
        candidates, stages = preselected(session.space, plan, lambda so_far: progress and progress(nothing, so_far))
        proposer = Proposer(session.space, plan, 0)
        trials = standing(all_trials(records))
        for candidate in candidates:
            key = key_of(session.space, candidate, session.space.bind(candidate))
            if key not in trials.keys:
                add(records, params_of(session.space, candidate), proposer.distributions, candidate.to_json(), key)
        known = [list(stage) for stage in stages]
        patient(lambda: records.study.set_user_attr(STAGES, known))
    return [Stage(*stage) for stage in known]


def _supervise(session: Session, engine: Engine, progress: Callable[[Standing], None]) -> None:
    """Keeps the plan's number of workers running until the search is done."""
    plan = session.plan
    workers: dict[int, Running] = {}
    futile, results, checked_at = 0, -1, time.monotonic()
    try:
        for number in range(plan.workers):
            workers[number] = engine.start(number)
        while workers:
            if time.monotonic() - checked_at > plan.heartbeat:  # workers that wait in a queue cannot do this
                fail_stale_trials(session.records)
                checked_at = time.monotonic()
            now = standing(all_trials(session.records))
            progress(now)
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
                    message = f"the workers stopped without a result (status {status}): {last}"
                    raise engine_error(message, "results so far are in the storage")
                workers[number] = engine.start(number)
            time.sleep(POLL)
    finally:
        for worker in workers.values():
            worker.ask_to_stop()
        end = time.monotonic() + STOPPING
        for worker in workers.values():
            worker.end(end - time.monotonic())
