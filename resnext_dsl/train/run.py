"""Trains one network from its spec to its result, for `resnext-dsl train` and for scripts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import nn

from resnext_dsl.devices.float32_precision import settings_line, settings_of
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
from resnext_dsl.networks.network import Network
from resnext_dsl.train.batches import seed_of
from resnext_dsl.train.datasets import open_source
from resnext_dsl.train.datasets.image_set import ImageSet
from resnext_dsl.train.hardware import Hardware, check_shares, fabric_of
from resnext_dsl.train.loop import Epoch, Measured, Tick, Training
from resnext_dsl.train.matching import network_for
from resnext_dsl.train.recipes import Recipe
from resnext_dsl.train.run_folder import WEIGHTS, RunFolder, RunState, best, identity
from resnext_dsl.weights.checkpoint import Weights, checkpoint_of

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Job(NamedTuple):
    """A network and the choices of its training run.

    Attributes:
        spec: A path, or the name of a shipped network.
        recipe: The recipe.
        settings: Values for the parameters of the spec.
        root: The folder that imports stay under.
        data_dir: The folder of the data set, if it has one.
        weights: A checkpoint to start from: ours, torchvision's or timm's. For training it may lack the classifier and
            auxiliary heads.
        hardware: The devices and the precision.
        out: The folder of the run; None writes nothing.
        resume: Whether to continue the run in `out`.
    """

    spec: str | os.PathLike[str]
    recipe: Recipe
    settings: Mapping[str, Any] = {}
    root: str | os.PathLike[str] | None = None
    data_dir: Path | None = None
    weights: Weights | None = None
    hardware: Hardware = Hardware()
    out: Path | None = None
    resume: bool = False


class Watch(NamedTuple):
    """Functions that show the progress of a run.

    Attributes:
        begin: Takes the network, the data set and the device before the first epoch.
        tick: Called after every step.
        epoch: Called after every epoch.
    """

    begin: Callable[[Network, ImageSet, str], None] | None = None
    tick: Tick | None = None
    epoch: Callable[[Epoch], None] | None = None


class Result(NamedTuple):
    """The result of a job.

    Attributes:
        network: The trained network.
        source: The data set.
        recipe: The recipe.
        epochs: All epochs of the run, also those before it was resumed; empty after a measurement.
        test: Metrics of the final network on the test images.
        device: The device and the precision.
        first: Whether this process prints the answer; of several processes only the first does.
        settings: Further settings of a GPU: TF32, cudnn.benchmark, cuDNN's version; empty on a CPU.
    """

    network: Network
    source: ImageSet
    recipe: Recipe
    epochs: tuple[Epoch, ...]
    test: Measured
    device: str
    first: bool
    settings: Mapping[str, str] = {}

    def to_json(self) -> dict[str, Any]:
        """The result as JSON values."""
        return {
            "network": self.network.name,
            "fingerprint": self.network.fingerprint,
            "input": list(self.network.ir.nodes[0].shape),
            "data": {
                "name": self.source.name,
                "classes": list(self.source.classes),
                "train": len(self.source.train.labels),
                "test": len(self.source.test.labels),
            },
            "device": self.device,
            "settings": dict(self.settings),
            "recipe": self.recipe.to_json(),
            "test": self.test._asdict(),
            "best": best(self.epochs)._asdict() if self.epochs else None,
            "epochs": [epoch._asdict() for epoch in self.epochs],
        }


def train(job: Job, watch: Watch = Watch()) -> Result:  # noqa: B008 - immutable
    """Trains a network and saves its run.

    Raises:
        ArchError: With all errors of the spec or the job; codes from E711 are errors of training.
    """
    source = open_source(job.recipe.data, job.data_dir, job.recipe.holdout)
    network = network_for(job.spec, job.settings, source, job.root)
    run = RunFolder(job.out, identity(network, source, job.recipe)) if job.out is not None else None
    progress = _progress(run, job)
    fabric = _launched(job)
    training = _training(fabric, network, source, _tuned(job))
    if progress is not None:
        _restore(training, progress, job)
    if not fabric.is_global_zero:
        run, watch = None, Watch()
    _begin(watch, fabric, network, source)
    epochs = _epochs(training, progress, run, watch)
    return _result(fabric, network, source, job.recipe, epochs, Measured(*epochs[-1][4:7]), run)


def evaluate(job: Job, watch: Watch = Watch()) -> Result:  # noqa: B008 - immutable
    """Measures a network with its weights on the test images, and writes nothing.

    Raises:
        ArchError: With all errors of the spec or the job, as for `train`.
    """
    source = open_source(job.recipe.data, job.data_dir, job.recipe.holdout)
    network = network_for(job.spec, job.settings, source, job.root)
    fabric = _launched(job)
    training = _training(fabric, network, source, job)
    _begin(watch if fabric.is_global_zero else Watch(), fabric, network, source)
    return _result(fabric, network, source, job.recipe, (), training.measure(), None)


def _launched(job: Job) -> Fabric:
    fabric = fabric_of(job.hardware)
    check_shares(fabric, job.recipe.batch_size)
    fabric.launch()
    return fabric


def _progress(run: RunFolder | None, job: Job) -> RunState | None:
    if run is None:
        return None
    if job.resume:
        return run.progress()
    run.begin()
    return None


def _training(fabric: Fabric, network: Network, source: ImageSet, job: Job) -> Training:
    model = _model(network, job)
    shape, hardware = network.ir.nodes[0].shape, job.hardware
    return Training(fabric, model, source, shape, job.recipe, hardware.workers, hardware.graphs)


def _tuned(job: Job) -> Job:
    """The job with a checkpoint that may lack the classifier and auxiliary heads: they start anew."""
    if job.weights is None:
        return job
    return job._replace(weights=replace(checkpoint_of(job.weights), new_layers=True))


def _model(network: Network, job: Job) -> nn.Module:
    """The compiled network with the weights of a checkpoint, or with initial weights."""
    seed = seed_of(job.recipe.seed, "weights")
    if job.weights is None or job.resume:
        return network.compile(seed=seed)
    return network.compile(seed=seed, weights=job.weights)


def _restore(training: Training, progress: RunState, job: Job) -> None:
    try:
        training.restore(progress.state)
    except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as reason:
        lines = str(reason).strip().splitlines() or [type(reason).__name__]
        message = f"the run's state does not fit the network: {lines[0][:120]}"
        raise ArchError([Diagnostic("E714", message, file=str(job.out))]) from None


def _begin(watch: Watch, fabric: Fabric, network: Network, source: ImageSet) -> None:
    if watch.begin is not None:
        computes = settings_line(settings_of(fabric.device))
        watch.begin(network, source, ", ".join(filter(None, (_device(fabric), computes))))


def _epochs(training: Training, progress: RunState | None, run: RunFolder | None, watch: Watch) -> tuple[Epoch, ...]:
    epochs = list(progress.epochs) if progress is not None else []
    for epoch in training.epochs(watch.tick):
        epochs.append(epoch)
        if run is not None:
            run.save(epochs, training.state())
        if watch.epoch is not None:
            watch.epoch(epoch)
    if run is not None:
        run.save_weights(WEIGHTS, training.model.state_dict())
    return tuple(epochs)


def _result(
    fabric: Fabric,
    network: Network,
    source: ImageSet,
    recipe: Recipe,
    epochs: tuple[Epoch, ...],
    test: Measured,
    run: RunFolder | None,
) -> Result:
    settings = settings_of(fabric.device)
    result = Result(network, source, recipe, epochs, test, _device(fabric), fabric.is_global_zero, settings)
    if run is not None:
        run.save_result(result.to_json())
    return result


def _device(fabric: Fabric) -> str:
    name = str(fabric.device) if fabric.world_size == 1 else f"{fabric.world_size} x {fabric.device.type}"
    return f"{name}, {fabric.strategy.precision.precision}"
