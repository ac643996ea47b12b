"""Searches a space: proposes candidates within the budgets, evaluates them in many processes, stores every result.

- `plan`: the request.
- `evaluator`: computes the metrics of a candidate.
- `storage`, `studies`, `trials`: the database that all processes share, the study in it, and its trials.
- `patience`, `machines`, `passwords`: waiting for a database, streams of random numbers, URLs without passwords.
- `session`, `propose`, `worker`: a session is what a process needs; `propose` chooses the next candidate; `worker`
  evaluates it.
- `engine`, `processes`, `cluster`, `supervisor`: an engine starts workers as processes or on a Ray cluster; the
  supervisor replaces workers that end.
- `observers`, `progress_display`: what a user sees while a search runs.
- `results`, `reading`, `report`: the results, a reader for the results of an earlier run, and an HTML page of them.

Only this package imports Optuna. It imports Ray only for the engine "ray".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.searches.plan import Plan

try:
    from resnext_dsl.searches.evaluator import Evaluator
    from resnext_dsl.searches.found import Found
    from resnext_dsl.searches.reading import read
    from resnext_dsl.searches.results import Failure, Trial
    from resnext_dsl.searches.supervisor import run
except ModuleNotFoundError as missing:
    if missing.name not in ("optuna", "sqlalchemy"):
        raise
    message = f"searching needs {missing.name}, which is not installed"
    raise ArchError([Diagnostic("E721", message, hint="pip install 'resnext-dsl[search]'", file="search")]) from None

__all__ = ["Failure", "Found", "Plan", "Trial", "read", "run", "search"]


def search(
    spec: str,
    /,
    *,
    maximize: str | Sequence[str] = (),
    minimize: str | Sequence[str] = (),
    budget: str | Sequence[str] = (),
    trials: int = 100,
    workers: int = 1,
    storage: str = "",
    study: str = "",
    sampler: str = "nsga2",
    evaluator: str | Callable[..., Mapping[str, float]] = "digits",
    seed: int = 0,
    screen: int = 0,
    score: str = "",
    heartbeat: int = 20,
    constrain: str | Sequence[str] = (),
    measure: bool = False,
    choices: Mapping[str, Any] | None = None,
    engine: str = "processes",
    resources: Mapping[str, float] | None = None,
    root: str | None = None,
    progress: Any = True,
    **fixed: Any,
) -> Found:
    """Searches the space that a file declares. The arguments have the names of the options of `resnext-dsl search`.

    Args:
        spec: A path, or the name of a shipped network.
        maximize: Metrics to maximize: params, flops, macs, activations, or a metric of the evaluator.
        minimize: Metrics to minimize.
        budget: Names of the budgets that candidates meet; all budgets of the file by default.
        trials: Number of candidates to evaluate, including those of earlier runs of the study.
        workers: Number of processes; with "ray", the number of trials that the cluster gets at a time.
        storage: URL of a database: `sqlite:///FILE.db` (by default in the working folder), `postgresql://...`.
        study: Name of the study in the storage; the name of the network by default.
        sampler: "nsga2", "tpe", "random" or "regularized-evolution".
        evaluator: `module:function`, which returns a dict of metrics for a model and a candidate, or the name of a
            built-in evaluator. "cost" computes the cost only, the others train. A function object runs in this
            process, so it needs `workers=1`.
        seed: Seed of all random numbers; with one worker the same seed gives the same search.
        screen: Number of candidates to draw and rank before training. The best by `score` are evaluated; without a
            score, the best by cost.
        score: Name of a training-free score.
        heartbeat: Seconds between heartbeats of a trial.
        constrain: Bounds on metrics, such as "accuracy >= 0.9". The front has only results that meet them.
        measure: Whether to time the latencies that budgets limit on this machine. A candidate that misses one is
            not evaluated.
        choices: Keyword arguments of the evaluator, such as {"epochs": 4, "data_dir": "cifar"} for one that trains.
        engine: "processes" of this machine, or "ray": a cluster at RAY_ADDRESS or on this machine.
        resources: Resources that a trial needs on the cluster: {"cpu": 2, "gpu": 0.5}; one CPU by default.
        root: The folder that imports stay under.
        progress: True for a line for each trial on standard error, False for none. A function is called repeatedly
            with the standing and the stages.
        **fixed: Values of parameters that do not vary.

    Raises:
        ArchError: If the plan is not valid, or the storage, the cluster or the workers fail. Results stay in the
            storage.
    """
    name = evaluator if isinstance(evaluator, str) else _name_of(evaluator)
    plan = Plan(
        str(spec), fixed, root, _names(maximize), _names(minimize), _names(budget), trials, workers, storage, study,
        sampler, name, seed, screen, score, heartbeat, _names(constrain), measure, dict(choices or {}),
        engine, dict(resources or {}),
    )  # fmt: skip
    if isinstance(evaluator, str):
        return run(plan, progress=progress)
    if workers != 1 or engine != "processes":
        setting = f"{workers} workers" if workers != 1 else f"engine `{engine}`"
        message = f"a function can only run in this process; found {setting}"
        raise ArchError([Diagnostic("E721", message, hint=f'give its name: evaluator="{name}"', file="evaluator")])
    return run(plan, Evaluator(evaluator, plan.choices), progress)


def _name_of(evaluator: Callable[..., Any]) -> str:
    """The name of a function; for another callable object, the name of its class."""
    function = evaluator if hasattr(evaluator, "__qualname__") else type(evaluator)
    return f"{function.__module__}:{function.__qualname__}"


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names)
