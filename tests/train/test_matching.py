"""Which network of a spec a data set trains."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from training_examples import TINY, spec

import resnext_dsl as rx
from resnext_dsl.train.datasets.digits import digits
from resnext_dsl.train.matching import network_for


def refused(path: str, message: str, hint: str = "", **given: Any) -> None:
    with pytest.raises(rx.ArchError, match=re.escape(message)) as caught:
        network_for(path, given, digits())
    (found,) = caught.value.diagnostics
    assert (found.code, found.hint) == ("E713", hint)


def test_classes_and_resolution_follow_the_data_set(tmp_path: Path) -> None:
    network = network_for(spec(tmp_path), {}, digits())
    assert network.ir.nodes[0].shape == (1, 8, 8)
    assert network.ir.nodes[network.ir.outputs[0].node].shape == (10,)


def test_what_is_given_stays(tmp_path: Path) -> None:
    network = network_for(spec(tmp_path), {"resolution": "12"}, digits())
    assert network.ir.nodes[0].shape == (1, 12, 12)
    refused(spec(tmp_path), "output `main` has 5 classes; the data set has 10", "--set classes=10", classes="5")


@pytest.mark.parametrize(
    ("old", "new", "message", "hint"),
    [
        (
            "linear(classes)",
            "linear(7)",
            "output `main` has 7 classes; the data set has 10",
            "--set classes=10",
        ),
        (
            "param classes = 4\n",
            "let classes = 7\n",
            "output `main` has 7 classes; the data set has 10",
            "give the spec a parameter `classes`, or `linear(10)`",
        ),
        (
            "avgpool(global); flatten; linear(classes)",
            "conv(classes, 1x1)",
            "output `main` is 10x8x8; a classifier has one score for each class",
            "",
        ),
        (
            "    head",
            "    output second from a { avgpool(global); flatten; linear(classes) }\n    head",
            "a classifier has one output in inference; this network has `main`, `second`",
            "",
        ),
        (
            "stem {",
            "stem { maxpool(16x16, padding=valid);",
            "the network cannot have classes=10 and resolution=8, which `digits` needs: `kernel` (=16x16) is",
            "images are scaled to the resolution that you set: --set resolution=16",
        ),
    ],
)
def test_networks_that_do_not_fit(tmp_path: Path, old: str, new: str, message: str, hint: str) -> None:
    assert old in TINY
    refused(spec(tmp_path, TINY.replace(old, new)), message, hint)


def test_a_network_of_features_is_no_classifier_of_images(tmp_path: Path) -> None:
    text = "network n {\n    input x: 64\n    param classes = 10\n    linear(classes)\n}\n"
    refused(spec(tmp_path, text), "the network takes 64; images are channels x height x width")


def test_networks_for_two_channels_take_no_colours(tmp_path: Path) -> None:
    colours = digits()._replace(shape=(3, 8, 8))
    with pytest.raises(rx.ArchError, match=re.escape("the network takes 1x8x8; images of `digits` have 3 channels")):
        network_for(spec(tmp_path), {}, colours)
