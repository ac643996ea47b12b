"""Trains a candidate of a search and returns its metrics: `evaluator(model, candidate) -> {metric: value}`.

Importing this module imports neither torch nor Lightning; the first evaluation does.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from resnext_dsl.devices.visible_gpus import OWN
from resnext_dsl.train.recipes import RECIPES, Recipe, varied

if TYPE_CHECKING:
    from lightning_fabric import Fabric
    from torch import nn

    from resnext_dsl.networks.network import Network
    from resnext_dsl.train.datasets.image_set import ImageSet

Report = Callable[[int, Mapping[str, float]], None]
"""Takes the epoch, from 1, and its metrics. An exception of it ends the evaluation, so that a search can prune."""

HELD_OUT = 0.2
"""Share of training images that measure candidates. A selection by test images would bias the test error."""


class TrainingEvaluator:
    """Trains a model by a recipe, and measures it on held-out training images.

    Attributes:
        recipe: The recipe of candidates.
        metrics: The names of the metrics: shares of 1, except for losses and seconds.
    """

    metrics = ("accuracy", "top5", "loss", "train_loss", "train_accuracy", "seconds")

    def __init__(
        self,
        base: Recipe,
        *,
        device: str = "auto",
        precision: str = "32-true",
        data_dir: str | Path | None = None,
        holdout: float = HELD_OUT,
        shape: tuple[int, int, int] | None = None,
        graphs: bool = False,
        **choices: Any,
    ) -> None:
        """Sets the recipe and the hardware; the first evaluation reads the data.

        Args:
            base: The recipe.
            device: "cpu", "cuda", "cuda:1", "mps", or "auto".
            precision: A precision of Lightning: "32-true", "bf16-mixed" ...
            data_dir: The folder of the data set, if it has one.
            holdout: Share of the training images for measurement; 0 measures on the test images.
            shape: Channels, height and width of the models' input; None for the shape of the data set.
            graphs: Whether steps run as CUDA graphs, on one CUDA device: for networks so small that the host is slower
                than the GPU.
            **choices: Changes to the recipe: epochs, seed, batch_size, lr ...

        Raises:
            ArchError: E711 if a choice is unknown or a value is out of range.
        """
        self.recipe = varied(base, holdout=holdout, **choices)
        self._device = device
        self._precision = precision
        self._data_dir = Path(data_dir) if data_dir is not None else None
        self._shape = shape
        self._graphs = graphs

    def __repr__(self) -> str:
        return f"<Evaluator on {self.recipe.data}: {self.recipe.epochs} epochs, seed {self.recipe.seed}>"

    @property
    def takes_any_device(self) -> bool:
        """Whether it trains on a GPU if there is one, and on the CPU otherwise."""
        return self._device == "auto"

    @property
    def device(self) -> str:
        """The torch name of the device that it trains on."""
        return str(_fabric(self._settled(), self._precision).device)

    def _settled(self) -> str:
        """The chosen device; for a worker that sees several GPUs, the GPU of that worker."""
        index = os.environ.get(OWN)
        return f"cuda:{index}" if index is not None and self._device in ("auto", "cuda") else self._device

    @property
    def source(self) -> ImageSet:
        """The data set, read once in a process.

        Raises:
            ArchError: E712 if it cannot be read.
        """
        return _source(self.recipe.data, self._data_dir, self.recipe.holdout)

    def overrides(self, network: Network, settings: Mapping[str, Any] = MappingProxyType({})) -> dict[str, int]:
        """The values of `classes` and `resolution` that the data set needs, if the spec has such parameters."""
        from resnext_dsl.train.matching import adapted

        return adapted(network, self.source, settings)

    def check(self, network: Network) -> None:
        """Raises ArchError E713 if a network is not a classifier for the data set."""
        from resnext_dsl.train.matching import check

        check(network, self.source)

    def __call__(self, model: nn.Module, candidate: object = None, report: Report | None = None) -> dict[str, float]:
        """Trains a model from its current weights.

        Args:
            model: A compiled network; afterwards it has trained weights, on the evaluator's device.
            candidate: The candidate of the model; not used.
            report: Takes the metrics after every epoch.

        Raises:
            TrainingError: E715 if the loss is no longer finite.
        """
        from resnext_dsl.train.loop import Training

        fabric = _fabric(self._settled(), self._precision)
        training = Training(fabric, model, self.source, self._input(model), self.recipe, graphs=self._graphs)
        began = time.perf_counter()
        metrics: dict[str, float] = {}
        while training.done < self.recipe.epochs:
            trained = training.advance()
            if report is None and training.done < self.recipe.epochs:
                continue
            values = {**trained._asdict(), **training.measure()._asdict(), "seconds": time.perf_counter() - began}
            metrics = {name: values[name] for name in self.metrics}
            if report is not None:
                report(training.done, metrics)
        return metrics

    def _input(self, model: nn.Module) -> tuple[int, int, int]:
        from torch import nn

        if self._shape is not None:
            return self._shape
        first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
        channels, height, width = self.source.shape
        return first.in_channels if first is not None else channels, height, width


@cache
def _source(name: str, folder: Path | None, holdout: float) -> ImageSet:
    from resnext_dsl.train.datasets import open_source

    return open_source(name, folder, holdout)


@cache
def _fabric(device: str, precision: str) -> Fabric:
    from resnext_dsl.train.hardware import fabric_of, on_device

    fabric = fabric_of(on_device(device)._replace(precision=precision))
    fabric.launch()
    return fabric


def _named(recipe: str, **base: Any) -> Callable[..., TrainingEvaluator]:
    return partial(TrainingEvaluator, varied(RECIPES[recipe], **base))


EVALUATORS: Mapping[str, Callable[..., TrainingEvaluator]] = MappingProxyType(
    {
        "digits": _named("digits"),
        "cifar10": _named("resnext-cifar"),
        "cifar100": _named("resnext-cifar", data="cifar100"),
        "folder": _named("resnext-imagenet"),
    }
)
"""Name -> a function that creates the evaluator from the keyword arguments of `TrainingEvaluator`."""
