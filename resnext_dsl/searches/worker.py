"""One worker process of a search: claims a trial, evaluates it and records the result, until the search is done.

All workers are equal, on one machine or several. They share only the database.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from resnext_dsl.devices.device_locks import shared
from resnext_dsl.devices.visible_gpus import OWN, gpus, name_on_machine
from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.networks.network import Network
from resnext_dsl.searches.architectures import key_of
from resnext_dsl.searches.constraints import MissedError, timed, violations
from resnext_dsl.searches.engine import BROKEN as BROKEN_DEVICE
from resnext_dsl.searches.engine import CRASHED, REFUSED, SEEN
from resnext_dsl.searches.evaluator import Evaluator
from resnext_dsl.searches.patience import AWAY, hurry, patient
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.propose import Proposer
from resnext_dsl.searches.session import Session
from resnext_dsl.searches.trials import (
    LOST,
    REASON,
    STOPPED,
    VOID,
    Heartbeat,
    Proposed,
    Snapshot,
    StaleCheck,
    Standing,
    Tally,
    add_running,
    again,
    all_trials,
    candidate_of,
    claim,
    fail,
    finish,
    finished,
    known_key,
    owner_of,
    result_of,
    running_numbers,
)
from resnext_dsl.searches.trouble import BROKEN, MEMORY, BrokenDeviceError, allocations, release, trouble_of
from resnext_dsl.spaces.candidate import Candidate

IDLE = 0.2
"""Seconds between checks for a trial while other workers own all trials."""


STOPPING = 5.0
"""Most seconds that a worker waits for the database once it has been asked to stop."""

OnStanding = Callable[[Standing], None]


class StoppedError(BaseException):
    """The search has been asked to stop."""


class Worker:
    """Evaluates trials of a session."""

    def __init__(self, session: Session, number: int, name: str = "") -> None:
        """Prepares a worker.

        Args:
            session: Its session.
            number: Selects its random numbers.
            name: Stands in the trials that it owns; by default a unique one.
        """
        self.name = name or uuid.uuid4().hex
        self._session = session
        self._plan = session.plan
        self._bounds = session.plan.bounds
        self._records = session.records
        self._proposer = Proposer(session.space, session.plan, number)
        self._exhausted = False
        self._watch = StaleCheck(session.records, session.plan.heartbeat, session.plan.grace)
        self._snapshot = Snapshot(session.records)
        self._tally = Tally()
        self._known: set[Candidate] = set()
        self._looked_at = 0
        self._bound: tuple[str, Candidate, Network] | None = None
        self._heartbeat = Heartbeat(session.records, session.plan.heartbeat)
        self._evaluating = False
        self._stop = False

    def stop(self, *_: int | FrameType | None) -> None:
        """Stops at once; another run evaluates the current trial again."""
        self._stop = True
        hurry(STOPPING)
        if self._evaluating:
            self._evaluating = False
            raise StoppedError

    def run(self, on_standing: OnStanding = lambda now: None) -> None:
        """Evaluates trials until there are enough results or the space has no more candidates."""
        with self._heartbeat:
            self._work(on_standing)

    def _work(self, on_standing: OnStanding) -> None:
        trials: list[FrozenTrial] = []
        while not self._stop:
            if self._watch.is_due():
                self._watch.check(running_numbers(trials))
                self._snapshot.outdate()
            trials = self._snapshot.read()
            now = self._tally.standing(trials)
            on_standing(now)
            if len(now.done) + len(now.failed) >= self._plan.trials:
                return
            trial = self._next(trials, now)
            if trial is not None:
                self._evaluate(trial)
            elif now.running or now.waiting or now.dead:
                self._snapshot.outdate()
                self._rest()
            elif self._exhausted:
                return

    def _rest(self) -> None:
        time.sleep(IDLE)

    def close(self) -> None:
        """Closes the session."""
        self._session.__exit__()

    # --- the next trial ---

    def _next(self, trials: list[FrozenTrial], now: Standing) -> FrozenTrial | None:
        """The next trial of this worker; None if no trial is available at the moment."""
        for trial in now.waiting:
            if self._claimed(trial):
                return trial
        dead = now.retried
        if dead is not None:
            return self._added(again(dead), len(trials))
        if now.counted < self._plan.trials:
            return self._proposed(trials, now)
        return None

    def _claimed(self, trial: FrozenTrial) -> bool:
        """Claims a waiting trial. Returns whether this worker is its owner and the trial counts."""
        now = self._tally.standing(all_trials(self._records))
        return self._counts(trial, now) and claim(self._records, trial, self.name)

    def _added(self, proposed: Proposed, known: int) -> FrozenTrial | None:
        """Adds a running trial of this worker; None if the same trial of another worker counts."""
        added = add_running(self._records, proposed, known, self.name)
        if added is not None:
            return added
        # Another worker has added a trial, or a broken connection made this one add its trial twice.
        self._snapshot.outdate()
        trials = self._snapshot.read()
        now = self._tally.standing(trials)
        running = [trial for trial in trials[known:] if trial.state is TrialState.RUNNING]
        owned = [trial for trial in running if owner_of(trial) == self.name]
        counting = [trial for trial in owned if known_key(trial) == proposed.key and self._counts(trial, now)]
        return counting[0] if counting else None

    def _counts(self, trial: FrozenTrial, now: Standing) -> bool:
        """Whether a trial counts; other workers may have added trials at the same time."""
        first = now.keys.get(known_key(trial) or "")
        if first is not None and first.number != trial.number:
            self._void(trial, f"same architecture as trial {first.number}")
            return False
        if now.counted <= self._plan.trials:
            return True
        numbers = sorted([*(one.number for one in now.keys.values()), *(one.number for one in now.dead)])
        if trial.number in numbers[self._plan.trials :]:
            self._void(trial, "more trials than requested")
            return False
        return True

    def _void(self, trial: FrozenTrial, why: str) -> None:
        fail(self._records, trial, {VOID: why}, pruned=True)

    def _proposed(self, trials: list[FrozenTrial], now: Standing) -> FrozenTrial | None:
        """Adds a trial of a new architecture; None if the space has none left or another worker was faster."""
        space = self._session.space
        for trial in trials[self._looked_at :]:
            values = candidate_of(trial)
            if values is not None and owner_of(trial) != self.name:
                self._known.add(space.candidate(values))
        self._looked_at = len(trials)
        while True:
            proposal = self._proposer.propose(trials, self._known)
            if proposal is None:
                self._exhausted = True
                return None
            self._known.add(proposal.candidate)
            network = space.bind(proposal.candidate)
            key = key_of(space, proposal.candidate, network)
            if key not in now.keys:
                self._bound = key, proposal.candidate, network
                device = self._session.evaluator.usual_device
                return self._added(self._proposer.proposed(proposal, key, network, device, trials), len(trials))

    # --- evaluation ---

    def _evaluate(self, trial: FrozenTrial) -> None:
        self._heartbeat.trial = trial
        try:
            self._end(trial)
        finally:
            self._evaluating = False
            self._heartbeat.trial = None

    def _end(self, trial: FrozenTrial) -> None:
        """Evaluates a trial and records its end."""
        ended: FrozenTrial | None = None
        try:
            candidate, network = self._bound_of(trial)
            self._evaluating = True
            if self._stop:  # the request came while the trial was being claimed
                raise StoppedError
            metrics, device = self._tried(candidate, network, self._report(trial))
            self._evaluating = False
        except optuna.TrialPruned as early:
            fail(self._records, trial, {REASON: f"given up early: {early}"}, pruned=True)
        except MissedError as missed:
            fail(self._records, trial, {REASON: str(missed)}, pruned=True)
        except StoppedError:
            fail(self._records, trial, {STOPPED: True})
        except KeyboardInterrupt:
            self._evaluating = False
            hurry(STOPPING)
            fail(self._records, trial, {STOPPED: True})
            raise
        except SystemExit as problem:
            fail(self._records, trial, {REASON: exit_reason(problem.code)})
        except Exception as problem:  # an evaluator may raise anything, and the search goes on
            self._evaluating = False
            self._end_without(trial, problem)
        else:
            values = [metrics[name] for name in self._plan.objectives]
            kept = result_of(trial, self._plan.objectives, values, metrics, device)
            missed_bounds = violations(self._bounds, metrics)
            if finish(self._records, trial, values, kept, missed_bounds) and not missed_bounds:
                ended = finished(trial, values, kept)
        if ended is not None and not self._session.evaluator.reports:
            self._snapshot.append(ended)
        else:
            self._snapshot.outdate()

    def _end_without(self, trial: FrozenTrial, problem: Exception) -> None:
        """Ends a trial after an error; after a device error, the trial is tried again.

        Raises:
            BrokenDeviceError: If the device context of this process is broken.
        """
        text, trouble = f"{type(problem).__name__}: {problem}"[:500], trouble_of(problem)
        fail(self._records, trial, {LOST: {"trouble": trouble, "error": text}} if trouble else {REASON: text})
        if trouble == BROKEN:
            raise BrokenDeviceError(text.splitlines()[0]) from None

    def _tried(self, candidate: Candidate, network: Network, report: Any) -> tuple[dict[str, float], str]:
        """The metrics of a candidate and the device of the evaluation; tries a second time after out of memory."""
        try:
            return self._metrics(candidate, network, report)
        except Exception as problem:
            if trouble_of(problem) != MEMORY:
                raise
        release()  # outside the `except` block, no traceback refers to the tensors of the evaluation
        try:
            return self._metrics(candidate, network, report)
        except Exception:
            release()
            raise

    def _metrics(self, candidate: Candidate, network: Network, report: Any) -> tuple[dict[str, float], str]:
        plan, evaluator = self._plan, self._session.evaluator
        known = timed(network, plan.budget) if plan.measure else {}
        wanted = [*plan.objectives, *(bound.metric for bound in self._bounds)]
        _use_assigned_gpu()
        before = allocations()
        with shared(devices_of(evaluator, plan)):
            metrics = evaluator(network, candidate, wanted, plan.seed, report, known)
        return metrics, _device_used(evaluator, plan, before)

    def _bound_of(self, trial: FrozenTrial) -> tuple[Candidate, Network]:
        """The candidate of a trial and its network; reuses the network that was just bound for the key."""
        if self._bound is not None and self._bound[0] == known_key(trial):
            return self._bound[1:]
        candidate = self._session.space.candidate(candidate_of(trial) or {})
        return candidate, self._session.space.bind(candidate)

    def _report(self, trial: FrozenTrial) -> Any:
        """The function that an evaluator calls with a step and its metrics; it prunes a trial of one objective."""
        if not self._session.evaluator.reports or len(self._plan.objectives) > 1:
            return None
        (objective,) = self._plan.objectives
        running = patient(lambda: self._records.trial(trial.number))

        def report(step: int, metrics: Mapping[str, float]) -> None:
            if objective in metrics:
                patient(lambda: running.report(metrics[objective], step))
                if patient(running.should_prune):
                    raise optuna.TrialPruned(f"`{objective}` is {metrics[objective]:.4g} at step {step}")

        return report


def devices_of(evaluator: Evaluator, plan: Plan) -> list[str]:
    """The devices that an evaluation may use: the CPU, and the GPU of the choice `device` or all GPUs of the worker."""
    if not evaluator.runs:
        return []
    device = str(plan.choices.get("device", "auto"))
    if device == "auto":
        assigned = os.environ.get(OWN)
        indices = range(len(gpus(os.environ))) if assigned is None else [int(assigned)]
        return ["cpu", *(f"cuda:{index}" for index in indices)]
    return ["cpu", device] if device != "cpu" else ["cpu"]


def _use_assigned_gpu() -> None:
    """Makes the worker's GPU the default of torch if the worker sees several."""
    assigned, torch = os.environ.get(OWN), sys.modules.get("torch")
    if assigned is not None and torch is not None and torch.cuda.is_available():
        torch.cuda.set_device(int(assigned))


