"""Workers killed at random while they work: nothing acknowledged is lost, nothing counts twice, nothing runs for ever."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from search_evaluators import accuracy
from search_specs import SPACE

from resnext_dsl.searches.database import Records
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.storage import close, open_storage
from resnext_dsl.searches.studies import open_study
from resnext_dsl.searches.trials import (
    ATTEMPTS,
    REASON,
    STOPPED,
    VOID,
    StaleCheck,
    all_trials,
    candidate_of,
    known_key,
    running_numbers,
    standing,
)

HERE = Path(__file__).parent
HEARTBEAT = 1


def plan_for(
    folder: Path, url: str, trials: int, study: str = "kills", evaluator: str = "search_evaluators:slow"
) -> Plan:
    spec = folder / "space.arch"
    spec.write_text(SPACE)
    objectives = ("accuracy",), ("flops",), ("small",)
    return Plan(str(spec), {}, None, *objectives, trials, 1, url, study, "random", evaluator, 0, 0, "", HEARTBEAT)


@contextlib.contextmanager
def opened(plan: Plan) -> Iterator[Records]:
    storage = open_storage(plan.storage, plan.heartbeat, plan.grace)
    try:
        yield open_study(storage, plan.study, plan, plan.space()).records
    finally:
        close(storage)


def started(plan: Plan, number: int, log: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "kill_worker.py"), str(number), str(log)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(plan.to_json() + "\n")
    process.stdin.flush()
    return process


def ended(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()


Killed = Callable[[Plan, Records, Path, int, int, random.Random], None]
"""Runs a search to its end in spite of kills; every result that is acknowledged to it is written to a file."""


def hold_kills(plan: Plan, workers: int, kills: int, folder: Path, killed: Killed) -> None:
    log = folder / f"{plan.study}.log"
    with opened(plan) as records:
        killed(plan, records, log, workers, kills, random.Random(0))
        # Workers without a supervisor leave the trials of those that were killed last to the workers of a later run.
        watch, end = StaleCheck(records, plan.heartbeat, plan.grace), time.monotonic() + 6 * plan.grace
        while (running := running_numbers(all_trials(records))) and time.monotonic() < end:
            if killed is processes_killed:
                watch.check(running)
            time.sleep(plan.heartbeat)
        trials = all_trials(records)
    now = standing(trials)
    assert len(now.done) + len(now.failed) == plan.trials
    # The processes of a cluster work for some time before they are killed, so that one trial may be hit again and again.
    assert not now.failed or killed is tasks_killed
    assert not now.dead
    assert not [trial for trial in trials if trial.state.name == "RUNNING"]
    # No acknowledged result is lost, and each is there once.
    acknowledged = [line.split() for line in log.read_text().splitlines()]
    results = {trial.number: trial.values[0] for trial in now.done}
    assert len({number for number, _ in acknowledged}) == len(acknowledged)
    assert all(results[int(number)] == float(value) for number, value in acknowledged)
    # Each result is that of its own candidate, and not of another one that the worker evaluated before.
    space = plan.space()
    for trial in now.done:
        candidate = candidate_of(trial)
        assert candidate is not None
        assert trial.values == [accuracy(None, candidate)["accuracy"], space.bind(candidate).cost().flops]
    keys = [known_key(trial) for trial in now.done]
    assert len(set(keys)) == len(keys)
    # What was killed was tried again.
    lost = [t for t in trials if t.state.name == "FAIL" and not {REASON, VOID, STOPPED} & set(t.user_attrs)]
    attempts = Counter(known_key(trial) for trial in lost)
    given_up = {known_key(trial) for trial in now.failed}
    assert attempts.keys() <= set(keys) | given_up
    assert all(attempts[key] == ATTEMPTS for key in given_up)
    assert lost or kills < 10


def processes_killed(plan: Plan, records: Records, log: Path, workers: int, kills: int, source: random.Random) -> None:
    """Kills workers at random, and starts others in their place, until the search is done."""
    processes = [started(plan, number, log) for number in range(workers)]
    killed = 0
    end = time.monotonic() + 420
    while any(process.poll() is None for process in processes):
        assert time.monotonic() < end, standing(all_trials(records))
        time.sleep(source.uniform(0.05, 0.3))
        # Those that work are worth more than those that start.
        victims = [process for process in processes if process.poll() is None]
        if killed < kills and victims and standing(all_trials(records)).running:
            victim = source.choice(victims)
            victim.kill()
            victim.wait()
            killed += 1
        for number, process in enumerate(processes):
            if process.poll() not in (None, 0):
                assert process.returncode == -9
                ended(process)
                processes[number] = started(plan, number + workers * (killed + 1), log)
    for process in processes:
        ended(process)
    assert killed == kills


def tasks_killed(plan: Plan, records: Records, log: Path, workers: int, kills: int, source: random.Random) -> None:
    """Kills processes of a Ray cluster at random, once they have begun a trial, until the search is done."""
    folder = log.parent
    (folder / "log.path").write_text(str(log))
    asked = plan._replace(engine="ray", workers=workers, resources={"cpu": 1})
    program = "import sys; from resnext_dsl.searches import Plan, run; run(Plan.from_json(sys.stdin.read()))"
    search = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, text=True, cwd=folder)
    assert search.stdin is not None
    search.stdin.write(asked.to_json())
    search.stdin.close()
    killed = 0
    end = time.monotonic() + 420
    while search.poll() is None:
        assert time.monotonic() < end, standing(all_trials(records))
        time.sleep(source.uniform(0.05, 0.3))
        victims = [number for number in sorted(map(_number_of, folder.glob("*.worker"))) if _has_a_task(number)]
        # A cluster takes longer to start a process than to run a trial; those that are left have work to be lost.
        if killed < kills and len(victims) > workers // 4:
            os.kill(source.choice(victims), signal.SIGKILL)
            killed += 1
        if killed == kills:
            (folder / "enough").touch()
    assert search.returncode == 0
    assert killed == kills


def _number_of(path: Path) -> int:
    return int(path.stem)


def _has_a_task(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/cmdline").read_bytes().startswith(b"ray::resnext-dsl search")
    except OSError:
        return False


@pytest.fixture
def ray_here(one_node: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cluster of the tests is found, and what it runs finds the evaluators."""
    monkeypatch.setenv("RAY_ADDRESS", one_node)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")])))


