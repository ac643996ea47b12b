"""Workers on a Ray cluster that is there: trials are tasks with the resources that they need, and Ray queues them.

A worker here is one task after another, not one that lasts: a task evaluates a trial (short ones for `TURN` seconds)
and gives its resources back. So nothing is held while there is nothing to do, others who use the cluster have their
turn, and a trial that needs GPUs begins in a fresh process, as Ray gives it. The process of a task keeps its session
for the next one. Ray tries nothing again by itself: the study knows what died, whichever engine goes on with it.

With SQLite, tasks run on this machine and in the working folder, as processes do; with a server, on all of the
cluster and in a copy of that folder. `rx.search` uses a connection that its program has made, with the environment
that goes with it.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import optuna

from resnext_dsl.devices.visible_gpus import gpus
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.engine import BROKEN, REFUSED, useless
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.storage import AWAY
from resnext_dsl.searches.trials import Standing
from resnext_dsl.searches.trouble import BrokenDeviceError
from resnext_dsl.searches.worker import Session, Worker

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as missing:
    if missing.name != "ray":
        raise
    words = "searching on a cluster needs ray, which is not installed"
    raise useless(words, "pip install 'resnext-dsl[ray]'", "--engine") from None

TURN = 10.0
"""Seconds after which a task takes no other trial."""

CONNECT = 5.0
"""Seconds in which a cluster answers; Ray itself waits for a minute."""

LEFT_OUT = ("*.db", "*.db-wal", "*.db-shm", ".git")
"""What is not copied to other nodes, besides what the folder's `.gitignore` and `.rayignore` name."""

