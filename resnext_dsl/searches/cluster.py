"""Workers on a running Ray cluster: trials run as Ray tasks with the resources that they need, and Ray queues them.

A worker is a sequence of tasks. A task evaluates one trial, or several short ones for `TURN` seconds, and returns its
resources. So a search holds no resources while it has no work, and other users of the cluster get their turn. Ray
starts a fresh process for a trial that needs GPUs. Any other process keeps its session for the next task. Ray
retries nothing itself: the study stores which trials died, for any engine that continues it.

With SQLite, tasks run on this machine and in the working folder, like local processes. With a database server, tasks
run on the whole cluster and in a copy of that folder. If the calling program is already connected to Ray, `rx.search`
uses that connection and its environment.
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
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn

import optuna

from resnext_dsl.devices.visible_gpus import gpus
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.engine import BROKEN, REFUSED, engine_error
from resnext_dsl.searches.patience import AWAY, hurry
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.session import Session
from resnext_dsl.searches.trials import REASON, Standing, fail
from resnext_dsl.searches.trouble import BrokenDeviceError
from resnext_dsl.searches.worker import Worker, exit_reason

try:
    import ray
    from ray.exceptions import RayError, RayTaskError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ModuleNotFoundError as missing:
    if missing.name != "ray":
        raise
    words = "searching on a cluster needs ray, which is not installed"
    raise engine_error(words, "pip install 'resnext-dsl[ray]'", "--engine") from None

TURN = 10.0
"""Seconds after which a task starts no further trial."""

CONNECT = 5.0
"""Seconds to wait for a connection to the cluster; Ray itself waits for a minute."""

LEFT_OUT = ("*.db", "*.db-wal", "*.db-shm", ".git")
"""Files that are not copied to other nodes, in addition to those in the folder's `.gitignore` and `.rayignore`."""

NAMES = {"cpu": "CPU", "gpu": "GPU"}
"""Resources that Ray spells differently. Others keep their name: `memory` in bytes, custom resources of the nodes."""

