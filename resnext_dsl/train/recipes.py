"""Recipes of training as data: every choice that changes the result, except the hardware."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from resnext_dsl.foundation.diagnostics import ArchError, did_you_mean, error

AUGMENTS: Mapping[str, str] = MappingProxyType(
    {
        "none": "no augmentation",
        "shift": "padded by an eighth (1 of 8) and cropped at random",
        "crop": "like shift (by 4 of 32), and mirrored, as in the paper for CIFAR",
        "imagenet": "random area and aspect, colours and lighting, mirrored, as in the paper for ImageNet",
    }
)
"""Name -> description."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The choices of one training run.

    Attributes:
        data: A key of `datasets.DATASETS`.
        epochs: Passes over the training images.
        batch_size: Images of one step, over all devices together.
        lr: The learning rate after the warm-up and before the first decay.
        momentum: Momentum of stochastic gradient descent.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: Factor of the L2 penalty.
        decay_all: Whether biases and normalisations decay too, as in the paper's code, or only matrices and kernels.
        schedule: One of `SCHEDULES`.
        milestones: Epochs after which "step" multiplies the rate by `gamma`.
        gamma: Factor of the rate at a milestone.
        warmup: Epochs in which the rate grows linearly from 0.
        label_smoothing: Share of the target distribution that is spread over all classes.
        auxiliary: Weight of the loss of each output that exists in training only.
        augment: The augmentation of training images, one of `AUGMENTS`.
        holdout: Share of the training images of each class that replace the test images.
        seed: Seed of the weights, the order, the augmentation and dropout.
    """

    data: str
    epochs: int
    batch_size: int
    lr: float
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-4
    decay_all: bool = True
    schedule: str = "step"
    milestones: tuple[int, ...] = ()
    gamma: float = 0.1
    warmup: float = 0.0
    label_smoothing: float = 0.0
    # Szegedy et al., "Going Deeper with Convolutions", CVPR 2015, Section 5: auxiliary losses "were weighted by 0.3".
    # torchvision's reference training adds them so too; for Inception-v3 the authors' code (tensorflow/models,
    # slim: inception_v3) has 0.4.
    auxiliary: float = 0.3
    augment: str = "none"
    holdout: float = 0.0
    seed: int = 0

    def to_json(self) -> dict[str, Any]:
        """The recipe as JSON values."""
        return {**asdict(self), "milestones": list(self.milestones)}


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        # Our own recipe: a minute or two on two cores; stable for networks of 10,000 parameters to millions.
        "digits": Recipe(
            data="digits",
            epochs=20,
            batch_size=64,
            lr=0.05,
            weight_decay=5e-4,
            schedule="cosine",
            warmup=2,
            augment="shift",
        ),
        # Xie et al., CVPR 2017, Section 5.3: 300 epochs, rate 0.1 divided by 10 at the 150th and 225th, weight decay
        # 0.0005, momentum 0.9, images padded by 4 and cropped. The authors' code (facebookresearch/ResNeXt, README)
        # does better with 128 images a batch than with the 256 of the paper; Nesterov's momentum is from its train.lua.
        "resnext-cifar": Recipe(
            data="cifar10",
            epochs=300,
            batch_size=128,
            lr=0.1,
            weight_decay=5e-4,
            milestones=(150, 225),
            augment="crop",
        ),
        # Xie et al., CVPR 2017, Section 4: 256 images a batch, weight decay 0.0001, momentum 0.9, rate 0.1 divided by
        # 10 three times as in fb.resnet.torch: every 30 epochs of 100 in its train.lua and opts.lua.
        "resnext-imagenet": Recipe(
            data="folder",
            epochs=100,
            batch_size=256,
            lr=0.1,
            weight_decay=1e-4,
            milestones=(30, 60, 90),
            augment="imagenet",
        ),
    }
)
"""Name -> recipe."""


def recipe(name: str, **changes: Any) -> Recipe:
    """A recipe of the table with some choices changed; None keeps the choice of the table.

    If the number of epochs changes and the milestones do not, the milestones move in proportion.

    Raises:
        ArchError: E711 if a recipe, choice or data set is unknown, or if a value is out of range.
    """
    if name not in RECIPES:
        hint = did_you_mean(name, RECIPES) or f"recipes: {', '.join(RECIPES)}"
        raise _wrong(f"unknown recipe `{name}`", hint)
    return varied(RECIPES[name], **changes)


def varied(base: Recipe, **changes: Any) -> Recipe:
    """A recipe with some choices changed; `recipe` does the same for the table."""
    known = [field.name for field in fields(Recipe)]
    for choice in changes:
        if choice not in known:
            hint = did_you_mean(choice, known) or f"choices: {', '.join(known)}"
            raise _wrong(f"a recipe has no `{choice}`", hint)
    values = {choice: value for choice, value in changes.items() if value is not None}
    for choice, value in values.items():
        _check(choice, value)
    if "epochs" in values and "milestones" not in values:
        values["milestones"] = tuple(round(m * values["epochs"] / base.epochs) for m in base.milestones)
    return replace(base, **values)


Test = Callable[[Any], bool]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _words(table: str) -> tuple[str, ...]:
    """The words that a choice may have; each table is in the module that uses them."""
    from resnext_dsl.train.datasets import DATASETS

    return tuple({"data": DATASETS, "schedule": SCHEDULES, "augment": AUGMENTS}[table])


_RANGES: dict[str, tuple[Test, str]] = {
    "epochs": (lambda value: _whole(value) and value >= 1, "a whole number from 1"),
    "batch_size": (lambda value: _whole(value) and value >= 1, "a whole number from 1"),
    "lr": (lambda value: _number(value) and value > 0, "a number above 0"),
    "momentum": (lambda value: _number(value) and 0 <= value < 1, "a number from 0 and below 1"),
    "nesterov": (lambda value: isinstance(value, bool), "true or false"),
    "weight_decay": (lambda value: _number(value) and value >= 0, "a number from 0"),
    "decay_all": (lambda value: isinstance(value, bool), "true or false"),
    "milestones": (
        lambda value: isinstance(value, tuple) and all(map(_whole, value)) and sorted(set(value)) == list(value),
        "whole numbers of epochs, each above the one before",
    ),
    "gamma": (lambda value: _number(value) and value > 0, "a number above 0"),
    "warmup": (lambda value: _number(value) and value >= 0, "a number from 0"),
    "label_smoothing": (lambda value: _number(value) and 0 <= value < 1, "a number from 0 and below 1"),
    "auxiliary": (lambda value: _number(value) and value >= 0, "a number from 0"),
    "holdout": (lambda value: _number(value) and 0 <= value < 1, "a number from 0 and below 1"),
    "seed": (lambda value: _whole(value) and value >= 0, "a whole number from 0"),
}


def _check(choice: str, value: Any) -> None:
    if choice in _RANGES:
        allowed, words = _RANGES[choice]
        if not allowed(value):
            raise _wrong(f"`{choice}` must be {words}; found {value!r}")
        return
    known = _words(choice)
    if value not in known:
        message = f"`{choice}` must be one of {', '.join(known)}; found {value!r}"
        raise _wrong(message, did_you_mean(str(value), known))


def _wrong(message: str, hint: str = "") -> ArchError:
    return error("E711", message, hint=hint, file="recipe")


# --- the learning rate: a function of the epoch, without state ---


def rate(recipe: Recipe, epoch: float) -> float:
    """The learning rate at a moment in epochs since the start; 1.5 is the middle of the second epoch.

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
"""Name -> a function that gives the factor of the recipe's rate at a moment."""