NAMES = {"cpu": "CPU", "gpu": "GPU"}
"""Resources that Ray writes in another way; others are `memory`, in bytes, and what the nodes were started with."""

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Is set in what `ray job submit` runs, and holds the environment of its tasks."""


class Cluster:
    """Hands trials to a Ray cluster."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._here = plan.storage.startswith("sqlite") or not plan.storage
        self._numbers = itertools.count(plan.workers)
        self._ours = False
        self._task: Any = None
        self._seen = 0

    def __enter__(self) -> Cluster:
        """Connects to the cluster that RAY_ADDRESS names, or that of this machine.

        Raises:
            ArchError: E724 where none answers, or none of its nodes has the resources; E722 where nodes could not
                share the storage.
        """
        if not ray.is_initialized():
            self._connect()
        try:
            self._task = self._prepared()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._ours:
            ray.shutdown()
            self._ours = False

    def start(self, number: int) -> Turns:
        """Hands over the first task of a worker."""
        return Turns(self, self._plan, number)

    def hand_over(self, number: int | None = None) -> Any:
        """A task of a worker, in Ray's queue."""
        folder = str(Path.cwd()) if self._here else None
        worker = next(self._numbers) if number is None else number
        return self._task.remote(self._plan.to_json(), worker, folder, self._seen)

    # --- before the first ---

    def _connect(self) -> None:
        address = os.environ.get("RAY_ADDRESS") or "auto"
        environment = self._environment()
        try:
            _answers(address)
            ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, RayError) as problem:
            hint = "start one with `ray start --head`, or name one: RAY_ADDRESS=HOST:6379"
            named = "on this machine" if address == "auto" else f"at {address}"
            raise useless(f"cannot use a Ray cluster {named}: {_first(problem)}", hint, "--engine") from None
        self._ours = True

    def _environment(self) -> dict[str, Any] | None:
        """Where tasks import from: this folder or its copy, and what this process was told."""
        if SUBMITTED in os.environ:
            return None
        folder, told = str(Path.cwd()), os.environ.get("PYTHONPATH")
        if self._here:
            return {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, [folder, told]))}}
        self._plan = _carried(self._plan)
        environment: dict[str, Any] = {"working_dir": folder, "excludes": list(LEFT_OUT)}
        return {**environment, "env_vars": {"PYTHONPATH": told}} if told else environment

    def _prepared(self) -> Any:
        """The task, with what it needs."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        if self._here and len(nodes) > 1:
            message = f"a SQLite file is for one machine, and the cluster has {len(nodes)} nodes"
            hint = "--storage postgresql://USER@HOST/DATABASE"
            raise ArchError([Diagnostic("E722", message, hint=hint, file="--storage")])
        self._seen = max(len(gpus(os.environ)), int(sum(node.get("GPU", 0) for node in nodes)))
        asked = {"cpu": 1, **self._plan.resources}  # as Ray has it
        needed = {NAMES.get(name, name): amount for name, amount in asked.items()}
        _hold(asked, needed, nodes)
        more: dict[str, Any] = {}
        if self._here:  # a node that joins later has no such file
            node = ray.get_runtime_context().get_node_id()
            more["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        for name, word in (("CPU", "num_cpus"), ("GPU", "num_gpus"), ("memory", "memory")):
            if name in needed:
                more[word] = needed.pop(name)
        try:
            # Not by `.options`, with which a process would go on after a trial with GPUs, and keep their memory.
            task = ray.remote(max_retries=0, resources=needed, **more)(turn)
            return task.options(name="resnext-dsl search")
        except ValueError as problem:
            raise useless(f"Ray refuses these resources: {_first(problem)}", "", "--resources") from None


def _answers(address: str) -> None:
    """Raises OSError at once where nothing listens."""
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise OSError("this is the address of a Ray client; give that of the cluster, from one of its nodes")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()


def _first(problem: BaseException) -> str:
    """The first line of what an error says."""
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _hold(asked: Mapping[str, float], needed: Mapping[str, float], nodes: list[dict[str, float]]) -> None:
    """Raises where no node could ever run a trial, which Ray would wait for without end."""
    if any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
        return
    words = ", ".join(f"{name}={amount:g}" for name, amount in asked.items())
    most = ", ".join(
        f"{name}={max((node.get(NAMES.get(name, name), 0) for node in nodes), default=0):g}" for name in asked
    )
    message = f"no node of the cluster has {words}; the most that one has: {most}"
    raise useless(message, "ask for less, or start such a node first", "--resources")


def _carried(plan: Plan) -> Plan:
    """A plan whose files lie in the working folder, named as they are found in a copy of it."""
    here = Path.cwd().resolve()
    paths: dict[str, Any] = {}
    for name, given in (("spec", plan.spec), ("root", plan.root)):
        if given is None or not Path(given).exists():  # the name of a shipped network
            continue
        path = Path(given).resolve()
        if not path.is_relative_to(here):
            message = f"{given} is outside the working folder, which is what the nodes of the cluster get"
            raise useless(message, f"search from {path.parent if name == 'spec' else path}", "--engine")
        paths[name] = str(path.relative_to(here))
    return plan._replace(**paths)


class Turns:
    """A worker: one task after another, while there is something to do."""

    def __init__(self, cluster: Cluster, plan: Plan, number: int) -> None:
        self._cluster = cluster
        self._plan = plan
        self._said = "it said nothing"
        self._task = cluster.hand_over(number)
        self._waits_until = 0.0
        self._seen: tuple[int, ...] = ()
        self._asked = False

    def status(self, now: Standing) -> int | None:
        """Takes what a task has ended with, and hands over the next where there is a trial for it."""
        over = len(now.done) + len(now.failed) >= self._plan.trials
        if self._task is None:
            if not over:
                self._go_on(now)
            return 0 if over else None
        if not self._ended(0):
            if over:  # it may stand in the queue yet, behind the tasks of others
                self.ask_to_stop()
            return None
        task, self._task = self._task, None
        status, found_any, self._said = _outcome(task)
        self._waits_until = 0.0 if found_any else time.monotonic() + self._plan.heartbeat
        if over and self._asked:
            return 0
        return status

    def _go_on(self, now: Standing) -> None:
        seen = len(now.done) + len(now.failed), len(now.running), len(now.waiting), len(now.dead)
        if seen == self._seen and time.monotonic() < self._waits_until:
            return  # the last task has found nothing to do, and nothing has changed since
        if now.waiting or now.dead or now.counted < self._plan.trials:
            self._seen = seen
            self._task = self._cluster.hand_over()

    def ask_to_stop(self) -> None:
        """Takes its task out of the queue, or asks it to leave what it is doing."""
        if self._task is not None and not self._asked:
            self._asked = True
            with contextlib.suppress(RayError):
                ray.cancel(self._task, force=False)

    def end(self, seconds: float) -> str:
        """Waits for the end of its task, and makes it end."""
        if self._task is not None:
            with contextlib.suppress(RayError):
                if not self._ended(max(0.1, seconds)):
                    ray.cancel(self._task, force=True)
                    self._ended(CONNECT)
            self._task = None
        return self._said

    def _ended(self, seconds: float) -> bool:
        return bool(ray.wait([self._task], timeout=seconds)[0])


def _outcome(task: Any) -> tuple[int | None, bool, str]:
    """What a task has ended with: a status, None where there is more to do; whether it had a trial; its words."""
    try:
        status, found_any, said = ray.get(task)
    except RayTaskError as problem:
        return 1, True, f"{type(problem.cause).__name__}: {_first(problem.cause)}"
    except RayError as problem:
        return 1, True, _first(problem)
    return status, found_any, said


# --- in the process of a task ---

_kept: dict[str, Turn] = {}
"""The worker of this process, by its plan: the next task goes on with what it knows."""


class Turn(Worker):
    """A worker that gives its place back: after a while, and where there is nothing for it at the moment."""

    found_any = False
    _until = 0.0

    def begin(self) -> None:
        """Begins a turn."""
        self._stop, self.found_any, self._until = False, False, time.monotonic() + TURN

    @property
    def is_over(self) -> bool:
        """Whether it has ended its turn since nothing is left to do."""
        return not self._stop

    def _evaluate(self, trial: Any) -> None:
        self.found_any = True
        super()._evaluate(trial)
        self._stop = self._stop or time.monotonic() > self._until

    def _rest(self) -> None:
        self._stop = True


def turn(plan: str, number: int, folder: str | None, seen: int) -> tuple[int | None, bool, str]:
    """Evaluates trials for a while: what a task of Ray runs. See `_outcome` for what it gives."""
    with contextlib.chdir(folder or "."):
        try:
            worker = _worker(plan, number, seen)
            with _stopped_by_cancel(worker):
                worker.run()
        except ArchError as problem:
            return REFUSED, False, problem.diagnostics[0].headline()
        except BrokenDeviceError:
            os._exit(BROKEN)  # the next task gets another process
    return (0 if worker.is_over else None), worker.found_any, "it said nothing"


def _worker(plan: str, number: int, seen: int) -> Turn:
    if plan not in _kept:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        for other in _kept.values():
            other.close()
        _kept.clear()
        session = Session(Plan.from_json(plan), patience=AWAY)
        session.check_here(seen)
        _kept[plan] = Turn(session, number)
    _kept[plan].begin()
    return _kept[plan]


@contextlib.contextmanager
def _stopped_by_cancel(worker: Worker) -> Iterator[None]:
    """Lets `ray.cancel` stop a worker.

    Ray marks an interrupt as if it had come, which ends no sleep and no wait for a file. Python tells of it by a byte
    at once; a thread that reads it sends a real one, which Ray's processes block.
    """
    told, tells = socket.socketpair()
    tells.setblocking(False)
    main = threading.get_ident()

    def pass_on() -> None:
        while byte := told.recv(1):
            if byte[0] == signal.SIGINT:
                signal.pthread_kill(main, signal.SIGINT)
                return

    thread = threading.Thread(target=pass_on, daemon=True)
    handler = signal.signal(signal.SIGINT, worker.stop)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    before = signal.set_wakeup_fd(tells.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        tells.close()  # ends the thread
        thread.join()
        told.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)
