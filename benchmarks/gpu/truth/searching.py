"""Searches whose workers share the GPU: latencies against an idle GPU, and faults that must cost no trial."""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.gpu.command import resnext_dsl
from benchmarks.gpu.environment import installed
from benchmarks.gpu.networks import tiny_spec
from benchmarks.gpu.run import Run

TRIALS, WORKERS = 8, 4
TIMES_IDLE = 1.25
"""A latency taken during a search may be so many times that of an idle GPU."""


def four_workers(run: Run) -> None:
    """Four workers with a latency budget; their latencies against those of an idle GPU."""
    if not _can_search(run, "search"):
        return
    workers = run.size(WORKERS, 2)
    what = f"search, workers: {workers}"
    with run.item(what):
        trials = run.size(TRIALS, 2)
        evaluator = ["--evaluator", "benchmarks.gpu.evaluators:trains_on_noise"]
        evaluator += ["--choice", f"device={run.device.type}", "--choice", f"seconds={0.1 if run.dry else 1.5}"]
        found = _search(run, "workers", trials, workers, *evaluator, "--measure")
        run.check(what, *_completed(found, trials))
        _against_idle(run, found["trials"][: run.size(4, 1)])


def _against_idle(run: Run, trials: list[dict[str, Any]]) -> None:
    """Times candidates again, now that nothing else runs."""
    metric = f"latency({run.device.type}, 1)"
    ratios = []
    for trial in trials:
        values = [item for pair in trial["candidate"].items() for item in ("--set", f"{pair[0]}={pair[1]}")]
        answer = resnext_dsl(run, "check", str(tiny_spec(run)), *values, "--measure", "--json").answer()
        idle = next(line["used"] for line in answer["budgets"] if line["measure"] == "latency")
        ratios.append(trial["metrics"][metric] / idle)
    run.measured("latencies during the search", ratios=ratios)
    worst = max(ratios)
    figure = f"median {statistics.median(ratios):.2f}, largest {worst:.2f} of an idle GPU's (limit {TIMES_IDLE})"
    run.check("latencies during the search", worst <= TIMES_IDLE or not run.cuda, figure, gpu_only=True)


def faults(run: Run) -> None:
    """A trial that runs out of memory, and one that breaks its worker's CUDA context: no trial is lost."""
    what = "search, out of memory and a device-side assert"
    if not _can_search(run, what):
        return
    with run.item(what):
        mark = run.folder / "fault"
        evaluator = ["--evaluator", "benchmarks.gpu.evaluators:faults_once", "--choice", f"mark={mark}"]
        where = ["--choice", f"device={'cuda:0' if run.cuda else 'cpu'}"]
        trials = run.size(6, 3)
        found = _search(run, "faults", trials, 1, *evaluator, *where)
        right, figure = _completed(found, trials)
        run.check(what, right or not run.cuda, figure, gpu_only=True)


def _search(run: Run, name: str, trials: int, workers: int, *more: str) -> dict[str, Any]:
    asked = ["--maximize", "accuracy", "--trials", str(trials), "--workers", str(workers), "--sampler", "random"]
    storage = ["--storage", f"sqlite:///{run.folder / name}.db", "--heartbeat", "5"]
    answer: dict[str, Any] = resnext_dsl(run, "search", str(tiny_spec(run)), *asked, *storage, *more, "--json").answer()
    return answer


def _completed(found: dict[str, Any], trials: int) -> tuple[bool, str]:
    """Whether all trials of a search have a result, and a figure."""
    failures = found["failures"]
    figure = f"{len(found['trials'])} of {trials} trials have a result"
    if failures:
        figure += f"; the first failure: {failures[0]['reason'][:120]}"
    return len(found["trials"]) == trials and not failures, figure


def _can_search(run: Run, what: str) -> bool:
    if installed("optuna"):
        return True
    run.left_out(what, "optuna is not installed")
    return False
