"""Networks that were written from docs/language.md and docs/operators.md, without the package, against timm."""

from __future__ import annotations

import warnings

import pytest
import torch
from references import DATA, filled, timm

import resnext_dsl as rx
from resnext_dsl.foundation.diagnostics import WeightsWarning

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore scripts a loss of its own when it is imported
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

FOLDER = DATA / "written"
NAMES = sorted(path.stem for path in FOLDER.glob("*.arch"))
QUICK = ("hgnetv2_b0", "rexnet_100", "selecsls42b")


ALIKE = {"starnet_s1"}
"""Networks with layers of equal shape side by side. Loading warns of them; the outputs show that they are matched."""


def check(name: str) -> None:
    """Parameters, multiply-adds, activations, and the outputs with carried weights."""
    theirs = filled(lambda: timm.create_model(name, pretrained=False), seed=1).eval()
    network = rx.load(FOLDER / f"{name}.arch")
    x = torch.randn(1, *network.ir.nodes[0].shape, generator=torch.Generator().manual_seed(1))
    flops, elements = (
        analysis(theirs, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        for analysis in (FlopCountAnalysis, ActivationCountAnalysis)
    )
    counted = flops.by_operator()
    cost = network.cost()
    assert cost.params == sum(parameter.numel() for parameter in theirs.parameters())
    assert cost.macs == counted["conv"] + counted["linear"]
    assert cost.activations == elements.total()
    with warnings.catch_warnings():
        if name in ALIKE:
            warnings.simplefilter("ignore", WeightsWarning)
        ours = network.compile(weights=theirs.state_dict()).eval()
    with torch.no_grad():
        expected = theirs(x)
        assert float((ours(x) - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize("name", QUICK)
def test_a_network_is_that_of_timm(name: str) -> None:
    check(name)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in NAMES if name not in QUICK])
def test_every_other_network_is_that_of_timm(name: str) -> None:
    check(name)


def test_no_network_is_left_out() -> None:
    assert len(NAMES) == 14
