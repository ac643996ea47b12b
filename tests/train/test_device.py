"""Training on a GPU without waiting for it: what stays on the device, and what a step asks of it.

No test here needs a GPU: the CPU, and the meta device, which refuses to be read, stand in for one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from training_examples import TINY, cifar10, folders

import resnext_dsl as rx
from resnext_dsl.devices.memory_format import layout_in
from resnext_dsl.train import loop, prepare
from resnext_dsl.train.batches import Batches, measuring_draws, training_draws
from resnext_dsl.train.datasets import open_source
from resnext_dsl.train.datasets.image_set import ImageSet
from resnext_dsl.train.hardware import PRECISIONS, Hardware, computed_type, fabric_of
from resnext_dsl.train.loop import Training
from resnext_dsl.train.prepare import Draw, Prepared
from resnext_dsl.train.recipes import recipe

CPU, META = torch.device("cpu"), torch.device("meta")


@pytest.fixture
def source(tmp_path: Path) -> ImageSet:
    cifar10(tmp_path)
    return open_source("cifar10", tmp_path)


def equal(left: Iterator[tuple[Tensor, Tensor]], right: Iterator[tuple[Tensor, Tensor]]) -> int:
    """How many batches are equal; all must be."""
    count = 0
    for (images, labels), (others, their_labels) in zip(left, right, strict=True):
        assert torch.equal(images, others)
        assert torch.equal(labels, their_labels)
        count += 1
    return count


@pytest.mark.parametrize("how", ["none", "shift", "crop"])
@pytest.mark.parametrize("workers", [0, 2])
def test_images_on_the_device_make_the_batches_that_are_loaded(how: str, workers: int, source: ImageSet) -> None:
    loaded = Batches(Prepared(source, source.train, (3, 16, 16), how), CPU, workers)
    kept = Prepared(source, source.train, (3, 16, 16), how)
    assert not loaded.resident
    assert kept.settle(CPU)
    resident = Batches(kept, CPU)
    resident.resident = True
    for epoch in range(2):
        draws = training_draws(40, 8, 3, epoch)
        assert equal(resident.of(draws), loaded.of(draws)) == 5


def test_a_batch_is_made_where_the_images_are_and_read_by_nobody(source: ImageSet) -> None:
    prepared = Prepared(source, source.train, (3, 16, 16), "crop")
    assert prepared.settle(META)
    images, labels = prepared[Draw((1, 2, 3), 7)]  # the meta device has no values: to read one is an error
    assert (images.device, images.shape, labels.device) == (META, (3, 3, 16, 16), META)
    grey = Prepared(open_source("digits"), open_source("digits").train, (3, 8, 8), "shift")
    assert grey.settle(META)
    assert grey[Draw((1, 2), 7)][0].shape == (2, 3, 8, 8)


def test_what_the_cpu_must_prepare_is_loaded(source: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not Prepared(source, source.train, source.shape, "imagenet").settle(META)
    folders(tmp_path / "images")
    files = open_source("folder", tmp_path / "images")
    assert not Prepared(files, files.train, (3, 16, 16)).settle(META)
    monkeypatch.setattr(prepare, "MOST_RESIDENT", 40 * 3 * 32 * 32 - 1)
    assert not Prepared(source, source.train, source.shape).settle(META)
    monkeypatch.setattr(prepare, "MOST_RESIDENT", 40 * 3 * 32 * 32)
    assert Prepared(source, source.train, source.shape).settle(META)


def test_a_gpu_keeps_the_images_and_the_cpu_does_not(source: ImageSet, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[torch.device] = []
    monkeypatch.setattr(Prepared, "settle", lambda self, device: asked.append(device) or True)
    cuda = torch.device("cuda", 1)
    assert Batches(Prepared(source, source.train, source.shape), cuda).resident
    assert not Batches(Prepared(source, source.train, source.shape), CPU).resident
    assert asked == [cuda]


def test_workers_live_from_one_epoch_to_the_next(source: ImageSet) -> None:
    batches = Batches(Prepared(source, source.train, source.shape), CPU, workers=2)
    seen = []
    for _ in range(2):
        assert len(list(batches.of(measuring_draws(40, 8)))) == 5
        assert batches._loader is not None
        seen.append({worker.pid for worker in batches._loader._iterator._workers})
    assert seen[0] == seen[1]
    assert len(seen[0]) == 2


def test_an_epoch_that_is_left_does_not_disturb_the_next(source: ImageSet) -> None:
    batches = Batches(Prepared(source, source.train, source.shape), CPU, workers=1)
    next(batches.of(training_draws(40, 8, 0, 0)))
    alone = Batches(Prepared(source, source.train, source.shape), CPU)
    draws = training_draws(40, 8, 0, 1)
    assert equal(batches.of(draws), alone.of(draws)) == 5


class Asked(TorchDispatchMode):
    """Counts what makes the host wait for a device: values that are read, and numbers that are copied to it."""

    WAITS = ("_local_scalar_dense", "is_nonzero", "nonzero", "lift_fresh")

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in self.WAITS:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


def training(**changes: Any) -> Training:
    digits = open_source("digits")
    model = rx.loads(TINY, classes=10, resolution=8).compile(seed=0)
    fabric = changes.pop("fabric", None) or fabric_of(Hardware(accelerator="cpu"))
    return Training(fabric, model, digits, (1, 8, 8), recipe("digits", batch_size=128, **changes))


def test_a_step_does_not_wait_for_the_device() -> None:
    steps = training()
    images, labels = torch.rand(128, 1, 8, 8), torch.randint(10, (128,))
    steps._step(images, labels)
    with Asked() as asked:
        assert torch.tensor(1.0).item() == 1.0
        assert asked.waits == ["lift_fresh", "_local_scalar_dense"]  # it is seen
        asked.waits.clear()
        sums = steps._step(images, labels)
    assert asked.waits == []
    assert sums[2] == 128


# --- a fused optimizer, which scales gradients itself ---


def mixed() -> Fabric:
    """16-mixed on the CPU: Fabric's own plugin with a scaler of the CPU."""
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    return Fabric(accelerator="cpu", plugins=MixedPrecision("16-mixed", "cpu", scaler))