def test_a_few_kills(tmp_path: Path) -> None:
    hold_kills(plan_for(tmp_path, f"sqlite:///{tmp_path}/few.db", 18), 2, 3, tmp_path, processes_killed)


@pytest.mark.slow
def test_fifty_kills_of_eight_workers(tmp_path: Path) -> None:
    hold_kills(plan_for(tmp_path, f"sqlite:///{tmp_path}/many.db", 70), 8, 50, tmp_path, processes_killed)


@pytest.mark.slow
def test_a_few_kills_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    hold_kills(plan_for(tmp_path, postgresql, 25, "few"), 2, 4, tmp_path, processes_killed)


@pytest.mark.slow
def test_fifty_kills_of_eight_workers_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    hold_kills(plan_for(tmp_path, postgresql, 70, "many"), 8, 50, tmp_path, processes_killed)


RAY = "kill_evaluators:slow"


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_a_few_kills_on_ray(tmp_path: Path) -> None:
    hold_kills(plan_for(tmp_path, f"sqlite:///{tmp_path}/few.db", 12, "few", RAY), 2, 4, tmp_path, tasks_killed)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_fifty_kills_of_eight_workers_on_ray(tmp_path: Path) -> None:
    hold_kills(plan_for(tmp_path, f"sqlite:///{tmp_path}/many.db", 200, "many", RAY), 8, 50, tmp_path, tasks_killed)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_here")
def test_fifty_kills_of_eight_workers_on_ray_and_postgresql(tmp_path: Path, postgresql: str) -> None:
    hold_kills(plan_for(tmp_path, postgresql, 200, "on-ray", RAY), 8, 50, tmp_path, tasks_killed)
