"""Memory of whole networks against what torch holds, to the byte."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from memory_oracle import alive_at_once, saved_for_backward
from random_networks import drawn
from reduced_networks import reduced
from torch.nn import functional

import resnext_dsl as rx
from resnext_dsl.costs.dry_run import TORCH, Ledger, Storage, Value
from resnext_dsl.costs.memory_use import MemoryUse
from resnext_dsl.foundation.number_types import NUMBER_TYPES
from resnext_dsl.semantics.spec_files import shipped_names

SMALLER = {"inception_v3": 299, "inception_v4": 139, "inception_resnet_v2": 139, "alexnet_grouped": 96}
"""Resolutions for those that do not take 64."""

QUICK = [
    "resnet18",
    "resnext50_32x4d",
    "mobilenetv3_large_100",
    "googlenet",
    "inception_v3",
    "densenet121",
    "convnext_tiny",
    "shufflenet_v2_x1_0",
    "efficientnet_b0",
    "unet",
]


def check(network: rx.Network, dtype: str = "float32", batch: int = 2) -> None:
    """Hold a network's memory against that of its module."""
    kind = getattr(torch, dtype)
    model = network.compile(form="written", dtype=kind)
    images = torch.randn(batch, *network.ir.nodes[0].shape, dtype=kind)
    assert network.memory(dtype, batch) == MemoryUse(
        weights=sum(parameter.nbytes for parameter in model.parameters()),
        buffers=sum(buffer.nbytes for buffer in model.buffers()),
        peak_activations=alive_at_once(model, images),
        saved_activations=saved_for_backward(model, images),
        dtype=dtype,
        batch=batch,
    )


@pytest.mark.parametrize("name", QUICK)
def test_a_reduced_network_holds_what_torch_holds(name: str) -> None:
    check(reduced(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", shipped_names())
def test_every_shipped_network_holds_what_torch_holds(name: str) -> None:
    check(rx.load(name, resolution=SMALLER.get(name, 64)))


@pytest.mark.parametrize(("batch", "dtype"), [(2, "float64"), (5, "float32"), (5, "bfloat16"), (2, "float16")])
@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x1_0"])
def test_bytes_follow_type_and_batch(name: str, batch: int, dtype: str) -> None:
    check(rx.load(name, resolution=32), dtype, batch)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", NUMBER_TYPES)
@pytest.mark.parametrize("batch", [2, 5])
@pytest.mark.parametrize("name", ["resnet18", "shufflenet_v2_x1_0", "convnext_tiny", "mobilenetv3_large_100"])
def test_every_type_and_batch_has_its_bytes(name: str, batch: int, dtype: str) -> None:
    check(rx.load(name, resolution=32), dtype, batch)


@pytest.mark.parametrize("seed", range(20))
def test_a_random_network_holds_what_torch_holds(seed: int) -> None:
    check(drawn(seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20, 600))
def test_many_random_networks_hold_what_torch_holds(seed: int) -> None:
    check(drawn(seed))


def test_the_figures_of_resnet50() -> None:
    memory = rx.load("resnet50").memory()
    assert memory.weights == 4 * 25_557_032
    # 26,560 channels of batch norm with two statistics each, and 53 counts of batches
    assert memory.buffers == 4 * 2 * 26_560 + 8 * 53
    # The last batch norm of a block of conv2 beside its input, while the image, the input of the stage, the input of
    # the block (for its shortcut) and the bottleneck (still in a variable) are held.
    assert memory.peak_activations == 4 * (3 * 256 * 56 * 56 + 2 * 64 * 56 * 56 + 3 * 224 * 224)


@pytest.mark.parametrize("around", [(1, 2), (0, 0, 3, 0), (1, 2, 3, 4), (0, 0, 0, 0, 5, 1)])
def test_padding_has_the_shape_of_torch(around: tuple[int, ...]) -> None:
    value = Value(Storage(Ledger(width=4, batch=1), (2, 3, 5)), (2, 3, 5))
    padded = TORCH.nn.functional.pad(value, around)
    assert padded.shape == tuple(functional.pad(torch.zeros(2, 3, 5), around).shape)


def test_an_output_for_training_takes_no_memory_in_inference() -> None:
    text = """\
network n {
    input image: 3x16x16
    stage a { conv(4, 3x3) }
    stage b { conv(8, 3x3, stride=2) }
    output aux when training from a { conv(64, 1x1); conv(64, 3x3) }
}
"""
    check(rx.loads(text))


def test_a_type_that_does_not_exist_is_refused() -> None:
    network = rx.load("resnet18")
    with pytest.raises(ValueError, match=r"`dtype` must be one of float64, float32, bfloat16, float16; found 'int8'"):
        network.memory("int8")
    with pytest.raises(ValueError, match=r"`batch` must be at least 1; found 0"):
        network.memory(batch=0)


def test_no_torch_is_needed() -> None:
    code = "import sys, resnext_dsl as rx; rx.load('resnet18').memory(); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
