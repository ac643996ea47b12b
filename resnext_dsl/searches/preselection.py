"""The stages before anything is trained: candidates drawn within the budgets, and the best of them by score or cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from resnext_dsl.columns.lanes import Array
from resnext_dsl.searches.plan import Plan
from resnext_dsl.searches.scoring import check_score, scores
from resnext_dsl.spaces.candidate import Candidate
from resnext_dsl.spaces.space import Space

STAGES = "stages"
"""Where a study keeps what its stages have chosen."""


class Stage(NamedTuple):
    """What a stage did: how many candidates came in, how many went on."""

    name: str
    came: int
    went: int


Told = Callable[[list[Stage]], None]
"""Told the stages so far, the last of which may be at work."""


def chosen(space: Space, plan: Plan, told: Told = lambda stages: None) -> tuple[list[Candidate], list[Stage]]:
    """The candidates that a score, or their cost, prefers, the best first, and the stages that led to them.

    Raises:
        ArchError: E721 for an unknown score, E604 where the budgets leave nothing.
    """
    if plan.score:
        check_score(plan.score)
    sample = space.sample(plan.screen, plan.seed, plan.budget or None)
    drawn = Stage("keep the budgets", sample.looked_at, len(sample))
    if plan.score:
        name = f"scored by {plan.score}"
        known = scores(space, sample, plan, lambda done: told([drawn, Stage(name, len(sample), done)]))
        order = sorted(range(len(sample)), key=lambda place: -known[place])[: plan.trials]
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
