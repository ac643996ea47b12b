"""Built-in evaluators, as a search calls them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from training_examples import TINY, cifar10

import resnext_dsl as rx
from resnext_dsl.train.datasets import DATASETS
from resnext_dsl.train.evaluators import EVALUATORS


def test_every_data_set_has_its_evaluator() -> None:
    assert list(EVALUATORS) == list(DATASETS)
    assert all(make(epochs=1).recipe.data == name for name, make in EVALUATORS.items())


def test_an_evaluator_trains_and_reports() -> None:
    evaluate = EVALUATORS["digits"](epochs=2, seed=1, device="cpu")
    network = rx.loads(TINY, **evaluate.overrides(rx.loads(TINY)))
    assert network.ir.nodes[0].shape == (1, 8, 8)
    evaluate.check(network)
    reports: list[tuple[int, Mapping[str, float]]] = []
    metrics = evaluate(network.compile(seed=0), None, lambda step, values: reports.append((step, values)))
    assert [step for step, _ in reports] == [1, 2]
    assert reports[-1][1] == metrics
    assert set(metrics) == set(evaluate.metrics)
    assert reports[0][1]["train_loss"] > metrics["train_loss"]
    again = evaluate(network.compile(seed=0))
    assert {**again, "seconds": 0} == {**metrics, "seconds": 0}


def test_what_a_report_raises_ends_the_evaluation() -> None:
    class PrunedError(Exception):
        pass

    def prune(step: int, values: Mapping[str, float]) -> None:
        raise PrunedError(step)

    model = rx.loads(TINY, classes=10, resolution=8).compile(seed=0)
    before = torch.get_rng_state()
    with pytest.raises(PrunedError, match="1"):
        EVALUATORS["digits"](epochs=5, device="cpu", batch_size=512)(model, None, prune)
    assert torch.equal(torch.get_rng_state(), before)


def test_candidates_are_compared_on_images_held_out_of_training() -> None:
    evaluate = EVALUATORS["digits"](device="cpu")
    assert len(evaluate.source.test.labels) + len(evaluate.source.train.labels) == 1347
    assert len(EVALUATORS["digits"](device="cpu", holdout=0).source.test.labels) == 450


def test_networks_for_colours_take_grey_images() -> None:
    model = rx.loads(TINY.replace("image: 1 x", "image: 3 x"), classes=10, resolution=8).compile(seed=0)
    assert EVALUATORS["digits"](epochs=1, device="cpu", batch_size=512)(model)["loss"] > 0


def test_data_sets_in_a_folder(tmp_path: Path) -> None:
    cifar10(tmp_path)
    evaluate = EVALUATORS["cifar10"](epochs=1, device="cpu", data_dir=tmp_path, batch_size=8, shape=(3, 8, 8))
    model = rx.loads(TINY.replace("image: 1 x", "image: 3 x"), classes=10, resolution=8).compile(seed=0)
    assert evaluate(model)["accuracy"] <= 1


def test_networks_that_do_not_fit_are_refused() -> None:
    with pytest.raises(rx.ArchError, match="output `main` has 4 classes; the data set has 10"):
        EVALUATORS["digits"](device="cpu").check(rx.loads(TINY))


def test_a_wrong_setting_is_told_before_anything_is_trained() -> None:
    with pytest.raises(rx.ArchError, match="a recipe has no `epoch`"):
        EVALUATORS["digits"](epoch=3)


def test_to_choose_an_evaluator_imports_no_torch() -> None:
    program = (
        "import sys; from resnext_dsl.train.evaluators import EVALUATORS; EVALUATORS['digits'](epochs=3)\n"
        "print([name for name in ('torch', 'lightning_fabric', 'numpy', 'sklearn') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
