"""The loop: the trajectory of plain torch, whatever stops and resumes it; measurements of scikit-learn."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor
from training_examples import PLAIN, TINY, cifar10, folders, spec
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.train.batches import training_draws
from resnext_dsl.train.datasets import open_source
from resnext_dsl.train.hardware import Hardware, fabric_of
from resnext_dsl.train.loop import Training
from resnext_dsl.train.prepare import Prepared
from resnext_dsl.train.recipes import Recipe, recipe
from resnext_dsl.train.run import Job, Watch, evaluate, train

CPU = Hardware(accelerator="cpu")


def weights(folder: Path) -> dict[str, Tensor]:
    return safetensors.torch.load_file(folder / "weights.safetensors")


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[key], right[key]) for key in left)


def job(tmp_path: Path, out: str = "run", **changes: Any) -> Job:
    """Two epochs of the tiny network on digits that are cropped, by a schedule with every part."""
    choices = {"epochs": 3, "batch_size": 256, "augment": "crop", "warmup": 0.5, "schedule": "step", "milestones": (2,)}
    return Job(
        spec(tmp_path),
        recipe("digits", **{**choices, **changes}),
        {"resolution": 8},
        hardware=CPU,
        out=tmp_path / out,
    )


def test_the_trajectory_is_that_of_plain_torch(tmp_path: Path) -> None:
    cifar10(tmp_path / "cifar")
    chosen = recipe(
        "resnext-cifar", epochs=3, batch_size=8, auxiliary=0.4, label_smoothing=0.1, decay_all=False, lr=0.02
    )
    source = open_source("cifar10", tmp_path / "cifar")
    network = rx.loads(PLAIN)
    model = network.compile(seed=3)
    list(Training(fabric_of(CPU), model, source, (3, 32, 32), chosen).epochs())
    expected = plainly_trained(network.compile(seed=3), Prepared(source, source.train, (3, 32, 32), "crop"), chosen)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, expected[name], rtol=1e-5, atol=1e-7)


def plainly_trained(model: torch.nn.Module, images: Prepared, chosen: Recipe) -> dict[str, Tensor]:
    """The same steps, written down as torch's tutorials write them."""
    kernels = [p for name, p in model.named_parameters() if name.endswith("weight")]
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    groups = [{"params": kernels, "weight_decay": 5e-4}, {"params": biases, "weight_decay": 0}]
    optimizer = torch.optim.SGD(groups, lr=0.02, momentum=0.9, nesterov=True)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=list(chosen.milestones))
    for epoch in range(3):
        for draw in training_draws(len(images), 8, 0, epoch):
            batch, labels = images[draw]
            main, side = model(batch)
            loss = F.cross_entropy(main, labels, label_smoothing=0.1)
            loss = loss + 0.4 * F.cross_entropy(side, labels, label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    return model.state_dict()


def test_measurements_are_those_of_scikit_learn(tmp_path: Path) -> None:
    from sklearn.metrics import log_loss, top_k_accuracy_score

    source = open_source("digits")
    model = rx.loads(TINY, classes=10, resolution=8).compile(seed=0)
    training = Training(fabric_of(CPU), model, source, (1, 8, 8), recipe("digits", batch_size=100))
    measured = training.measure()
    with torch.no_grad():
        images = Prepared(source, source.test, (1, 8, 8))
        scores = model.eval()(images[training_draws_of_all(images)][0]).double().softmax(1).numpy()
    labels = source.test.labels.numpy()
    assert measured.accuracy == pytest.approx(top_k_accuracy_score(labels, scores, k=1))
    assert measured.top5 == pytest.approx(top_k_accuracy_score(labels, scores, k=5))
    assert measured.loss == pytest.approx(log_loss(labels, scores), rel=1e-5)


def training_draws_of_all(images: Prepared) -> Any:
    from resnext_dsl.train.batches import measuring_draws

    (draw,) = measuring_draws(len(images), len(images))
    return draw


def test_a_resumed_run_is_the_run_that_never_stopped(tmp_path: Path) -> None:
    whole = train(job(tmp_path, "whole"))

    def stop(epoch: Any) -> None:
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job(tmp_path, "parts"), Watch(epoch=stop))
    torch.manual_seed(99)  # what the process drew before must not matter
    resumed = train(job(tmp_path, "parts")._replace(resume=True))
    assert [epoch._replace(seconds=0) for epoch in resumed.epochs] == [
        epoch._replace(seconds=0) for epoch in whole.epochs
    ]
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert len((tmp_path / "parts" / "metrics.csv").read_text().splitlines()) == 4


