"""Recipes are the published ones; rates are those of torch's schedulers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import resnext_dsl as rx
from resnext_dsl.train.recipes import RECIPES, rate, recipe, varied


def test_the_recipe_for_cifar_is_that_of_the_paper() -> None:
    published = {
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "epochs": 300,
        "milestones": (150, 225),
        "gamma": 0.1,
    }
    assert {name: getattr(RECIPES["resnext-cifar"], name) for name in published} == published


def test_the_recipe_for_imagenet_is_that_of_the_paper() -> None:
    published = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4, "batch_size": 256, "milestones": (30, 60, 90)}
    assert {name: getattr(RECIPES["resnext-imagenet"], name) for name in published} == published


def rates_of_torch(scheduler: Any, epochs: int, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = scheduler(optimizer, **options)
    rates = []
    for _ in range(epochs):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_steps_are_those_of_torch() -> None:
    ours = [rate(RECIPES["resnext-cifar"], epoch) for epoch in range(300)]
    theirs = rates_of_torch(torch.optim.lr_scheduler.MultiStepLR, 300, milestones=[150, 225], gamma=0.1)
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_the_cosine_is_that_of_torch() -> None:
    ours = [rate(recipe("resnext-cifar", schedule="cosine", epochs=40), epoch) for epoch in range(40)]
    theirs = rates_of_torch(torch.optim.lr_scheduler.CosineAnnealingLR, 40, T_max=40)
    assert ours == pytest.approx(theirs, rel=1e-9)


def test_the_warm_up_is_linear() -> None:
    chosen = recipe("resnext-cifar", warmup=5)
    assert [rate(chosen, epoch) for epoch in (0, 1, 2.5, 5, 7)] == pytest.approx([0, 0.02, 0.05, 0.1, 0.1])


def test_fewer_epochs_keep_the_milestones_in_their_places() -> None:
    assert recipe("resnext-cifar", epochs=30).milestones == (15, 22)
    assert recipe("resnext-cifar", epochs=30, milestones=(10,)).milestones == (10,)
    assert recipe("resnext-cifar", lr=None).milestones == (150, 225)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "`epochs` must be a whole number from 1; found 0"),
        ({"epochs": True}, "`epochs` must be a whole number from 1; found True"),
        ({"lr": float("nan")}, "`lr` must be a number above 0; found nan"),
        ({"momentum": 1}, "`momentum` must be a number from 0 and below 1; found 1"),
        ({"milestones": (20, 10)}, "`milestones` must be whole numbers of epochs, each above the one before"),
        ({"schedule": "cosin"}, "`schedule` must be one of step, cosine, constant; found 'cosin'"),
        ({"augment": "flip"}, "`augment` must be one of none, shift, crop, imagenet; found 'flip'"),
        ({"data": "mnist"}, "`data` must be one of digits, cifar10, cifar100, folder; found 'mnist'"),
        ({"holdout": 1.0}, "`holdout` must be a number from 0 and below 1; found 1.0"),
        ({"epoch": 3}, "a recipe has no `epoch`"),
    ],
)
def test_a_wrong_choice_is_one_error(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        varied(RECIPES["digits"], **changes)
    assert [found.code for found in caught.value.diagnostics] == ["E711"]


def test_an_unknown_recipe_gets_the_nearest() -> None:
    with pytest.raises(rx.ArchError, match=r"unknown recipe `resnxt-cifar`\n  help: did you mean `resnext-cifar`\?"):
        recipe("resnxt-cifar")


def test_the_page_has_every_recipe_as_it_is() -> None:
    page = (Path(__file__).parents[2] / "docs" / "train.md").read_text()
    rows = re.findall(r"^\| `--([a-z-]+)` \| (\S+) \| (\S+) \| (\S+) \|", page, re.MULTILINE)
    assert len(rows) == 13
    for option, *values in rows:
        for name, shown in zip(("digits", "resnext-cifar", "resnext-imagenet"), values, strict=True):
            value = getattr(RECIPES[name], option.replace("-", "_"))
            text = ",".join(map(str, value)) or "-" if isinstance(value, tuple) else str(value).removesuffix(".0")
            assert shown == text, (option, name)
