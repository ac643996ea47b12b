"""The graph: its fingerprint, its networkx form, the same in every process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from error_examples import net

import resnext_dsl as rx

FINGERPRINTS = {
    "resnet18": "da9cffccb27fd3b563734d19483a03432832ce857a512956fe1e801495f74c87",
    "shufflenet_v2_x1_0": "bdb0792394528bf24d4a3ad8a735f73ea22de28c8dae6aecef1c3de595575e22",
    "efficientnet_b0": "11cb5e2789ad0e0e33094e9cb0059aec66a69ef1a1433314c0df4d83144d4ceb",
}
"""Fingerprints of networks that have no argument at another value than its default since it exists."""


@pytest.mark.parametrize("name", FINGERPRINTS)
def test_a_further_argument_of_an_operator_changes_no_fingerprint(name: str) -> None:
    assert rx.load(name).fingerprint == FINGERPRINTS[name]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("conv(8, 3x3)", "conv(8, 3x3, padding=1)"),
        ("conv(8, 3x3, dilation=2)", "conv(8, 3x3, padding=2, dilation=2)"),
        ("conv(8, 1x1)", "conv(8, 1x1, padding=valid)"),
        ("conv(8, 3x3, padding=same_upper)", "conv(8, 3x3)"),
        ("maxpool(2x2)", "maxpool(2x2, stride=2)"),
        ("maxpool(3x3, stride=2)", "maxpool(3x3, stride=2, padding=1)"),
        ("conv(8, 1x1); shuffle(1)", "conv(8, 1x1)"),
        ("conv(8, 1x1); shuffle(8)", "conv(8, 1x1)"),
        ("conv(8, 1x1); slice(0, 8); slice(2, 6); slice(1, 2)", "conv(8, 1x1); slice(3, 4)"),
        (
            "residual { residual { conv(3, 3x3) } }",
            "split { path { identity } path { identity } path { conv(3, 3x3) } } merge add",
        ),
    ],
)
def test_spellings_of_one_computation_have_one_fingerprint(one: str, other: str) -> None:
    assert rx.loads(net(one)).fingerprint == rx.loads(net(other)).fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("conv(8, 3x3)", "conv(8, 3x3, padding=0)"),
        ("conv(8, 3x3, stride=2, padding=same_upper)", "conv(8, 3x3, stride=2)"),
        ("maxpool(3x3)", "maxpool(3x3, stride=2)"),
        ("conv(8, 1x1); shuffle(2)", "conv(8, 1x1); shuffle(4)"),
        ("conv(8, 1x1); slice(0, 4)", "conv(8, 1x1); slice(4, 8)"),
    ],
)
def test_other_computations_have_other_fingerprints(one: str, other: str) -> None:
    assert rx.loads(net(one)).fingerprint != rx.loads(net(other)).fingerprint


def test_an_argument_that_a_fingerprint_may_omit_is_in_it_if_it_has_a_value() -> None:
    bodies = [
        *("conv(8, 3x3)", "conv(8, 3x3, standardize=true)", "conv(8, 3x3, standardize=scaled)"),
        *("conv(8, 3x3, standardize=true, eps=1e-5)", "conv(8, 3x3, standardize=scaled, gain=2.0)"),
        *("conv(8, 1x1); shuffle(2)", "conv(8, 1x1); shuffle(2, unit=2)", "softmax", "softmax(across=3)"),
    ]
    assert len({rx.loads(net(body)).fingerprint for body in bodies}) == len(bodies)


def test_the_fingerprint_is_that_of_the_architecture() -> None:
    first = rx.loads(net("conv(8, 3x3); bn; relu  # one\n    add(image)".replace("    add(image)", "")))
    again = rx.loads(net("let c = 8\n    unit(c)", "template unit(c) { conv(c, 3x3); bn; relu }\n"))
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != rx.loads(net("conv(8, 3x3); bn; silu")).fingerprint
    shared = rx.loads(net("conv(8, 3x3) as a; relu as b; use a; relu; add(b)"))
    twice = rx.loads(net("conv(8, 3x3) as a; relu as b; add(b)"))
    assert shared.fingerprint != twice.fingerprint


def test_the_networkx_graph_carries_what_the_interface_promises() -> None:
    graph = rx.load("resnext50_32x4d_a").graph
    assert type(graph).__name__ == "MultiDiGraph"
    node = graph.nodes["conv3.0.paths.7.conv2"]
    assert node["operator"] == "conv"
    assert node["attributes"].model_dump()["stride"] == (2, 2)
    assert node["shape"] == (8, 28, 28)
    assert node["span"].source.name.endswith("std/blocks.arch")
    assert [key["position"] for key in graph.get_edge_data("conv3.0.paths.7.conv3", "conv3.0.add1").values()] == [7]


def test_the_graph_is_the_same_in_every_process() -> None:
    program = (
        "import hashlib, resnext_dsl as rx\n"
        "n = rx.load('inception_v4')\n"
        "print(n.fingerprint, hashlib.sha256(repr([(x.name, x.inputs, x.shape) for x in n.ir.nodes]).encode()).hexdigest())\n"
        "print(hashlib.sha256(n.emit().encode()).hexdigest())\n"
    )
    seen = set()
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        seen.add(done.stdout)
    assert len(seen) == 1
