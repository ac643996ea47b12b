"""Workers killed at random while they work: nothing acknowledged is lost, nothing counts twice, nothing runs for ever."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import pytest
from search_specs import SPACE

from resnext_dsl.searches.plan import Plan, identity
from resnext_dsl.searches.storage import close, open_storage, open_study
from resnext_dsl.searches.trials import KEY, REASON, STOPPED, VOID, all_trials, standing

HERE = Path(__file__).parent
HEARTBEAT = 1


def plan_for(folder: Path, url: str, trials: int, study: str = "kills") -> Plan:
    spec = folder / "space.arch"
    spec.write_text(SPACE)
    objectives = ("accuracy",), ("flops",), ("small",)
    return Plan(
        str(spec), {}, None, *objectives, trials, 1, url, study, "random", "search_evaluators:slow", 0, 0, "", HEARTBEAT
    )


@contextlib.contextmanager
def opened(plan: Plan) -> Iterator[optuna.Study]:
    storage = open_storage(plan.storage, plan.heartbeat, plan.grace)
    try:
        yield open_study(storage, plan.study, plan, identity(plan, plan.space()))
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


def hold_kills(plan: Plan, workers: int, kills: int, folder: Path, seed: int = 0) -> None:
    log = folder / f"{plan.study}.log"
    with opened(plan) as study:
        kill(plan, study, log, workers, kills, random.Random(seed))
        if any(trial.state.name == "RUNNING" for trial in all_trials(study)):
            time.sleep(2 * plan.grace)
        trials = all_trials(study)
    now = standing(trials)
    assert len(now.done) == plan.trials
    assert not now.dead
    assert not [trial for trial in trials if trial.state.name == "RUNNING"]
    # No acknowledged result is lost, and each is there once.
    acknowledged = [line.split() for line in log.read_text().splitlines()]
    results = {trial.number: trial.values[0] for trial in now.done}
    assert len({number for number, _ in acknowledged}) == len(acknowledged)
    assert all(results[int(number)] == float(value) for number, value in acknowledged)
    keys = [trial.user_attrs[KEY] for trial in now.done]
    assert len(set(keys)) == len(keys)
    # What was killed was tried again.
    lost = [t for t in trials if t.state.name == "FAIL" and not {REASON, VOID, STOPPED} & set(t.user_attrs)]
    assert {trial.user_attrs[KEY] for trial in lost} <= set(keys)
    assert lost or kills < 10


def kill(plan: Plan, study: optuna.Study, log: Path, workers: int, kills: int, source: random.Random) -> None:
    """Kills workers at random, and starts others in their place, until the search is done."""
    processes = [started(plan, number, log) for number in range(workers)]
    killed = 0
    end = time.monotonic() + 420
    while any(process.poll() is None for process in processes):
        assert time.monotonic() < end, standing(all_trials(study))
        time.sleep(source.uniform(0.05, 0.3))
        # Those that work are worth more than those that start.
        victims = [process for process in processes if process.poll() is None]
        if killed < kills and victims and standing(all_trials(study)).running:
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


def test_a_few_kills(tmp_path: Path) -> None:
    hold_kills(plan_for(tmp_path, f"sqlite:///{tmp_path}/few.db", 25), 2, 4, tmp_path)


@pytest.mark.slow
def test_fifty_kills_of_eight_workers(tmp_path: Path) -> None:
    hold_kills(plan_for(tmp_path, f"sqlite:///{tmp_path}/many.db", 70), 8, 50, tmp_path)


def test_a_few_kills_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    hold_kills(plan_for(tmp_path, postgresql, 25, "few"), 2, 4, tmp_path)


@pytest.mark.slow
def test_fifty_kills_of_eight_workers_on_postgresql(tmp_path: Path, postgresql: str) -> None:
    hold_kills(plan_for(tmp_path, postgresql, 70, "many"), 8, 50, tmp_path)
