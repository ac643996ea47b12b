"""A network of signals against a published package, pytorch-tcn: parameters, FLOPs, activations and outputs."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch
from pytorch_tcn import TCN
from references import fill

import resnext_dsl as rx

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # fvcore scripts a loss of its own when it is imported
    from fvcore.nn import ActivationCountAnalysis, FlopCountAnalysis

SPEC = Path(__file__).parents[1] / "data" / "tcn.arch"


def layers(count: int) -> dict[str, str]:
    """The package's name of a layer -> ours. The package lists all convolutions of a block before its norms."""
    inner = range(count - 2)
    blocks = ["block1", *(f"repeat.{number}.block" for number in inner), "block2"]
    fits = ["fit", *(f"repeat.{number}.fit" for number in inner)]
    names = {"conv1": "temporal1.conv", "norm1": "temporal1.bn", "conv2": "temporal2.conv", "norm2": "temporal2.bn"}
    names["downsample"] = "shortcut.conv"
    return {
        **{f"downsample_skip_connection.{number}": f"{fit}.conv" for number, fit in enumerate(fits)},
        **{f"network.{k}.{one}": f"{block}.{other}" for k, block in enumerate(blocks) for one, other in names.items()},
    }


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("kernel", [3, 4])
@pytest.mark.parametrize("channels", [[16, 24, 24, 32], [8, 8, 8], [12, 20]])
def test_a_temporal_network_is_that_of_the_package(channels: list[int], kernel: int, causal: bool) -> None:
    theirs = TCN(
        12,
        channels,
        kernel_size=kernel,
        causal=causal,
        use_norm="batch_norm",
        use_skip_connections=True,
        use_gate=True,
        output_projection=5,
    )
    fill(theirs, seed=3)
    theirs.eval()
    network = rx.load(SPEC, channels=channels, kernel=kernel, causal=causal)
    assert network.cost().params == sum(parameter.numel() for parameter in theirs.parameters())
    # The buffers hold the samples before a chunk when the package runs on a stream.
    weights = {name: tensor for name, tensor in theirs.state_dict().items() if not name.endswith("padder.buffer")}
    mapping = {theirs: ours for theirs, ours in layers(len(channels)).items() if f"{theirs}.weight" in weights}
    ours = network.compile(weights=rx.Checkpoint(weights, mapping=mapping)).eval()
    x = torch.randn(2, 12, 200, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        expected = theirs(x)
        assert float((ours(x) - expected).abs().max() / expected.abs().max()) < 1e-5
    for model in (ours, theirs):
        flops, elements = (
            analysis(model, x[:1]).unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()
            for analysis in (FlopCountAnalysis, ActivationCountAnalysis)
        )
        assert (network.cost().flops, network.cost().activations) == (flops, elements)
