"""Checkpoints for fine-tuning: without a head, with another head, without auxiliary heads, for other input channels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import references
import torch
from references import timm, torchvision
from torch import Tensor, nn
from typer.testing import CliRunner

import resnext_dsl as rx
from resnext_dsl.cli.app import app
from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError, WeightsWarning
from resnext_dsl.weights import load_weights


def tuned(network: rx.Network, state: Mapping[str, Tensor], **choices: bool) -> tuple[nn.Module, list[Diagnostic]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", WeightsWarning)
        model = network.compile(weights=rx.Checkpoint(state, new_layers=True, **choices), seed=0)
    return model, [each.message.diagnostic for each in caught if isinstance(each.message, WeightsWarning)]


def resnet(**options: int) -> nn.Module:
    return references.filled(lambda: torchvision.models.resnet18(**options), seed=1).eval()


HEADS = {
    "no head": ({}, True, "`head.linear` keeps new initial weights: the checkpoint has no classifier"),
    "other classes": (
        {"num_classes": 1000},
        False,
        "`head.linear` keeps new initial weights: the checkpoint has 1000 classes and the network 7",
    ),
    "fewer classes": (
        {"num_classes": 5},
        False,
        "`head.linear` keeps new initial weights: the checkpoint has 5 classes and the network 7",
    ),
}


@pytest.mark.parametrize(
    ("case", "order"),
    [("no head", "pth"), ("no head", "sorted"), ("other classes", "pth"), ("fewer classes", "sorted")],
)
def test_another_classifier_is_made_anew(case: str, order: str) -> None:
    options, headless, message = HEADS[case]
    reference = resnet(**options)
    state = {key: value for key, value in reference.state_dict().items() if not (headless and key.startswith("fc."))}
    state = {key: state[key] for key in (sorted(state) if order == "sorted" else state)}
    network = rx.load("resnet18", classes=7)
    model, (warning,) = tuned(network, state)
    assert (warning.code, warning.severity, warning.message) == ("W915", "warning", message)
    untouched = network.compile(seed=0).state_dict()
    filled = model.state_dict()
    assert torch.equal(filled["head.linear.weight"], untouched["head.linear.weight"])
    assert torch.equal(filled["conv5.1.conv2.weight"], reference.state_dict()["layer4.1.conv2.weight"])
    assert torch.equal(filled["stem.bn.running_var"], reference.state_dict()["bn1.running_var"])


def test_compile_says_how_to_fine_tune() -> None:
    state = {key: value for key, value in resnet().state_dict().items() if not key.startswith("fc.")}
    with pytest.raises(WeightsError, match=r"the network has layers that the checkpoint lacks: `head` \(") as caught:
        rx.load("resnet18").compile(weights=state)
    assert caught.value.diagnostics[0].hint == (
        "for fine-tuning, `train --weights` gives new weights to a classifier and to auxiliary heads, in Python "
        "`new_layers=True` of `Checkpoint`"
    )


def test_more_than_the_heads_is_an_error() -> None:
    with pytest.raises(WeightsError, match="the numbers of layers differ"):
        tuned(rx.load("resnet34", classes=7), resnet().state_dict())


WITHOUT_HEADS = {
    "inception_v3": (lambda: timm.create_model("inception_v3"), "`aux` keep"),
    "googlenet": (
        lambda: torchvision.models.googlenet(aux_logits=False, init_weights=False, transform_input=False),
        "`aux1` and `aux2` keep",
    ),
}


@pytest.mark.parametrize(
    ("name", "classes", "order"),
    [("googlenet", 1000, "pth"), ("inception_v3", 1000, "sorted"), ("googlenet", 7, "sorted")],
)
def test_missing_auxiliary_heads(name: str, classes: int, order: str) -> None:
    build, heads = WITHOUT_HEADS[name]
    reference = references.filled(build, seed=2).eval()
    state = reference.state_dict()
    state = {key: state[key] for key in (sorted(state) if order == "sorted" else state)}
    if classes == 1000:
        with pytest.raises(WeightsError) as caught:
            rx.load(name).compile(device="meta", weights=state)
        assert caught.value.diagnostics[0].message == (
            f"the network has layers that the checkpoint lacks: {heads.removesuffix(' keep')}, auxiliary heads; "
            "all other layers match"
        )
        assert "`train --weights` gives new weights" in str(caught.value)
    model, listed = tuned(rx.load(name, classes=classes), state)
    expected = [f"{heads} new initial weights: the checkpoint has no auxiliary heads"]
    if classes != 1000:
        expected += [
            f"`head.linear` keeps new initial weights: the checkpoint has 1000 classes and the network {classes}"
        ]
    assert [warning.message for warning in listed] == expected
    if classes == 1000:
        image = torch.randn(1, 3, 299, 299, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            torch.testing.assert_close(model.eval()(image), reference(image), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_input_channels_are_adapted_as_in_timm(channels: int) -> None:
    reference = references.filled(lambda: timm.create_model("resnet18"), seed=1)
    expected = timm.models.adapt_input_conv(channels, reference.state_dict()["conv1.weight"])
    network = rx.loads(
        f"network n {{ input image: {channels}x32x32; conv(64, 7x7, stride=2); bn; relu; conv(8, 3x3) }}"
    )
    state = {"conv1.weight": reference.state_dict()["conv1.weight"]}
    state |= {key: value for key, value in reference.state_dict().items() if key.startswith("bn1.")}
    state["conv2.weight"] = torch.randn(8, 64, 3, 3)
    with pytest.raises(WeightsError) as caught:
        network.compile(weights=state)
    assert caught.value.diagnostics[0].hint == (
        f"the images have {channels} channels here, 3 there: `--adapt-input` adapts the weights"
    )
    with pytest.warns(WeightsWarning, match=r"W915.*the 3 input channels of `conv1.weight` are (summed|repeated)"):
        model = network.compile(weights=rx.Checkpoint(state, adapt_input=True, strict=True))
    torch.testing.assert_close(model.state_dict()["conv1.weight"], expected)


def test_train_says_which_layers_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    body = "stem { conv(4, 3x3); bn; relu }\n head { avgpool(global); flatten; linear(classes) }"
    spec = f"network small {{ input image: 1 x resolution x resolution\n param classes = 10\n param resolution = 8\n {body} }}"
    Path("small.arch").write_text(spec)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.Linear(4, 5))
    torch.save(model.state_dict(), "w.pth")
    options = ["--epochs", "1", "--batch-size", "512", "--accelerator", "cpu", "--weights", "w.pth"]
    refused = CliRunner().invoke(app, ["train", "small.arch", *options])
    assert refused.exit_code == 2
    assert "`--adapt-input`" in refused.stderr
    done = CliRunner().invoke(app, ["train", "small.arch", *options, "--adapt-input"])
    assert done.exit_code == 0, done.stderr
    assert "warning[W915]: the 3 input channels of `0.weight` are summed for one channel" in done.stderr
    message = "`head.linear` keeps new initial weights: the checkpoint has 5 classes and the network 10"
    assert f"w.pth: warning[W915]: {message}" in done.stderr
    measured = CliRunner().invoke(
        app, ["train", "small.arch", "--weights", "w.pth", "--adapt-input", "--test-only", "--accelerator", "cpu"]
    )
    assert measured.exit_code == 2
    assert "error[E701]" in measured.stderr


@pytest.mark.parametrize("choice", [{"new_layers": True}, {"adapt_input": True}, {"reference": nn.Linear(2, 3)}])
def test_choices_that_need_the_graph(choice: dict[str, object]) -> None:
    model = nn.Linear(2, 3)
    with pytest.raises(ValueError, match="`reference`, `new_layers` and `adapt_input` of a checkpoint need the graph"):
        load_weights(model, rx.Checkpoint(model.state_dict(), **choice))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("channels", "adapted"),
    [(1, "summed for one channel"), (2, "repeated for 2, with the same sum"), (7, "repeated for 7, with the same sum")],
)
def test_the_warning_says_how_input_channels_were_adapted(channels: int, adapted: str) -> None:
    network = rx.loads(f"network n {{ input image: {channels}x8x8; conv(4, 3x3) }}")
    with pytest.warns(WeightsWarning) as caught:
        network.compile(weights=rx.Checkpoint({"stem.weight": torch.randn(4, 3, 3, 3)}, adapt_input=True))
    (warning,) = caught
    assert isinstance(warning.message, WeightsWarning)
    assert warning.message.diagnostic.message == f"the 3 input channels of `stem.weight` are {adapted}"
