"""The training loop: epochs of stochastic gradient descent on Fabric, each followed by a measurement.

It owns a model and its optimizer during training. It writes no files; `run_folder` does.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from resnext_dsl.devices.memory_format import CHANNELS_LAST, laid_out, training_layout
from resnext_dsl.devices.seeds import seeded
from resnext_dsl.foundation.diagnostics import Diagnostic, TrainingError
from resnext_dsl.operators.base import Shape
from resnext_dsl.train.batches import Batches, measuring_draws, seed_of, training_draws
from resnext_dsl.train.datasets.image_set import ImageSet
from resnext_dsl.train.graphs import Recorded, check_recordable, record
from resnext_dsl.train.hardware import computed_type
from resnext_dsl.train.prepare import Draw, Prepared
from resnext_dsl.train.recipes import Recipe, rate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

Tick = Callable[[int, int], None]
"""Takes, after every step, the number of finished steps and the number of all steps of the epoch."""

AT_ONCE = 4
"""Training batches in one batch of a measurement: without gradients, images need a fraction of the memory."""

CHECKED_EVERY = 50
"""Steps between two checks of the loss; a check waits for the device."""


class Measured(NamedTuple):
    """Metrics of a network on images outside training: mean cross-entropy, and accuracies as shares of 1.

    `top5` counts an image as correct if its class has one of the five highest scores; all classes if there are fewer.
    """

    loss: float
    accuracy: float
    top5: float


class Trained(NamedTuple):
    """Metrics of one pass over the training images; `Epoch` documents them."""

    lr: float
    train_loss: float
    train_accuracy: float


class Epoch(NamedTuple):
    """Metrics of one pass over the training images, and of the measurement after it.

    Attributes:
        epoch: The number of the epoch, from 1.
        lr: The learning rate of its last step.
        train_loss: Mean loss over the steps of the epoch.
        train_accuracy: Accuracy on the training images over the steps of the epoch.
        loss, accuracy, top5: The metrics of `Measured`.
        seconds: Duration of the pass and the measurement.
    """

    epoch: int
    lr: float
    train_loss: float
    train_accuracy: float
    loss: float
    accuracy: float
    top5: float
    seconds: float


class Training:
    """A model in training.

    Attributes:
        model: The network itself, on its device.
        done: The number of finished epochs.
    """

    def __init__(
        self,
        fabric: Fabric,
        model: nn.Module,
        source: ImageSet,
        shape: Shape,
        recipe: Recipe,
        workers: int = 0,
        graphs: bool = False,
    ) -> None:
        """Moves a model to its device, lays its weights out as it trains fastest there, and creates its optimizer.

        Args:
            fabric: Fabric after `launch`.
            model: A network from images of `shape` to a score for each class.
            source: The data set.
            shape: Channels, height and width.
            recipe: The recipe.
            workers: Processes that load images.
            graphs: Whether steps run as CUDA graphs.

        Raises:
            ArchError: E711 for graphs on other hardware than one CUDA device.
        """
        if graphs:
            check_recordable(fabric)
        chosen = training_layout(model, fabric.device.type, computed_type(fabric))
        self.model = laid_out(model, chosen) if chosen == CHANNELS_LAST else model
        self.done = 0
        self._fabric = fabric
        self._recipe = recipe
        self._training = Batches(Prepared(source, source.train, shape, recipe.augment), fabric.device, workers)
        self._testing = Batches(Prepared(source, source.test, shape), fabric.device, workers)
        self._fused = _fuses(fabric)
        self._optimizer = _optimizer(model, recipe, self._fused)
        whole = Recorded(model) if graphs else model
        self._module, self._stepper = fabric.setup(whole, self._optimizer)
        if isinstance(whole, Recorded):
            first = training_draws(len(self._training.images), recipe.batch_size, recipe.seed, 0)[0]
            record(fabric, self._module, whole, shape, len(first.indices))

    def epochs(self, tick: Tick | None = None) -> Iterator[Epoch]:
        """Trains to the last epoch of the recipe, and measures after each epoch.

        Raises:
            TrainingError: E715 if the loss is no longer finite.
        """
        while self.done < self._recipe.epochs:
            began = time.perf_counter()
            trained = self.advance(tick)
            measured = self.measure()
            yield Epoch(self.done, *trained, *measured, time.perf_counter() - began)

    def advance(self, tick: Tick | None = None) -> Trained:
        """Trains one epoch.

        Raises:
            TrainingError: E715 if the loss is no longer finite.
        """
        trained = self._train(self.done, tick)
        self.done += 1
        return trained

    def measure(self) -> Measured:
        """Measures the network on the test images."""
        self._module.eval()
        draws = measuring_draws(len(self._testing.images), AT_ONCE * self._recipe.batch_size, *self._place())
        sums = torch.zeros(4, device=self._fabric.device)
        with torch.no_grad():
            for images, labels in self._loaded(self._testing, draws):
                scores = self._module(images)
                sums += torch.stack(_sums(scores, labels, F.cross_entropy(scores, labels, reduction="sum")))
        loss, right, among, count = self._summed(sums)
        return Measured(loss / count, right / count, among / count)

    def state(self) -> dict[str, Any]:
        """The state that `restore` needs, as tensors, numbers, strings, lists and mappings."""
        return {
            "done": self.done,
            "model": self.model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "precision": self._fabric.strategy.precision.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Restores a state of the same network and recipe.

        Raises:
            RuntimeError, ValueError, KeyError: If the state is of another network; the model may have changed then.
        """
        self.model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        for group in self._optimizer.param_groups:
            group["fused"] = self._fused or None  # depends on this machine, not on the machine of the state
        self._fabric.strategy.precision.load_state_dict(state["precision"])
        self.done = int(state["done"])

    def _train(self, epoch: int, tick: Tick | None) -> Trained:
        self._module.train()
        draws = training_draws(
            len(self._training.images), self._recipe.batch_size, self._recipe.seed, epoch, *self._place()
        )
        lr, sums = 0.0, torch.zeros(3, device=self._fabric.device)
        with self._own_randomness(epoch):
            for step, (images, labels) in enumerate(self._loaded(self._training, draws), 1):
                lr = self._set_rate(epoch + (step - 0.5) / len(draws))
                sums += self._step(images, labels)
                if step % CHECKED_EVERY == 0 or step == len(draws):
                    self._must_be_finite(sums[0], epoch, lr)
                if tick is not None:
                    tick(step, len(draws))
        loss, right, count = self._summed(sums)
        return Trained(lr, loss / count, right / count)

    def _step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Trains one step; gives the sum of the losses, the number of correct images, and the number of images."""
        outputs = self._module(images)
        scores, *others = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = self._loss(scores, labels)
        for other in others:
            loss = loss + self._recipe.auxiliary * self._loss(other, labels)
        self._fabric.backward(loss)
        self._stepper.step()
        self._stepper.zero_grad()
        with torch.no_grad():
            total, right, _, count = _sums(scores, labels, loss * len(labels))
        return torch.stack((total, right, count))

    def _loss(self, scores: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(scores, labels, label_smoothing=self._recipe.label_smoothing)

    def _set_rate(self, moment: float) -> float:
        lr = rate(self._recipe, moment)
        for group in self._optimizer.param_groups:
            group["lr"] = lr
        return lr

    def _must_be_finite(self, loss: Tensor, epoch: int, lr: float) -> None:
        if math.isfinite(loss.item()):
            return
        message = f"training diverged: the loss is no longer finite in epoch {epoch + 1}, at learning rate {lr:.4g}"
        hint = "try a smaller --lr, or --warmup 5"
        raise TrainingError([Diagnostic("E715", message, hint=hint, file=type(self.model).__name__)])

    def _loaded(self, batches: Batches, draws: list[Draw]) -> Iterator[tuple[Tensor, Tensor]]:
        for batch, labels in batches.of(draws):
            yield self._fabric.to_device(batch), self._fabric.to_device(labels)

    def _place(self) -> tuple[int, int]:
        return self._fabric.global_rank, self._fabric.world_size

    def _summed(self, sums: Tensor) -> list[float]:
        """The sums over all processes."""
        total = cast(Tensor, self._fabric.all_reduce(sums, reduce_op="sum"))
        return cast(list[float], total.tolist())

    def _own_randomness(self, epoch: int) -> AbstractContextManager[None]:
        """Seeds the generators of the CPU and of this device, for dropout, and restores them afterwards."""
        return seeded(seed_of(self._recipe.seed, "network", epoch, self._fabric.global_rank), self._fabric.device)


def _fuses(fabric: Fabric) -> bool:
    """Whether the optimizer is fused. A fused optimizer scales gradients itself, so that a step does not wait.

    Otherwise the scaler of 16-mixed reads from the GPU in each step whether all gradients are finite.
    """
    return fabric.device.type == "cuda" and fabric.strategy.precision.precision == "16-mixed"


def _optimizer(model: nn.Module, recipe: Recipe, fused: bool = False) -> torch.optim.SGD:
    """Stochastic gradient descent; parameters without weight decay are a separate group."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    decays = [parameter for parameter in parameters if recipe.decay_all or parameter.dim() > 1]
    chosen = {id(parameter) for parameter in decays}
    spared = [parameter for parameter in parameters if id(parameter) not in chosen]
    groups: list[dict[str, Any]] = [{"params": decays, "weight_decay": recipe.weight_decay}]
    if spared:
        groups.append({"params": spared, "weight_decay": 0.0})
    return torch.optim.SGD(
        groups,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov and recipe.momentum > 0,
        fused=fused or None,
    )


def _sums(scores: Tensor, labels: Tensor, loss: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The loss, the number of correct images, the same for top 5, and the number of images; all float."""
    best = scores.topk(min(5, scores.shape[1]), dim=1).indices == labels.unsqueeze(1)
    count = torch.full((), float(len(labels)), device=scores.device)  # `torch.tensor` would copy the number, and wait
    return loss.detach().float(), best[:, 0].sum().float(), best.sum().float(), count
