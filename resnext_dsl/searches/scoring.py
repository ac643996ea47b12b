"""Scores candidates without training, in this process or in as many processes as a search has workers."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, did_you_mean
from resnext_dsl.searches.plan import Plan
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space

BATCH = 16
"""Images in the batch of a score."""

OnScores = Callable[[int], None]
"""A function that gets the number of candidates with a score, each time that it grows."""


def check_score(name: str) -> None:
    """Raises ArchError E721, with the nearest name, if the score is unknown."""
    from resnext_dsl.train.scores import SCORES

    if name not in SCORES:
        hint = did_you_mean(name, SCORES) or f"scores: {', '.join(SCORES)}"
        raise ArchError([Diagnostic("E721", f"unknown score `{name}`", hint=hint, file="--score")])


def scores(space: Space, candidates: Sequence[Candidate], plan: Plan, on_score: OnScores) -> list[float]:
    """The score of each candidate; a score that is not finite counts as the worst.

    Raises:
        ArchError: E724 if a process ends with an error.
    """
    count = min(plan.workers, len(candidates))
    if count > 1:
        return _shared(space, candidates, plan, on_score, count)
    values = []
    for candidate in candidates:
        values.append(_score(space, candidate, plan))
        on_score(len(values))
    return values


def _score(space: Space, candidate: Candidate, plan: Plan) -> float:
    from resnext_dsl.train.scores import SCORES, random_batch

    network = space.bind(candidate)
    shape, classes = network.ir.nodes[0].shape, network.ir.nodes[network.ir.outputs[0].node].shape[0]
    batch = random_batch(shape, classes, BATCH, plan.seed)
    value = float(SCORES[plan.score].compute(network.compile(seed=plan.seed), batch))
    return value if math.isfinite(value) else -math.inf


# --- in several processes ---


def _shared(space: Space, candidates: Sequence[Candidate], plan: Plan, on_score: OnScores, count: int) -> list[float]:
    """Scores in `count` processes. Each takes every `count`-th candidate, so that their shares take about as long."""
    plan_text = plan._replace(settings=space.fixed).to_json()
    values: dict[int, float] = {}
    lock = threading.Lock()

    def take(first: int, number: int, value: float) -> None:
        with lock:
            values[first + number * count] = value
            on_score(len(values))

    processes = [_Process() for _ in range(count)]
    try:
        with ThreadPoolExecutor(count) as pool:
            try:
                asked = [
                    pool.submit(process.ask, count, plan_text, candidates[k::count], partial(take, k))
                    for k, process in enumerate(processes)
                ]
                for answer in asked:
                    answer.result()
            except BaseException:
                for process in processes:
                    process.kill()
                raise
    finally:
        for process in processes:
            process.close()
    return [values[place] for place in range(len(candidates))]


class _Process:
    """A process that scores candidates."""

    def __init__(self) -> None:
        path = os.pathsep.join(filter(None, [str(Path.cwd()), os.environ.get("PYTHONPATH")]))
        self._errors: IO[str] = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from resnext_dsl.searches.scoring import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Ctrl-C reaches the search only, which ends this process
        )

    def ask(self, count: int, plan: str, share: Sequence[Candidate], take: Callable[[int, float], None]) -> None:
        """Sends candidates to the process and receives their scores, in order."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        values = json.dumps([candidate.to_json() for candidate in share])
        try:
            self._process.stdin.write(f"{count}\n{plan}\n{values}\n")
            self._process.stdin.close()
        except BrokenPipeError:  # it has ended already; its error is read below
            pass
        for number, line in enumerate(self._process.stdout):
            take(number, float(line))
        if self._process.wait():
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no output"])[-1]
            message = f"a scoring process ended with status {self._process.returncode}: {last}"
            raise ArchError([Diagnostic("E724", message[:400], file="search")])

    def kill(self) -> None:
        """Kills the process."""
        self._process.kill()

    def close(self) -> None:
        """Kills the process and closes its streams."""
        self.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()


def main() -> None:
    """Scores candidates. Standard input has three lines: the number of scoring processes, the plan, the candidates."""
    processes, plan_text, values = sys.stdin.read().splitlines()
    plan = Plan.from_json(plan_text)
    space = plan.space()
    import torch  # only now: an error in the spec does not wait for it

    torch.set_num_threads(max(1, torch.get_num_threads() // int(processes)))
    for one in json.loads(values):
        sys.stdout.write(f"{_score(space, space.candidate(one), plan)!r}\n")
        sys.stdout.flush()
