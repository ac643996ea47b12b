"""Runs a search: selects the first candidates, starts workers, and replaces workers that die."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import StorageInternalError
from sqlalchemy.exc import SQLAlchemyError

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.architectures import key_of
from resnext_dsl.searches.engine import REFUSED, Engine, Running, engine_error
from resnext_dsl.searches.found import Found, results_of
from resnext_dsl.searches.interrupts import Interrupts
from resnext_dsl.searches.machines import stream
from resnext_dsl.searches.observers import Observer, observer_of
from resnext_dsl.searches.passwords import masked, without_password
from resnext_dsl.searches.patience import AWAY, hurried, hurry, patient
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.preselection import STAGES, Stage, preselected
from resnext_dsl.searches.processes import Processes
from resnext_dsl.searches.propose import Proposal, Proposer, params_of
from resnext_dsl.searches.session import Session
from resnext_dsl.searches.storage import absolute
from resnext_dsl.searches.trials import (
    LOST,
    REASON,
    VOID,
    StaleCheck,
    Standing,
    add_waiting,
    all_trials,
    fail,
    owner_of,
    running_numbers,
    standing,
)
from resnext_dsl.searches.trouble import BrokenDeviceError
from resnext_dsl.searches.worker import Worker, exit_reason

POLL = 0.25
"""Seconds between checks of the workers."""

STOPPING = 15.0
"""Seconds that workers have to stop before they are killed."""

ANSWER = 5.0
"""Most seconds to wait for the database after Ctrl-C."""


class AbandonedError(KeyboardInterrupt):
    """A second Ctrl-C, which ends everything at once."""


def engine_of(session: Session) -> Engine:
    """The engine of a plan; imports Ray only for the engine "ray"."""
    plan = session.plan
    if plan.engine == "ray":
        from resnext_dsl.searches.cluster import Cluster

        return Cluster(plan)
    return Processes(plan, any(":" in device for device in session.timed_devices))


def run(plan: Plan, evaluator: Any = None, progress: Any = None) -> Found:
    """Runs a search to its end, or until Ctrl-C. A second Ctrl-C ends it at once.

    Args:
        plan: The plan of the search.
        evaluator: An evaluator to use instead of the plan's, for one worker in this process.
        progress: An `Observer`; True for a line for each trial on standard error; or a function that the search calls
            repeatedly with the standing and the stages.

    Raises:
        ArchError: If the plan is not valid; E722 if the storage does not answer; E724 if the workers cannot run.
    """
    plan.check()
    hurry(AWAY)  # an earlier search of this process may have been stopped
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with (
        observer_of(progress, plan) as observer,
        Session(plan, evaluator, announce=observer.step) as session,
        stream(f"{absolute(session.url)} {session.name}", session.creator) as words,
    ):
        session.plan = plan._replace(stream=words)
        for note in session.notes:
            observer.note(note)
        try:
            return _searched(session, evaluator is not None, observer)
        except (StorageInternalError, SQLAlchemyError) as problem:
            reason = next(iter(str(problem.__cause__ or problem).splitlines()), "no reason given")
            message = masked(f"the storage {without_password(session.url)} does not answer: {reason}", session.url)
            hint = "the results are in the storage; the same command continues the search"
            raise ArchError([Diagnostic("E722", message[:300], hint=hint, file="--storage")]) from None


def _searched(session: Session, is_alone: bool, observer: Observer) -> Found:
    """Runs the search of a session; `is_alone` for one worker in this process."""
    plan, stages, stopped = session.plan, list[Stage](), False
    with engine_of(session) as engine, Interrupts() as interrupts:

        def shown(now: Standing) -> None:
            interrupts.raise_dropped()
            observer(now, stages)

        try:
            session.space.sample(1, plan.seed, plan.budget or None)  # raises E604 if no candidate meets the budgets
            stages = _staged(session, observer)
            if is_alone:
                Worker(session, 0).run(shown)
            else:
                _supervise(session, engine, observer, shown)
        except AbandonedError:
            raise
        except KeyboardInterrupt:
            stopped = True
        except BrokenDeviceError as problem:
            message = f"the device no longer works in this process: {problem}"
            raise engine_error(
                message, "start the program again: the search continues and tries the candidate again"
            ) from None
    with hurried(ANSWER if stopped else AWAY):
        return results_of(session.space, plan, standing(all_trials(session.records)), stages, stopped)


def _staged(session: Session, observer: Observer) -> list[Stage]:
    """Selects the first candidates, once per study, and adds them as trials."""
    plan, records = session.plan, session.records
    if not plan.screen:
        return []
    known = patient(lambda: records.study.user_attrs.get(STAGES))
    if known is None:
        nothing = standing([])
        observer.step(f"drawing {plan.screen:,} candidates within the budgets")
        candidates, stages = preselected(session.space, plan, lambda so_far: observer(nothing, so_far))
        proposer, trials = Proposer(session.space, plan, 0), all_trials(records)
        keys = standing(trials).keys
        for candidate in candidates:
            network = session.space.bind(candidate)
            key = key_of(session.space, candidate, network)
            if key not in keys:
                proposal = Proposal(candidate, params_of(session.space, candidate), {})
                device = session.evaluator.usual_device
                add_waiting(records, proposer.proposed(proposal, key, network, device, trials))
        known = [list(stage) for stage in stages]
        patient(lambda: records.study.set_user_attr(STAGES, known))
    return [Stage(*stage) for stage in known]


# --- workers ---


def _supervise(session: Session, engine: Engine, observer: Observer, shown: Callable[[Standing], None]) -> None:
    """Keeps the plan's number of workers running until the search is done; `shown` gets the standing in each round."""
    plan = session.plan
    workers: dict[int, Running] = {}
    futile, results = 0, -1
    watch = StaleCheck(session.records, plan.heartbeat, plan.grace)
    try:
        observer.step(f"starting {_count(plan.workers, 'worker')}; each imports the evaluator `{plan.evaluator}` first")
        for number in range(plan.workers):
            workers[number] = engine.start(number)
        while workers:
            trials = all_trials(session.records)
            now = standing(trials)
            if watch.is_due():  # workers that wait in a queue cannot do this
                watch.check(running_numbers(trials))
            shown(now)
            settled = len(now.done) + sum(LOST not in trial.user_attrs for trial in now.failed)
            if settled > results:
                futile, results = 0, settled
            for number, worker in list(workers.items()):
                status = worker.status(now)
                if status is None:
                    continue
                last = masked(workers.pop(number).end(0), session.url)
                had_trial = _settled(session, worker, status, observer, number, last)
                if status == 0 and not had_trial:
                    continue
                futile += 1
                if (status == REFUSED and not had_trial) or futile > 10 * plan.workers:
                    message = f"the workers stopped without a result (status {status}): {last}"
                    raise engine_error(message, "results so far are in the storage")
                workers[number] = engine.start(number)
            time.sleep(POLL)
        shown(standing(all_trials(session.records)))
    except KeyboardInterrupt:
        observer.step(f"stopping {_count(len(workers), 'worker')}; a second Ctrl-C kills them")
        raise
    finally:
        _stop(list(workers.values()))