def test_a_run_stopped_within_an_epoch_goes_on_from_the_one_before(tmp_path: Path) -> None:
    whole = train(job(tmp_path, "whole", epochs=2))
    ticks = []

    def stop(done: int, steps: int) -> None:
        ticks.append(done)
        if len(ticks) == steps + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(job(tmp_path, "parts", epochs=2), Watch(tick=stop))
    resumed = train(job(tmp_path, "parts", epochs=2)._replace(resume=True))
    assert resumed.test == whole.test
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    first = train(job(tmp_path, epochs=1))
    again = train(job(tmp_path, epochs=1)._replace(resume=True))
    assert again.epochs == first.epochs
    assert again.test == first.test


def test_a_run_keeps_what_it_says(tmp_path: Path) -> None:
    result = train(job(tmp_path))
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result.to_json()
    best = max(result.epochs, key=lambda epoch: epoch.accuracy)
    measured = evaluate(job(tmp_path)._replace(weights=tmp_path / "run" / "best.safetensors", out=None))
    assert measured.test.accuracy == best.accuracy
    assert set(torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)) == {"identity", "epochs", "state"}


def test_a_run_says_how_the_gpu_computes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from resnext_dsl.train import run

    told: list[str] = []
    request, watch = job(tmp_path, epochs=1), Watch(begin=lambda network, source, device: told.append(device))
    assert train(request._replace(out=None), watch).to_json()["settings"] == {}
    monkeypatch.setattr(run, "settings_of", lambda place: {"TF32 convolutions": "on", "cuDNN": "91900"})
    result = train(request, watch)
    assert told == ["cpu, 32-true", "cpu, 32-true, TF32 convolutions on, cuDNN 91900"]
    assert result.to_json()["settings"] == {"TF32 convolutions": "on", "cuDNN": "91900"}
    assert result.device == "cpu, 32-true"


