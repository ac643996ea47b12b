"""The learning rate as a function of the moment in training; it has no state, so a resumed run needs none."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

from resnext_dsl.train.recipes import Recipe


def rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate at a moment, in epochs since the start: 1.5 is the middle of the second epoch.

    The warm-up multiplies the schedule: Goyal et al., "Accurate, Large Minibatch SGD", 2017, Section 2.2.
    """
    grown = min(1.0, epoch / recipe.warmup) if recipe.warmup else 1.0
    return recipe.lr * grown * SCHEDULES[recipe.schedule](recipe, epoch)


def _step(recipe: Recipe, epoch: float) -> float:
    passed = sum(milestone <= epoch for milestone in recipe.milestones)
    return float(recipe.gamma**passed)


def _cosine(recipe: Recipe, epoch: float) -> float:
    # Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
    return 0.5 * (1 + math.cos(math.pi * min(epoch / recipe.epochs, 1.0)))


def _constant(recipe: Recipe, epoch: float) -> float:
    return 1.0


SCHEDULES: Mapping[str, Callable[[Recipe, float], float]] = MappingProxyType(
    {"step": _step, "cosine": _cosine, "constant": _constant}
)
"""Name -> the share of the recipe's rate at a moment."""
