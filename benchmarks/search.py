"""Times the overhead of a search per trial against plain Optuna on the same database.

python benchmarks/search.py [TRIALS [ROUNDS [STORAGE]]]
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from space import SPEC
from timing import machine, processor_time

import resnext_dsl as rx
from resnext_dsl.searches.storage import close, open_storage

SAMPLERS = ("random", "nsga2")
BOUND = 1.0
"""Largest overhead of a search per trial, in multiples of plain Optuna's time."""

WIDE = SPEC.replace("{1, 2, 4, 8, 16, 32, 64}", "1..64").replace("1..12", "1..36").replace("12G", "24G")


def main() -> None:
    """Prints the figures."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 250
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    print(machine())
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "resnexts.arch"
        spec.write_text(SPEC)
        url = sys.argv[3] if len(sys.argv) > 3 else f"sqlite:///{folder}/both.db"
        for sampler in SAMPLERS:
            _compare(spec, url, sampler, trials, rounds)
        _million(Path(folder))


def _compare(spec: Path, url: str, sampler: str, trials: int, rounds: int) -> None:
    """Alternates rounds of a search and of plain Optuna, each with its own study in one database."""
    ours, networks, peer, alike = [], [], [], []
    for number in range(rounds):
        name = f"{sampler}-{time.time_ns()}"
        turns: list[Callable[[], None]] = [
            lambda: ours.append(_timed(partial(_search, spec, url, name, sampler, trials), trials)),  # noqa: B023
            lambda: peer.append(_timed(partial(_optuna, url, f"{name}-plain", sampler, trials, False), trials)),  # noqa: B023
            lambda: alike.append(_timed(partial(_optuna, url, f"{name}-alike", sampler, trials, True), trials)),  # noqa: B023
        ]
        for turn in turns if number % 2 == 0 else turns[::-1]:
            turn()
        networks.append(_timed(partial(_networks, spec, ours[-1][1]), trials))
    for what, place in (("wall time", 0), ("CPU time", 1)):
        whole, bound, theirs, same = ([times[place] for times, _ in taken] for taken in (ours, networks, peer, alike))
        overhead = [a - b for a, b in zip(whole, bound, strict=True)]
        print(
            f"{sampler}, {trials} trials on {url.partition(':')[0]}, {rounds} rounds, {what}: {_median(whole):.2f} ms "
            f"a trial: {_median(bound):.2f} to bind and price its network, {_median(overhead):.2f} for the search"
        )
        ratio = _median([a / b for a, b in zip(overhead, theirs, strict=True)])
        alike_ratio = _median([a / b for a, b in zip(overhead, same, strict=True)])
        print(f"  plain Optuna, without networks: {_median(theirs):.2f} ms, ratio {ratio:.2f}", end="; ")
        print(f"with the storage options of the search: {_median(same):.2f} ms, ratio {alike_ratio:.2f}")
        print(f"  bound {BOUND:g} of plain Optuna: {_kept(ratio <= BOUND)}")


_median = statistics.median


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT kept"


def _timed(run: Callable[[], Any], trials: int) -> tuple[tuple[float, float], Any]:
    """Milliseconds of wall and CPU time per trial, and the result of the run."""
    start, before = time.perf_counter(), processor_time()
    result = run()
    taken = time.perf_counter() - start, processor_time() - before
    return (1000 * taken[0] / trials, 1000 * taken[1] / trials), result


def _search(spec: Path, url: str, name: str, sampler: str, trials: int) -> Any:
    def accuracy(network: Any, candidate: Any) -> dict[str, float]:
        return {"accuracy": candidate["width"] / (candidate["depth3"] + candidate["depth4"])}

    results = rx.search(
        str(spec),
        maximize="accuracy",
        minimize="flops",
        trials=trials,
        sampler=sampler,
        evaluator=accuracy,
        storage=url,
        study=name,
        progress=False,
    )
    assert len(results.trials) == trials
    return results


def _networks(spec: Path, results: Any) -> None:
    """Binds and prices the networks of a search in a new space, as every search has to."""
    space = rx.space(str(spec))
    for trial in results.trials:
        space.bind(trial.candidate).cost()


def _optuna(url: str, name: str, sampler: str, trials: int, alike: bool) -> None:
    """Runs plain Optuna with the same parameters and sampler, but without costs or a check for repeated candidates.

    The storage has Optuna's defaults. If `alike`, it has the options of a search: heartbeats, and for SQLite no wait
    for the disk at each step.
    """
    samplers = {"random": optuna.samplers.RandomSampler, "nsga2": optuna.samplers.NSGAIISampler}
    storage = open_storage(url, 20, 60) if alike else optuna.storages.RDBStorage(url)
    study = optuna.create_study(
        storage=storage, study_name=name, sampler=samplers[sampler](seed=0), directions=["maximize", "minimize"]
    )

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        cardinality = trial.suggest_categorical("cardinality", [1, 2, 4, 8, 16, 32, 64])
        width = trial.suggest_int("width", 1, 64)
        depth3, depth4 = trial.suggest_int("depth3", 1, 12), trial.suggest_int("depth4", 1, 36)
        return width / (depth3 + depth4), cardinality

    study.optimize(objective, n_trials=trials)
    close(storage)


def _million(folder: Path) -> None:
    """Draws a million candidates within their budget and ranks them by cost, with the command."""
    spec = folder / "wide.arch"
    spec.write_text(WIDE)
    goals = ["--maximize", "params", "--minimize", "flops", "--evaluator", "cost"]
    screen = ["--screen", "1000000", "--trials", "50", "--json", "--storage", f"sqlite:///{folder}/wide.db"]
    start = time.perf_counter()
    command = [sys.executable, "-m", "resnext_dsl", "search", str(spec), *goals, *screen]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    taken = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    drawn, ranked = json.loads(done.stdout)["stages"]
    print(
        f"`resnext-dsl search --screen 1000000`: {drawn['came']:,} looked at, {drawn['went']:,} within the budget, "
        f"{ranked['went']} on: {taken:.1f} s, its processes held {memory / 1e6:,.0f} MB at most"
    )
    print(f"  bound 1 GB: {_kept(memory < 1e9)}")


if __name__ == "__main__":
    main()
