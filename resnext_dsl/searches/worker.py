"""One worker process of a search: claims a trial, evaluates it and records the result, until the search is done.

All workers are equal, on one machine or several. They share only the database.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping
from types import FrameType
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from resnext_dsl.devices.device_locks import shared
from resnext_dsl.devices.visible_gpus import OWN, gpus, name_on_machine
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.networks.network import Network
from resnext_dsl.searches.constraints import MissedError, check_devices, latencies, timed, violations
from resnext_dsl.searches.engine import BROKEN as BROKEN_DEVICE
from resnext_dsl.searches.engine import REFUSED, SEEN, engine_error
from resnext_dsl.searches.evaluator import Evaluator, evaluator_of
from resnext_dsl.searches.plan import Plan, identity
from resnext_dsl.searches.propose import Proposer
from resnext_dsl.searches.storage import AWAY, close, open_storage, open_study, patient, url_of
from resnext_dsl.searches.trials import (
    LOST,
    REASON,
    RESULT,
    STOPPED,
    VOID,
    Heartbeat,
    Standing,
    Tally,
    add,
    add_again,
    all_trials,
    candidate_of,
    claim,
    fail,
    fail_stale_trials,
    finish,
)
from resnext_dsl.searches.trials import key_of as known_key
from resnext_dsl.searches.trouble import BROKEN, MEMORY, BrokenDeviceError, allocations, release, trouble_of
from resnext_dsl.semantics.overrides import override_source
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space

IDLE = 0.2
"""Seconds between checks for a trial while other workers own all trials."""


class StoppedError(BaseException):
    """The search has been asked to stop."""


class Session:
    """The resources of a worker: the space, the evaluator and the storage.

    Attributes:
        space: The space to search, with the values that the evaluator needs.
        records: The trials in the storage.
    """

    def __init__(self, plan: Plan, evaluator: Evaluator | None = None, patience: float = 0.0) -> None:
        """Opens the space and the storage; waits for the storage for at most `patience` seconds.

        Raises:
            ArchError: If the plan is not valid, or the storage is not available.
        """
        self.plan = plan
        self.evaluator = evaluator_of(plan) if evaluator is None else evaluator
        space = plan.space()
        overrides = self.evaluator.overrides(space.network, plan.settings)
        self.space: Space = plan.space(overrides) if overrides else space
        self.space.screen(plan.budget or None)
        self.evaluator.check(self.space.network)
        self.timed_devices: list[str] = self._check_latencies() if plan.measure else []
        self.name = plan.study or self.space.network.name
        self._storage = open_storage(url_of(plan, self.space.network.name), plan.heartbeat, plan.grace, patience)
        try:
            self.records = open_study(self._storage, self.name, plan, identity(plan, self.space), patience)
        except BaseException:
            close(self._storage)
            raise

    def _check_latencies(self) -> list[str]:
        """The devices of the latencies that the budgets limit."""
        network, plan = self.space.network, self.plan
        limits = latencies(network, plan.budget)
        if not limits:
            message = f"no budget of `{network.name}` limits a latency, so there is nothing to measure"
            raise error("E202", message, override_source("measure", "measure"))
        if plan.engine == "processes":  # the nodes of a cluster may have others
            check_devices(limits)
        return [dict(limit.arguments)["device"] for limit in limits]

    def check_here(self, seen: int) -> None:
        """Checks that this worker has the devices of its search, which sees `seen` GPUs.

        Raises:
            ArchError: E603 for a missing device of a latency; E724 if the worker would train on the CPU although the
                search sees a GPU.
        """
        if self.plan.measure:
            check_devices(latencies(self.space.network, self.plan.budget))
        if not seen or not self.evaluator.takes_any_device or sees_gpus():
            return
        count = "1 GPU" if seen == 1 else f"{seen} GPUs"
        on_ray = self.plan.engine == "ray"
        message = f"the search sees {count} and this worker cannot use any, so `device=auto` would train on the CPU"
        hint = (
            "give each trial one: `--resources gpu=1`"
            if on_ray
            else "look at CUDA_VISIBLE_DEVICES, and at torch's build"
        )
        raise engine_error(f"{message} ({hint}; to train on the CPU: `--choice device=cpu`)", hint)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        close(self._storage)


class Worker:
    """Evaluates trials of a session."""

    def __init__(self, session: Session, number: int) -> None:
        self._session = session
        self._plan = session.plan
        self._bounds = session.plan.bounds
        self._records = session.records
        self._proposer = Proposer(session.space, session.plan, number)
        self._exhausted = False
        self._checked_at = 0.0
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
        if self._evaluating:
            self._evaluating = False
            raise StoppedError

    def run(self) -> None:
        """Evaluates trials until there are enough results or the space has no more candidates."""
        with self._heartbeat:
            self._work()

    def _work(self) -> None:
        while not self._stop:
            if time.monotonic() - self._checked_at > self._plan.heartbeat:
                fail_stale_trials(self._records)
                self._checked_at = time.monotonic()
            trials = all_trials(self._records)
            now = self._tally.standing(trials)
            if len(now.done) + len(now.failed) >= self._plan.trials:
                return
            trial = self._next(trials, now)
            if trial is not None:
                self._evaluate(trial)
            elif now.running or now.waiting or now.dead:
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
        """Claims a trial; None if no trial is available at the moment."""
        for trial in now.waiting:
            if self._claimed(trial):
                return trial
        dead = now.retried
        if dead is not None:
            added = add_again(self._records, dead, len(trials))
            return self._claimed_of(added, known_key(dead), len(trials))
        if now.counted < self._plan.trials:
            return self._added(trials, now)
        return None

    def _claimed_of(self, added: FrozenTrial | None, key: str | None, known: int) -> FrozenTrial | None:
        """Claims a trial that was just added after the `known` first ones; None if another worker owns it."""
        if added is not None:
            return added if claim(self._records, added) else None
        trials = all_trials(self._records)
        now = self._tally.standing(trials)
        for trial in trials[known:]:
            waits = trial.state is TrialState.WAITING and known_key(trial) == key
            if waits and self._counts(trial, now) and claim(self._records, trial):
                return trial
        return None

    def _claimed(self, trial: FrozenTrial) -> bool:
        """Claims a waiting trial. Returns whether this worker is its owner and the trial counts."""
        now = self._tally.standing(all_trials(self._records))
        return self._counts(trial, now) and claim(self._records, trial)

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

    def _added(self, trials: list[FrozenTrial], now: Standing) -> FrozenTrial | None:
        """Adds and claims a trial of a new architecture; None if the space has none left or another worker owns it."""
        space = self._session.space
        for trial in trials[self._looked_at :]:
            values = candidate_of(trial)
            if values is not None:
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
                distributions, candidate = self._proposer.distributions, proposal.candidate.to_json()
                params, notes, known = proposal.params, proposal.notes, len(trials)
                added = add(self._records, params, distributions, candidate, key, notes, known)
                self._bound = key, proposal.candidate, network
                return self._claimed_of(added, key, known)

    # --- evaluation ---

    def _evaluate(self, trial: FrozenTrial) -> None:
        self._heartbeat.trial = trial
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
        except Exception as problem:  # an evaluator may raise anything, and the search goes on
            self._evaluating = False
            self._end_without(trial, problem)
        else:
            values = [metrics[name] for name in self._plan.objectives]
            kept = {RESULT: {"metrics": metrics, "device": device}}
            finish(self._records, trial, values, kept, violations(self._bounds, metrics))
        finally:
            self._evaluating = False
            self._heartbeat.trial = None

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


def sees_gpus() -> bool:
    """Whether torch can use a GPU here; imports torch only if a GPU may be available."""
    if not gpus(os.environ):
        return False
    import torch

    return torch.cuda.is_available()


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


def key_of(space: Space, candidate: Candidate, network: Network) -> str:
    """The key of an architecture: a hash of the network and of the values that do not shape the network."""
    others = {name: value for name, value in candidate.to_json().items() if name not in space.reads.elsewhere}
    text = json.dumps([network.fingerprint, others], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def main() -> int:
    """Runs a worker. Reads its plan from standard input; the end of that stream stops the worker."""
    number = int(sys.argv[1])
    plan = Plan.from_json(sys.stdin.readline())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent process stops its workers
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        session = Session(plan, patience=AWAY)
        session.check_here(int(os.environ.get(SEEN, "0")))
        worker = Worker(session, number)
        signal.signal(signal.SIGTERM, worker.stop)
        threading.Thread(target=_stop_with_parent, daemon=True).start()
        worker.run()
    except ArchError as problem:
        sys.stderr.write(f"{problem.diagnostics[0].headline()}\n")  # the parent reads the last line only
        return REFUSED
    except BrokenDeviceError as problem:
        sys.stderr.write(f"{problem}\n")
        return BROKEN_DEVICE
    return 0


def _stop_with_parent() -> None:
    """Stops this process when its parent process has ended."""
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    status = main()
    # Threads of libraries must not keep a finished worker alive.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
