"""Searches a space: proposes candidates within their budgets, evaluates them in many processes, keeps every result.

`plan` is what is asked; `evaluator` tells how good a candidate is; `storage` and `trials` keep what is known, for all
processes; `propose` finds the next candidate, `worker` evaluates; an `engine` starts workers, as `processes` or on a
`cluster`, and `run` keeps them going. `results` are what they find; `reading` opens those of an earlier run, `report`
shows them as a page.
Optuna is imported here only; Ray, where it is asked for.
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
    progress: Any = None,
    **fixed: Any,
) -> Found:
    """Searches the space that a file declares; the words are those of `resnext-dsl search`.

    Args:
        spec: A path, or the name of a shipped network.
        maximize: Metrics that should be large: params, flops, macs, activations, or what the evaluator gives.
        minimize: Metrics that should be small.
        budget: The budgets to keep, by name; all of the file by default.
        trials: Candidates to evaluate in all, those of earlier runs of the same study included.
        workers: Processes; or, with "ray", how many trials the cluster is given at a time.
        storage: URL of a database: `sqlite:///FILE.db` (by default in the working folder), `postgresql://...`.
        study: The name that the results are kept under; that of the network by default.
        sampler: "nsga2", "tpe", "random" or "regularized-evolution".
        evaluator: `module:function`, which gives a dict of metrics for a model and a candidate; or the name of a
            built-in one: "cost" looks at the cost only, others train. A function itself is called in this process, so
            there is one worker.
        seed: Of everything that is random; with one worker the same seed gives the same search.
        screen: Candidates to draw, of which the best by `score` are evaluated; by their cost where there is no score.
        score: A training-free score.
        heartbeat: Seconds between the signs of life of a trial.
        constrain: Bounds on metrics, such as "accuracy >= 0.9", that results on the front keep.
        measure: Times on this machine the latencies that budgets limit; what misses one is not evaluated.
        choices: Keyword arguments of the evaluator: {"epochs": 4, "data_dir": "cifar"} for one that trains.
        engine: "processes" of this machine, or "ray": trials go to a cluster, that of RAY_ADDRESS or of this machine.
        resources: What a trial needs of the cluster: {"cpu": 2, "gpu": 0.5}; a CPU by default.
        root: The folder that imports stay under.
        progress: Called with the standing and the stages now and then.
        **fixed: Values for parameters that do not vary.

    Raises:
        ArchError: For what cannot be done; nothing is lost.
    """
    named = evaluator if isinstance(evaluator, str) else _name_of(evaluator)
    plan = Plan(
        str(spec), fixed, root, _names(maximize), _names(minimize), _names(budget), trials, workers, storage, study,
        sampler, named, seed, screen, score, heartbeat, _names(constrain), measure, dict(choices or {}),
        engine, dict(resources or {}),
    )  # fmt: skip
    if isinstance(evaluator, str):
        return run(plan, progress=progress)
    if workers != 1 or engine != "processes":
        found = f"{workers} workers" if workers != 1 else f"engine `{engine}`"
        message = f"a function is called in this process; found {found}"
        raise ArchError([Diagnostic("E721", message, hint=f'give its name: evaluator="{named}"', file="evaluator")])
    return run(plan, Evaluator(evaluator, plan.choices), progress)


def _name_of(evaluator: Callable[..., Any]) -> str:
    """What a function is called; of an object that can be called, its class."""
    named = evaluator if hasattr(evaluator, "__qualname__") else type(evaluator)
    return f"{named.__module__}:{named.__qualname__}"


def _names(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
