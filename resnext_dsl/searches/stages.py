"""The stages before anything is trained: candidates drawn within the budgets, and the best of them by score or cost."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from resnext_dsl.diagnostics import ArchError, Diagnostic, did_you_mean
from resnext_dsl.searches.plan import Plan
from resnext_dsl.spaces import Candidate, Space
from resnext_dsl.spaces.lanes import Array

BATCH = 16
"""Images that a score looks at."""


class Stage(NamedTuple):
    """What a stage did: how many candidates came in, how many went on."""

    name: str
    came: int
    went: int


def chosen(space: Space, plan: Plan) -> tuple[list[Candidate], list[Stage]]:
    """The candidates that a score, or their cost, prefers, the best first, and the stages that led to them.

    Raises:
        ArchError: E721 for an unknown score, E604 where the budgets leave nothing.
    """
    if plan.score:
        _check_score(plan.score)
    sample = space.sample(plan.screen, plan.seed, plan.budget or None)
    drawn = Stage("keep the budgets", sample.looked_at, len(sample))
    if plan.score:
        scores = _scores(space, sample, plan)
        order = sorted(range(len(sample)), key=lambda place: -scores[place])[: plan.trials]
    else:
        signs = [-1 if direction == "maximize" else 1 for direction in plan.directions]
        objectives = zip(signs, plan.objectives, strict=True)
        order = best([sign * sample.costs[name] for sign, name in objectives], plan.trials)
    by = plan.score or ", ".join(plan.objectives)
    return [sample[place] for place in order], [drawn, Stage(f"ranked by {by}", len(sample), len(order))]


# --- by cost ---


def best(columns: Sequence[Array], count: int) -> list[int]:
    """The places of the rows that are smallest: those that nothing beats, then those that only these beat, and so on.

    Of a layer that does not fit as a whole, rows are taken evenly along the first column.
    """
    # By their ranks, so that sums are exact.
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
    left = np.arange(len(ranks))
    found: list[int] = []
    while len(found) < count and len(left):
        layer = unbeaten(ranks[left])
        places = left[layer][np.lexsort(ranks[left[layer]].T[::-1])]
        room = count - len(found)
        if len(places) > room:
            places = places[np.linspace(0, len(places) - 1, room).round().astype(np.int64)]
        found += places.tolist()
        left = np.delete(left, layer)
    return found


def unbeaten(ranks: Array) -> Array:
    """The places of the rows than which no other is smaller somewhere and nowhere larger."""
    left, sums = np.arange(len(ranks)), ranks.sum(axis=1)
    found = []
    while len(left):
        least = left[np.argmin(sums[left])]  # what would beat it would have a smaller sum
        found.append(least)
        larger = ranks[left] >= ranks[least]
        equal = (ranks[left] == ranks[least]).all(axis=1)
        found += [place for place in left[equal] if place != least]
        left = left[~larger.all(axis=1)]
    return np.array(sorted(found), dtype=np.int64)


# --- by score ---


def _check_score(name: str) -> None:
    from resnext_dsl.scores import SCORES

    if name not in SCORES:
        hint = did_you_mean(name, SCORES) or f"scores: {', '.join(SCORES)}"
        raise ArchError([Diagnostic("E721", f"no score is named `{name}`", hint=hint, file="--score")])


def _scores(space: Space, candidates: Sequence[Candidate], plan: Plan) -> list[float]:
    """The score of each candidate, computed by as many processes as there are workers.

    Raises:
        ArchError: E724 where a process ends without an answer.
    """
    count = min(plan.workers, len(candidates))
    if count == 1:
        return [_score(space, candidate, plan) for candidate in candidates]
    settled = plan._replace(settings=space.fixed).to_json()
    shares = [json.dumps([candidate.to_json() for candidate in candidates[k::count]]) for k in range(count)]
    with ThreadPoolExecutor(count) as pool:
        found = list(pool.map(_scored_apart, [f"{count}\n{settled}\n{share}" for share in shares]))
    return [found[place % count][place // count] for place in range(len(candidates))]


def _scored_apart(asked: str) -> list[float]:
    command = [sys.executable, "-m", "resnext_dsl.searches.stages"]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        message = f"a process that scores ends with status {done.returncode}: {last}"
        raise ArchError([Diagnostic("E724", message[:400], file="search")])
    return [float(number) for number in done.stdout.split()]


def main() -> None:
    """Scores the candidates that come on standard input, after how many processes share the cores, and the plan."""
    import torch

    processes, settled, values = sys.stdin.read().splitlines()
    torch.set_num_threads(max(1, torch.get_num_threads() // int(processes)))
    plan = Plan.from_json(settled)
    space = plan.space()
    print(*(_score(space, space.candidate(one), plan) for one in json.loads(values)))  # noqa: T201


def _score(space: Space, candidate: Candidate, plan: Plan) -> float:
    """The score of a candidate; one that is no number is worse than any."""
    from resnext_dsl.scores import SCORES, random_batch

    network = space.bind(candidate)
    shape, classes = network.ir.nodes[0].shape, network.ir.nodes[network.ir.outputs[0].node].shape[0]
    batch = random_batch(shape, classes, BATCH, plan.seed)  # type: ignore[arg-type]
    value = float(SCORES[plan.score].compute(network.compile(seed=plan.seed), batch))
    return value if math.isfinite(value) else -math.inf


if __name__ == "__main__":
    main()