def test_training_leaves_torchs_generator_as_it_was(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    train(job(tmp_path, epochs=1)._replace(out=None))
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_make_other_runs(tmp_path: Path) -> None:
    losses = {train(job(tmp_path, epochs=1, seed=seed)._replace(out=None)).test.loss for seed in (0, 1, 0)}
    assert len(losses) == 2


def test_workers_do_not_change_the_trajectory(tmp_path: Path) -> None:
    folders(tmp_path / "images")
    spec(tmp_path, PLAIN, "plain")
    chosen = recipe("resnext-imagenet", epochs=1, batch_size=2, lr=0.01)
    base = Job(tmp_path / "plain.arch", chosen, {"resolution": 16}, data_dir=tmp_path / "images", hardware=CPU)
    alone, helped = (train(base._replace(hardware=CPU._replace(workers=number))) for number in (0, 2))
    assert helped.test == alone.test
    assert helped.network.parameters["classes"].value == 2


def test_a_checkpoint_of_other_classes_gets_a_new_classifier(tmp_path: Path) -> None:
    path = spec(tmp_path)
    own = rx.load(path, resolution=8).compile(seed=5)
    safetensors.torch.save_file(own.state_dict(), tmp_path / "own.safetensors")
    start = job(tmp_path, epochs=1, lr=1e-9, warmup=0)._replace(weights=tmp_path / "own.safetensors")
    message = "`head.linear` keeps new initial weights: the checkpoint has 4 classes and the network 10"
    with pytest.warns(rx.WeightsWarning, match=re.escape(message)):
        train(start)
    tuned, before = weights(tmp_path / "run"), own.state_dict()
    assert tuned["head.linear.weight"].shape == (10, 4)
    torch.testing.assert_close(tuned["stem.conv.weight"], before["stem.conv.weight"], atol=1e-6, rtol=0)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    other = rx.loads(TINY, width=8, resolution=8).compile(seed=5)
    safetensors.torch.save_file(other.state_dict(), tmp_path / "other.safetensors")
    with pytest.raises(rx.WeightsError, match=r"error\[E701\]"):
        train(job(tmp_path)._replace(weights=tmp_path / "other.safetensors"))
    assert not (tmp_path / "run").exists()


def test_training_that_diverges_says_when(tmp_path: Path) -> None:
    with pytest.raises(rx.TrainingError, match=r"the loss is no longer finite in epoch \d, at learning rate") as caught:
        train(job(tmp_path, lr=1e9, warmup=0))
    assert [found.code for found in caught.value.diagnostics] == ["E715"]


def refused(request: Job, message: str) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        train(request)
    assert [found.code for found in caught.value.diagnostics] == ["E714"]


def test_runs_that_cannot_be_resumed_are_refused(tmp_path: Path) -> None:
    refused(job(tmp_path)._replace(resume=True), "there is no run to resume here")
    train(job(tmp_path, epochs=1))
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    refused(job(tmp_path, epochs=1), "the folder already has a run")
    resumed = job(tmp_path, epochs=1)._replace(resume=True)
    wider = resumed._replace(settings={"width": 8, "resolution": 8})
    refused(wider, "the run trains network `tiny` with another architecture")
    refused(resumed._replace(recipe=recipe("digits", epochs=1)), "the run started with `batch_size` 256; found 64")
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
    (tmp_path / "run" / "last.ckpt").write_bytes(before[:1000])
    refused(resumed, "the run cannot be read")
    torch.save({"epochs": []}, tmp_path / "run" / "last.ckpt")
    refused(resumed, "the run cannot be read")
    torch.save({"identity": {}, "epochs": [], "state": Path("x")}, tmp_path / "run" / "last.ckpt")
    refused(resumed, "the run cannot be read")


def test_a_state_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    train(job(tmp_path, epochs=1))
    path = tmp_path / "run" / "last.ckpt"
    content = torch.load(path, weights_only=True)
    content["state"]["model"]["stem.conv.weight"] = torch.zeros(2)
    torch.save(content, path)
    refused(job(tmp_path, epochs=1)._replace(resume=True), "the run's state does not fit the network")


@pytest.mark.parametrize(
    ("hardware", "message"),
    [
        (Hardware(accelerator="cuda"), "this machine cannot train with these options"),
        (Hardware(accelerator="cpu", devices="none"), "this machine cannot train with these options"),
        (Hardware(accelerator="abacus"), "this machine cannot train with these options"),
        (Hardware(precision="int8"), "`precision` must be one of 32-true"),
        (Hardware(strategy="fsdp"), "`strategy` must be one of auto, ddp"),
        (
            Hardware(accelerator="cpu", devices="3", strategy="ddp"),
            "`batch_size` (=256) must be divisible by the devices",
        ),
    ],
)
def test_machines_that_are_not_here_are_refused(tmp_path: Path, hardware: Hardware, message: str) -> None:
    if hardware.accelerator == "cuda" and torch.cuda.is_available():
        hardware = hardware._replace(devices="99")
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        train(job(tmp_path)._replace(hardware=hardware))
    assert [found.code for found in caught.value.diagnostics] == ["E711"]


@pytest.mark.parametrize("precision", ["bf16-mixed", "64-true"])
def test_precisions_train(tmp_path: Path, precision: str) -> None:
    result = train(job(tmp_path, epochs=1)._replace(hardware=CPU._replace(precision=precision), out=None))
    assert precision in result.device
    assert result.test.loss < 2.6


@pytest.mark.slow
def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    cifar10(tmp_path / "cifar")
    path = spec(tmp_path, PLAIN, "plain")
    options = ["--recipe", "resnext-cifar", "--data-dir", tmp_path / "cifar", "--epochs", 2, "--batch-size", 8]
    options += ["--augment", "none", "--lr", 0.01, "--accelerator", "cpu", "--json"]
    alone = CliRunner().invoke(app, ["train", *map(str, [path, *options, "--out", tmp_path / "1"])])
    assert alone.exit_code == 0, alone.stderr
    command = [sys.executable, "-m", "resnext_dsl", "train", path, *options, "--devices", 2, "--out", tmp_path / "2"]
    shared = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert shared.returncode == 0, shared.stderr
    left, right = (weights(tmp_path / devices) for devices in ("1", "2"))
    for name, value in left.items():
        torch.testing.assert_close(right[name], value, rtol=1e-5, atol=1e-6)
    one, two = json.loads(alone.stdout), json.loads(shared.stdout)  # of two processes, one answers
    assert one["test"]["accuracy"] == two["test"]["accuracy"]
    assert two["device"] == "2 x cpu, 32-true"