def _settled(session: Session, worker: Running, status: int, observer: Observer, number: int, last: str) -> bool:
    """Ends the trial of a worker that has ended in the middle of it. Returns whether there was one.

    If the evaluator ended the process, the trial fails. After a signal or a loss, the trial is tried again.
    """
    known = all_trials(session.records)
    running = set(running_numbers(known))
    counting = {trial.number for trial in standing(known).running}
    owned = [trial for trial in known if trial.number in running and owner_of(trial) == worker.name]
    code = worker.exit_status(status)
    for trial in owned:
        if trial.number not in counting:  # the worker was killed before it could mark the trial
            fail(session.records, trial, {VOID: "another trial of the same architecture counts"}, pruned=True)
            continue
        fail(session.records, trial, {} if code is None else {REASON: exit_reason(code)})
    trials = [trial for trial in owned if trial.number in counting]
    if trials or status:
        ended = f"ended with status {status}" if status >= 0 else f"was killed by signal {-status}"
        outcome = "" if not trials else f"; trial {trials[0].number} {'is tried again' if code is None else 'failed'}"
        observer.note(f"worker {number} {ended}{outcome}: {last}")
    return bool(trials)


def _stop(workers: list[Running]) -> None:
    """Asks workers to stop their trials, and kills those that do not.

    Raises:
        AbandonedError: At a Ctrl-C in the meantime, after all workers are killed.
    """
    end = time.monotonic() + STOPPING
    try:
        for worker in workers:
            worker.ask_to_stop()
        for worker in workers:
            worker.end(end - time.monotonic())
    except KeyboardInterrupt:
        for worker in workers:
            with suppress(Exception):
                worker.kill()
        raise AbandonedError from None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