LAYERS = """
network layers {{
    input image: 1x8x8
    conv(64, 3x3); bn; relu
    conv(64, 3x3, groups={groups}); bn; relu
    conv(16, 3x3); bn; relu
    head {{ avgpool(global); flatten; linear(10) }}
}}
"""


@pytest.mark.parametrize(
    ("groups", "layout"), [(1, "contiguous"), (4, "channels_last"), (32, "channels_last"), (64, "channels_last")]
)
def test_a_network_trains_in_the_layout_that_was_measured(groups: int, layout: str) -> None:
    model = rx.loads(LAYERS.format(groups=groups)).compile(seed=0)
    assert layout_in(model) == "contiguous"
    fabric = fabric_of(Hardware(accelerator="cpu"))
    started = Training(fabric, model, open_source("digits"), (1, 8, 8), recipe("digits", epochs=1))
    assert started.model is model  # weights change their place, not the module
    assert layout_in(model) == layout


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_type_of_a_precision_is_that_of_its_products(precision: str) -> None:
    # Lightning has no 16-mixed on a CPU
    fabric = mixed() if precision == "16-mixed" else fabric_of(Hardware(accelerator="cpu", precision=precision))
    with fabric.strategy.precision.forward_context(), torch.device("cpu"):
        layer = fabric.strategy.precision.convert_module(torch.nn.Linear(2, 2))
        images = fabric.strategy.precision.convert_input(torch.zeros(1, 2))
        assert str(layer(images).dtype) == f"torch.{computed_type(fabric)}"


def test_a_fused_optimizer_takes_the_steps_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    losses, states, waits = [], [], []
    for fused in (True, False):
        monkeypatch.setattr(loop, "_fuses", lambda fabric, fused=fused: fused)
        steps = training(fabric=mixed(), epochs=2)
        losses.append([steps.advance().train_loss for _ in range(2)])
        states.append(steps.model.state_dict())
        with Asked() as asked:
            steps._step(torch.rand(128, 1, 8, 8), torch.randint(10, (128,)))
        waits.append(len(asked.waits))
    assert losses[0] == pytest.approx(losses[1], rel=1e-2)
    assert losses[0][1] < losses[0][0]
    for name, value in states[0].items():
        torch.testing.assert_close(value, states[1][name], rtol=0.05, atol=0.02)
    assert waits[1] > 0  # the scaler asks whether gradients are finite
    assert waits[0] < waits[1]


def test_only_16_mixed_on_a_gpu_is_fused() -> None:
    assert not loop._fuses(fabric_of(Hardware(accelerator="cpu")))
    assert not loop._fuses(mixed())


def test_a_state_of_another_machine_does_not_say_who_scales(monkeypatch: pytest.MonkeyPatch) -> None:
    state = training(fabric=mixed()).state()
    assert state["optimizer"]["param_groups"][0]["fused"] is None
    monkeypatch.setattr(loop, "_fuses", lambda fabric: True)
    resumed = training(fabric=mixed())
    resumed.restore(state)
    assert [group["fused"] for group in resumed._optimizer.param_groups] == [True]


# --- steps as CUDA graphs ---


def test_recording_changes_neither_the_network_nor_the_generators(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[object] = []

    def graphed(whole: torch.nn.Module, arguments: tuple[Tensor, ...]) -> torch.nn.Module:
        """What torch does: some passes, of which statistics and generators keep traces, then another `forward`."""
        forward = whole.forward
        for _ in range(3):
            forward(*arguments).sum().backward()
        seen.append((whole.training, tuple(arguments[0].shape), torch.is_autocast_cache_enabled()))
        whole.zero_grad()
        return whole

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", graphed)
    monkeypatch.setattr(loop, "check_recordable", lambda fabric: None)
    model = rx.loads(TINY, classes=10, resolution=8).compile(seed=0)
    before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    digits, fabric = open_source("digits"), fabric_of(Hardware(accelerator="cpu", precision="bf16-mixed"))
    steps = Training(fabric, model, digits, (1, 8, 8), recipe("digits", batch_size=128, epochs=1), graphs=True)
    assert seen == [(True, (128, 1, 8, 8), False)]
    assert torch.is_autocast_cache_enabled()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert "forward" not in vars(model)
    assert steps.state()["model"].keys() == before.keys()
    assert steps.advance().train_loss > 0


def test_graphs_are_for_one_cuda_device() -> None:
    digits, fabric = open_source("digits"), fabric_of(Hardware(accelerator="cpu"))
    model = rx.loads(TINY, classes=10, resolution=8).compile(seed=0)
    message = "CUDA graphs train on one CUDA device; this run has one process on cpu"
    with pytest.raises(rx.ArchError, match=message) as caught:
        Training(fabric, model, digits, (1, 8, 8), recipe("digits"), graphs=True)
    assert [found.code for found in caught.value.diagnostics] == ["E711"]