def _device_used(evaluator: Evaluator, plan: Plan, before: Mapping[int, int]) -> str:
    """The devices of an evaluation, by their names on this machine.

    Uses the device that the evaluator or its choices name; otherwise the GPUs on which it allocated memory.
    """
    if not evaluator.runs:
        return ""
    named = evaluator.device or str(plan.choices.get("device", "auto"))
    used = (
        [named] if named != "auto" else [f"cuda:{i}" for i, count in allocations().items() if count > before.get(i, 0)]
    )
    return ", ".join(name_on_machine(device, os.environ) for device in used or ["cpu"])


def exit_reason(status: object) -> str:
    """The reason of a trial whose evaluator has ended its process."""
    return f"the evaluator ended its process with status {0 if status is None else status}"[:500]


def main() -> int:
    """Runs a worker. Reads its plan from standard input; the end of that stream stops the worker."""
    number, name = int(sys.argv[1]), "".join(sys.argv[2:3])
    plan = Plan.from_json(sys.stdin.readline())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process stops its workers
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        session = Session(plan, patience=AWAY)
        session.check_here(int(os.environ.get(SEEN, "0")))
        worker = Worker(session, number, name)
        signal.signal(signal.SIGTERM, worker.stop)
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        worker.run()
    except ArchError as problem:
        sys.stderr.write(f"{problem.diagnostics[0].headline()}\n")  # the parent reads the last line only
        return REFUSED
    except BrokenDeviceError as problem:
        sys.stderr.write(f"{problem}\n")
        return BROKEN_DEVICE
    except Exception:
        traceback.print_exc()
        return CRASHED
    return 0


def _stop_with_parent() -> None:
    """Stops this process when its parent process has ended."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


def leave() -> None:
    """Runs a worker and ends its process; threads of libraries must not keep a finished worker alive."""
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
