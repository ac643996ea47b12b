"""What a search itself takes for a trial, against plain Optuna on the same database; a million screened in one command.

python benchmarks/search.py [TRIALS]
"""

from __future__ import annotations

import json
import resource
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

SAMPLERS = ("random", "nsga2")
BOUND = 5.0
"""Milliseconds that a search may take for a trial, so that workers wait for training only."""

WIDE = SPEC.replace("{1, 2, 4, 8, 16, 32, 64}", "1..64").replace("1..12", "1..36").replace("12G", "24G")


def main() -> None:
    """Prints the figures."""
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    print(machine())
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "resnexts.arch"
        spec.write_text(SPEC)
        for sampler in SAMPLERS:
            (ours, work), (found,) = _timed(partial(_search, spec, sampler, trials), trials)
            (bound, bound_work), _ = _timed(partial(_networks, found), trials)
            (peer, _), _ = _timed(partial(_optuna, Path(folder), sampler, trials), trials)
            own, own_work = ours - bound, work - bound_work
            print(
                f"{sampler}, {trials} trials on SQLite: {ours:.2f} ms a trial ({work:.2f} of the processor), of which "
                f"{bound:.2f} make and price the network that is evaluated and {own:.2f} the search takes; "
                f"plain Optuna, without networks: {peer:.2f} ms, ratio {own / peer:.2f}"
            )
            print(f"  bound {BOUND:g} ms: {_kept(own < BOUND)}{'' if own < BOUND else _alone(own_work)}")
        _million(Path(folder))


def _kept(kept: bool) -> str:
    return "kept" if kept else "NOT kept"


def _alone(work: float) -> str:
    return f"; by the processor's time {_kept(work < BOUND)}"


def _timed(run: Callable[[], Any], trials: int) -> tuple[tuple[float, float], tuple[Any]]:
    """Milliseconds a trial, of the time that passes and of the processor; and what the run gives."""
    start, before = time.perf_counter(), processor_time()
    given = run()
    taken = time.perf_counter() - start, processor_time() - before
    return (1000 * taken[0] / trials, 1000 * taken[1] / trials), (given,)


def _search(spec: Path, sampler: str, trials: int) -> Any:
    def accuracy(network: Any, candidate: Any) -> dict[str, float]:
        return {"accuracy": candidate["width"] / (candidate["depth3"] + candidate["depth4"])}

    found = rx.search(
        str(spec),
        maximize="accuracy",
        minimize="flops",
        trials=trials,
        sampler=sampler,
        evaluator=accuracy,
        storage=f"sqlite:///{spec.with_suffix('')}-{sampler}.db",
    )
    assert len(found.trials) == trials
    return found


def _networks(found: Any) -> None:
    """Makes and prices the networks of a search, as any search has to."""
    for trial in found.trials:
        found.space.bind(trial.candidate).cost()


def _optuna(folder: Path, sampler: str, trials: int) -> None:
    """The same parameters and sampler; nothing knows what a candidate costs, or whether it was there before."""
    samplers = {"random": optuna.samplers.RandomSampler, "nsga2": optuna.samplers.NSGAIISampler}
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder}/optuna-{sampler}.db")
    study = optuna.create_study(storage=storage, sampler=samplers[sampler](seed=0), directions=["maximize", "minimize"])

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        cardinality = trial.suggest_categorical("cardinality", [1, 2, 4, 8, 16, 32, 64])
        width = trial.suggest_int("width", 1, 64)
        depth3, depth4 = trial.suggest_int("depth3", 1, 12), trial.suggest_int("depth4", 1, 36)
        return width / (depth3 + depth4), cardinality

    study.optimize(objective, n_trials=trials)
    storage.engine.dispose()


def _million(folder: Path) -> None:
    """Draws a million candidates within their budget and ranks them by their cost, as a user would."""
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
