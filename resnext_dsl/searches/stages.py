"""The stages before anything is trained: candidates drawn within the budgets, the best of them by a score."""

from __future__ import annotations

import math
from typing import NamedTuple

from resnext_dsl.diagnostics import ArchError, Diagnostic, did_you_mean
from resnext_dsl.searches.plan import Plan
from resnext_dsl.spaces import Candidate, Space

BATCH = 16
"""Images that a score looks at."""


class Stage(NamedTuple):
    """What a stage did: how many candidates came in, how many went on."""

    name: str
    came: int
    went: int


def chosen(space: Space, plan: Plan) -> tuple[list[Candidate], list[Stage]]:
    """The candidates that a score prefers, the best first, and the stages that led to them.

    Raises:
        ArchError: E721 for an unknown score, E604 where the budgets leave nothing.
    """
    scored = _Scored(plan.score)
    sample = space.sample(plan.screen, plan.seed, plan.budget or None)
    drawn = Stage("keep the budgets", sample.looked_at, len(sample))
    scores = [_finite(scored(space, candidate, plan.seed)) for candidate in sample]
    order = sorted(range(len(sample)), key=lambda place: -scores[place])[: plan.trials]
    ranked = Stage(f"ranked by {plan.score}", len(sample), len(order))
    return [sample[place] for place in order], [drawn, ranked]


def _finite(score: float) -> float:
    return score if math.isfinite(score) else -math.inf


class _Scored:
    """Computes a score of a candidate."""

    def __init__(self, name: str) -> None:
        from resnext_dsl.scores import SCORES

        if name not in SCORES:
            hint = did_you_mean(name, SCORES) or f"scores: {', '.join(SCORES)}"
            raise ArchError([Diagnostic("E721", f"no score is named `{name}`", hint=hint, file="--score")])
        self._compute = SCORES[name].compute

    def __call__(self, space: Space, candidate: Candidate, seed: int) -> float:
        from resnext_dsl.scores import random_batch

        network = space.bind(candidate)
        shape, classes = network.ir.nodes[0].shape, network.ir.nodes[network.ir.outputs[0].node].shape[0]
        batch = random_batch(shape, classes, BATCH, seed)  # type: ignore[arg-type]
        return float(self._compute(network.compile(seed=seed), batch))
