"""DLA's tree, written as a template that calls itself, against timm's network."""

from __future__ import annotations

import warnings
from pathlib import Path

import references
import torch
from torch import nn

import resnext_dsl as rx

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # fvcore compiles a function with torch.jit, which is deprecated
    from fvcore.nn import FlopCountAnalysis

SPEC = Path(__file__).parents[1] / "data" / "dla34.arch"


def flops(model: nn.Module, x: torch.Tensor) -> dict[str, float]:
    """FLOPs by fvcore's operators."""
    counted = FlopCountAnalysis(model, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # fvcore traces the module, and torch warns that tracing is deprecated
        return dict(counted.by_operator())


def test_the_tree_of_dla34_is_that_of_timm() -> None:
    theirs = references.timm.create_model("dla34", pretrained=False).eval()
    references.fill(theirs, seed=1)
    network = rx.load(SPEC)
    ours = network.compile(weights=theirs.state_dict()).eval()
    x = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    assert network.cost().params == sum(p.numel() for p in theirs.parameters()) == 15_742_104
    assert flops(ours, x) == flops(theirs, x)
    assert network.cost().flops == sum(flops(theirs, x).values())
    with torch.no_grad():
        assert torch.equal(ours(x), theirs(x))