SUBMITTED = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Environment variable that `ray job submit` sets for its job; it holds the environment of the tasks."""


class Cluster:
    """Submits trials to a Ray cluster."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._local = plan.storage.startswith("sqlite") or not plan.storage
        self._numbers = itertools.count(plan.workers)
        self._connected = False
        self._task: Any = None
        self._seen = 0

    def __enter__(self) -> Cluster:
        """Connects to the cluster at RAY_ADDRESS, or to the cluster on this machine.

        Raises:
            ArchError: E724 if no cluster answers or no node has the resources; E722 if the nodes cannot share the
                storage.
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
        if self._connected:
            ray.shutdown()
            self._connected = False

    def start(self, number: int) -> Turns:
        """Submits the first task of a worker."""
        return Turns(self, self._plan, number)

    def submit(self, name: str, number: int | None = None) -> Any:
        """Submits a task of a worker to Ray's queue, and returns its reference."""
        folder = str(Path.cwd()) if self._local else None
        worker = next(self._numbers) if number is None else number
        return self._task.remote(self._plan.to_json(), worker, name, folder, self._seen)

    # --- before the first task ---

    def _connect(self) -> None:
        address = os.environ.get("RAY_ADDRESS") or "auto"
        environment = self._environment()
        try:
            _check_reachable(address)
            ray.init(address, runtime_env=environment, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, RuntimeError, ValueError, RayError) as problem:
            hint = "start one with `ray start --head`, or name one: RAY_ADDRESS=HOST:6379"
            named = "on this machine" if address == "auto" else f"at {address}"
            raise engine_error(f"cannot use a Ray cluster {named}: {_first_line(problem)}", hint, "--engine") from None
        self._connected = True

    def _environment(self) -> dict[str, Any] | None:
        """The environment of the tasks: they import from this folder or its copy, then from this PYTHONPATH."""
        if SUBMITTED in os.environ:
            return None
        folder, python_path = str(Path.cwd()), os.environ.get("PYTHONPATH")
        if self._local:
            return {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, [folder, python_path]))}}
        self._plan = _with_relative_paths(self._plan)
        environment: dict[str, Any] = {"working_dir": folder, "excludes": list(LEFT_OUT)}
        return {**environment, "env_vars": {"PYTHONPATH": python_path}} if python_path else environment

    def _prepared(self) -> Any:
        """The remote task, with its resources."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
        if self._local and len(nodes) > 1:
            message = f"a SQLite file works on one machine only; the cluster has {len(nodes)} nodes"
            hint = "--storage postgresql://USER@HOST/DATABASE"
            raise ArchError([Diagnostic("E722", message, hint=hint, file="--storage")])
        self._seen = max(len(gpus(os.environ)), int(sum(node.get("GPU", 0) for node in nodes)))
        asked = {"cpu": 1, **self._plan.resources}  # the default of Ray
        needed = {NAMES.get(name, name): amount for name, amount in asked.items()}
        _check_resources(asked, needed, nodes)
        options: dict[str, Any] = {}
        if self._local:  # a node that joins later does not have the file
            node = ray.get_runtime_context().get_node_id()
            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(node, soft=False)
        for name, word in (("CPU", "num_cpus"), ("GPU", "num_gpus"), ("memory", "memory")):
            if name in needed:
                options[word] = needed.pop(name)
        try:
            # Resources passed to `.options` instead would let Ray reuse a process after a trial with GPUs; the process
            # would keep their memory.
            task = ray.remote(max_retries=0, resources=needed, **options)(turn)
            return task.options(name="resnext-dsl search")
        except ValueError as problem:
            raise engine_error(f"Ray refuses these resources: {_first_line(problem)}", "", "--resources") from None


def _check_reachable(address: str) -> None:
    """Raises OSError at once if no process listens at the address."""
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise OSError("this is the address of a Ray client; give that of the cluster, from one of its nodes")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()


def _first_line(problem: BaseException) -> str:
    """The first line of the text of an error."""
    return next(iter(str(problem).strip().splitlines()), type(problem).__name__)


def _check_resources(asked: Mapping[str, float], needed: Mapping[str, float], nodes: list[dict[str, float]]) -> None:
    """Raises ArchError E724 if no node can ever run a trial; Ray itself would wait forever."""
    if any(all(node.get(name, 0) >= amount for name, amount in needed.items()) for node in nodes):
        return
    words = ", ".join(f"{name}={amount:g}" for name, amount in asked.items())
    most = ", ".join(
        f"{name}={max((node.get(NAMES.get(name, name), 0) for node in nodes), default=0):g}" for name in asked
    )
    message = f"no node of the cluster has {words}; the most that one has: {most}"
    raise engine_error(message, "ask for less, or start such a node first", "--resources")


def _with_relative_paths(plan: Plan) -> Plan:
    """A plan whose paths are relative to the working folder, so that they are valid in a copy of it."""
    here = Path.cwd().resolve()
    paths: dict[str, Any] = {}
    for name, value in (("spec", plan.spec), ("root", plan.root)):
        if value is None or not Path(value).exists():  # the name of a shipped network
            continue
        path = Path(value).resolve()
        if not path.is_relative_to(here):
            message = f"{value} is outside the working folder; the nodes of the cluster get a copy of that folder only"
            raise engine_error(message, f"search from {path.parent if name == 'spec' else path}", "--engine")
        paths[name] = str(path.relative_to(here))
    return plan._replace(**paths)


class Turns:
    """A worker: submits one task after another until the search is done."""

    def __init__(self, cluster: Cluster, plan: Plan, number: int) -> None:
        self._cluster = cluster
        self._plan = plan
        self.name = uuid.uuid4().hex
        self._output = "no output"
        self._task = cluster.submit(self.name, number)
        self._waits_until = 0.0
        self._seen: tuple[int, ...] = ()
        self._asked = False

    def status(self, now: Standing) -> int | None:
        """Reads the status of a task that has ended, and submits the next one if it has a trial to evaluate."""
        over = len(now.done) + len(now.failed) >= self._plan.trials
        if self._task is None:
            if not over:
                self._submit_next(now)
            return 0 if over else None
        if not self._ended(0):
            if over:  # it may still wait in the queue, behind the tasks of other users
                self.ask_to_stop()
            return None
        task, self._task = self._task, None
        status, had_trial, self._output = _outcome(task)
        self._waits_until = 0.0 if had_trial else time.monotonic() + self._plan.heartbeat
        if over and self._asked:
            return 0
        return status

    def _submit_next(self, now: Standing) -> None:
        seen = len(now.done) + len(now.failed), len(now.running), len(now.waiting), len(now.dead)
        if seen == self._seen and time.monotonic() < self._waits_until:
            return  # the last task had no trial, and the study has not changed since
        if now.waiting or now.dead or now.counted < self._plan.trials:
            self._seen = seen
            self._task = self._cluster.submit(self.name)

    def ask_to_stop(self) -> None:
        """Removes its task from the queue, or asks a running task to stop."""
        if self._task is not None and not self._asked:
            self._asked = True
            with contextlib.suppress(RayError):
                ray.cancel(self._task, force=False)

    def kill(self) -> None:
        """Kills its task, without a wait."""
        if self._task is not None:
            ray.cancel(self._task, force=True)

    def exit_status(self, status: int) -> int | None:
        """None: Ray does not tell the status of a process. The process itself records an end by its evaluator."""
        return None

    def end(self, seconds: float) -> str:
        """Waits for the end of its task, and kills the task if it has not ended after `seconds`."""
        if self._task is not None:
            with contextlib.suppress(RayError):
                if not self._ended(max(0.1, seconds)):
                    ray.cancel(self._task, force=True)
                    self._ended(CONNECT)
            self._task = None
        return self._output

    def _ended(self, seconds: float) -> bool:
        return bool(ray.wait([self._task], timeout=seconds)[0])


def _outcome(task: Any) -> tuple[int | None, bool, str]:
    """The status of a task, whether it had a trial, and its output. The status is None if the search is not done."""
    try:
        status, had_trial, output = ray.get(task)
    except RayTaskError as problem:
        return 1, True, f"{type(problem.cause).__name__}: {_first_line(problem.cause)}"
    except RayError as problem:
        return 1, True, _first_line(problem)
    return status, had_trial, output


# --- in the process of a task ---

_kept: dict[str, Turn] = {}
"""The worker of this process, by its plan; the next task reuses it and its session."""


class Turn(Worker):
    """A worker that ends its task after `TURN` seconds, or at once if no trial is available."""

    had_trial = False
    _until = 0.0

    def begin(self, name: str) -> None:
        """Starts the turn of a task, for the worker of this name."""
        self.name, self._stop, self.had_trial, self._until = name, False, False, time.monotonic() + TURN
        hurry(AWAY)

    @property
    def is_over(self) -> bool:
        """Whether the turn ended because the search is done."""
        return not self._stop

    def _evaluate(self, trial: Any) -> None:
        self.had_trial = True
        with self._recorded_exit(trial):
            super()._evaluate(trial)
        self._stop = self._stop or time.monotonic() > self._until

    @contextlib.contextmanager
    def _recorded_exit(self, trial: Any) -> Iterator[None]:
        """Lets `os._exit` of the evaluator record the failure of the trial first: Ray does not tell the status."""
        leave, process = os._exit, os.getpid()

        def record_and_leave(status: int) -> NoReturn:
            if os.getpid() == process:  # a process that the evaluator has forked just ends
                fail(self._records, trial, {REASON: exit_reason(status)})
            leave(status)

        os._exit = record_and_leave
        try:
            yield
        finally:
            os._exit = leave

    def _rest(self) -> None:
        self._stop = True


def turn(plan: str, number: int, name: str, folder: str | None, seen: int) -> tuple[int | None, bool, str]:
    """The function of a Ray task: evaluates trials for one turn. Returns the values that `_outcome` describes."""
    with contextlib.chdir(folder or "."):
        try:
            worker = _worker(plan, number, name, seen)
            with _stopped_by_cancel(worker):
                worker.run()
        except ArchError as problem:
            return REFUSED, False, problem.diagnostics[0].headline()
        except BrokenDeviceError:
            os._exit(BROKEN)  # the next task runs in another process
    return (0 if worker.is_over else None), worker.had_trial, "no output"


def _worker(plan: str, number: int, name: str, seen: int) -> Turn:
    if plan not in _kept:
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        for other in _kept.values():
            other.close()
        _kept.clear()
        session = Session(Plan.from_json(plan), patience=AWAY)
        session.check_here(seen)
        _kept[plan] = Turn(session, number)
    _kept[plan].begin(name)
    return _kept[plan]


@contextlib.contextmanager
def _stopped_by_cancel(worker: Worker) -> Iterator[None]:
    """Lets `ray.cancel` stop a worker.

    Ray sets the Python flag of an interrupt without a real signal, so a sleep or a wait for a file goes on. Python
    writes a byte to the wake-up descriptor at once. A thread reads this byte and sends a real SIGINT. Ray's processes
    block that signal, so it is unblocked here.
    """
    receiver, sender = socket.socketpair()
    sender.setblocking(False)
    main = threading.get_ident()

    def forward() -> None:
        while byte := receiver.recv(1):
            if byte[0] == signal.SIGINT:
                signal.pthread_kill(main, signal.SIGINT)
                return

    thread = threading.Thread(target=forward, daemon=True)
    handler = signal.signal(signal.SIGINT, worker.stop)
    blocked = signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    before = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        sender.close()  # ends the thread
        thread.join()
        receiver.close()
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, handler)
