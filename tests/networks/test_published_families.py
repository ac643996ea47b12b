"""The families behind shipped networks: published networks by pycls's exact costs, random RegNets by timm."""

from __future__ import annotations

import csv
import math
import random
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from references import DATA
from timm.models.regnet import RegNet, RegNetCfg, generate_regnet

import resnext_dsl as rx
from resnext_dsl.graph.ir import Node


def published() -> list[dict[str, str]]:
    """The rows of `pycls_costs.csv`."""
    with (DATA / "pycls_costs.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader((line for line in file if not line.startswith("#")), delimiter=";"))


PUBLISHED = published()


def elements(nodes: list[Node]) -> int:
    return sum(math.prod(node.shape) for node in nodes)


@pytest.mark.parametrize("row", PUBLISHED, ids=[row["model"] for row in PUBLISHED])
def test_a_published_network_has_the_exact_costs_of_pycls(row: dict[str, str]) -> None:
    settings = dict(setting.split("=") for setting in row["settings"].split())
    network = rx.load(row["spec"], **settings)
    cost = network.cost()
    layers = [node for node in network.ir.nodes if node.operator in ("conv", "linear")]
    bias = elements([node for node in layers if dict(node.attributes or ())["bias"]])
    pooled = elements([node for node in network.ir.nodes if node.operator == "maxpool"])
    assert cost.params == int(row["params"])
    assert cost.macs + bias == int(row["multiply_adds"])
    assert cost.activations + pooled == int(row["activations"])


def test_the_table_has_all_36_networks() -> None:
    assert len({row["model"] for row in PUBLISHED}) == len(PUBLISHED) == 36


def drawn() -> Iterator[dict[str, Any]]:
    """Settings of RegNets with four stages; half of them have groups wider than a stage."""
    pick, wider = random.Random(0), 0
    for number in range(60):
        while True:
            settings: dict[str, Any] = {
                "depth": pick.randint(8, 28),
                "initial": 8 * pick.randint(1, 32),
                "slope": round(pick.uniform(8, 120), 2),
                "growth": round(pick.uniform(1.8, 3.0), 2),
                "group_width": 8 * pick.randint(1, 31),
                "squeeze": pick.choice((0.0, 0.25)),
            }
            widths, stages, _ = generate(settings)
            is_wider = settings["group_width"] > min(widths)
            if stages == 4 and max(widths) < 2500 and is_wider == (number % 2 == 0):
                break
        wider += is_wider
        yield settings
    assert wider == 30


def generate(settings: dict[str, Any]) -> tuple[list[int], int, list[int]]:
    result: tuple[list[int], int, list[int]] = generate_regnet(
        settings["slope"], settings["initial"], settings["growth"], settings["depth"], settings["group_width"]
    )[:3]
    return result


RANDOM = list(drawn())


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(settings, id=str(number), marks=() if number < 24 else pytest.mark.slow)
        for number, settings in enumerate(RANDOM)
    ],
)
def test_a_random_regnet_is_that_of_timm(settings: dict[str, Any]) -> None:
    """The convolutions have equal attributes, and the networks have equally many parameters."""
    configuration = RegNetCfg(
        depth=settings["depth"],
        w0=settings["initial"],
        wa=settings["slope"],
        wm=settings["growth"],
        group_size=settings["group_width"],
        se_ratio=settings["squeeze"],
    )
    with torch.device("meta"):
        theirs = RegNet(configuration)
    ours = rx.load("regnetx_032", **settings)
    assert ours.cost().params == sum(weight.numel() for weight in theirs.parameters())
    convolutions = [m for m in theirs.modules() if isinstance(m, torch.nn.Conv2d)]
    nodes = [node for node in ours.ir.nodes if node.operator == "conv"]
    expected = sorted((m.out_channels, m.kernel_size, m.stride, m.groups) for m in convolutions)
    attributes = [dict(node.attributes or ()) for node in nodes]
    assert sorted((a["channels"], a["kernel"], a["stride"], a["groups"]) for a in attributes) == expected


def test_regnetx_8gf_has_its_published_parameters() -> None:
    settings = {"depth": 23, "initial": 80, "slope": 49.56, "growth": 2.88, "group_width": 120}
    assert rx.load("regnetx_032", **settings).cost().params == 39_572_648
