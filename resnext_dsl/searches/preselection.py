"""The stages before training: draws candidates that meet the budgets, and selects the best by score or cost."""

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
"""The attribute of a study that stores its stages."""


class Stage(NamedTuple):
    """A stage: how many candidates it received, and how many it passed on."""

    name: str
    came: int
    went: int


OnStages = Callable[[list[Stage]], None]
"""A function that gets the stages so far; the last one may be in progress."""


def preselected(
    space: Space, plan: Plan, on_stages: OnStages = lambda stages: None
) -> tuple[list[Candidate], list[Stage]]:
    """The best candidates by score or cost, the best first, and the stages that selected them.

    Raises:
        ArchError: E721 for an unknown score, E604 if no candidate meets the budgets.
    """
    if plan.score:
        check_score(plan.score)
    sample = space.sample(plan.screen, plan.seed, plan.budget or None)
    drawn = Stage("keep the budgets", sample.looked_at, len(sample))
    if plan.score:
        name = f"scored by {plan.score}"
        known = scores(space, sample, plan, lambda done: on_stages([drawn, Stage(name, len(sample), done)]))
        order = sorted(range(len(sample)), key=lambda place: -known[place])[: plan.trials]
    else:
        signs = [-1 if direction == "maximize" else 1 for direction in plan.directions]
        objectives = zip(signs, plan.objectives, strict=True)
        order = best([sign * sample.costs[name] for sign, name in objectives], plan.trials)
    by = plan.score or ", ".join(plan.objectives)
    return [sample[place] for place in order], [drawn, Stage(f"ranked by {by}", len(sample), len(order))]


# --- by cost ---


def best(columns: Sequence[Array], count: int) -> list[int]:
    """The indices of the `count` best rows, by non-dominated sorting (small values are better).

    The first layer is the Pareto front. The next layer is the front of the remaining rows, and so on. If a layer does
    not fit as a whole, its rows are taken evenly along the first column.
    """
    # Ranks in place of values, so that sums are exact.
    ranks = np.stack([np.unique(column, return_inverse=True)[1] for column in columns], axis=1)
    left = np.arange(len(ranks))
    selected: list[int] = []
    while len(selected) < count and len(left):
        layer = non_dominated(ranks[left])
        places = left[layer][np.lexsort(ranks[left[layer]].T[::-1])]
        room = count - len(selected)
        if len(places) > room:
            places = places[np.linspace(0, len(places) - 1, room).round().astype(np.int64)]
        selected += places.tolist()
        left = np.delete(left, layer)
    return selected


def non_dominated(ranks: Array) -> Array:
    """The indices of the non-dominated rows: no other row is smaller in one column and larger in none."""
    left, sums = np.arange(len(ranks)), ranks.sum(axis=1)
    front = []
    while len(left):
        least = left[np.argmin(sums[left])]  # a row that dominates it would have a smaller sum
        front.append(least)
        larger = ranks[left] >= ranks[least]
        equal = (ranks[left] == ranks[least]).all(axis=1)
        front += [place for place in left[equal] if place != least]
        left = left[~larger.all(axis=1)]
    return np.array(sorted(front), dtype=np.int64)
