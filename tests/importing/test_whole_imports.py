"""The whole way: a model, its text, the network of the text with the weights of the model, and the import of that."""

from __future__ import annotations

import csv

import pytest
import torch
from import_oracle import deviation
from random_networks import drawn
from references import DATA, fill, timm, torchvision
from torch import nn

import resnext_dsl as rx
from resnext_dsl.costs.fvcore_count import measure
from resnext_dsl.importing.imported import import_module
from resnext_dsl.networks.source_weights import written_state

with (DATA / "import_models.csv").open(newline="") as stream:
    LISTED = [row[0] for row in csv.reader(stream) if row and not row[0].startswith("#")]

REFUSED = {
    "gcresnet33ts": {"softmax", "matmul"},
    "csatv2": {"mul"},
    "nextvit_small": {"avg_pool1d", "scaled_dot_product_attention"},
    "edgenext_xx_small": {"conv2d"},
    "shvit_s1": {"matmul"},
    "efficientvit_b0": {"pad"},
    "mobilevit_xxs": {"scaled_dot_product_attention"},
    "cpubone_b0_bfrobust": {"scaled_dot_product_attention"},
    "lowformer_b0": {"scaled_dot_product_attention"},
    "visformer_small": {"add"},
    "coatnet_nano_rw_224": {"index"},
    "lambda_resnet26t": {"softmax"},
}
"""Networks of the list with operations that the language lacks, and some of these."""

UNCOUNTED = {"convmixer_768_32"}
"""Networks whose convolutions fvcore does not count, because their padding is a word."""

DOZEN = {
    "resnet50d", "resnext50_32x4d", "seresnext50_32x4d", "regnety_032", "densenet121", "mobilenetv3_large_100",
    "tf_efficientnet_b0", "convnext_atto", "test_byobnet", "ghostnet_100", "repvgg_a0", "skresnet50",
}  # fmt: skip
"""Networks that every run imports; the slow tests import all."""

ATTENTION = ("vit", "swin", "maxvit")
CLASSIFIERS = [
    name
    for name in torchvision.models.list_models(module=torchvision.models)
    if not name.startswith(ATTENTION) and name not in LISTED
]


def imports_equal(model: nn.Module, shape: tuple[int, ...], name: str) -> None:
    """Checks the text, costs, outputs and the second import of a model."""
    fill(model, 0)
    model.eval()
    imported = import_module(model, shape, name, f"test:{name}")
    network = rx.loads(imported.text)
    assert network.cost().params == sum(parameter.numel() for parameter in model.parameters())
    if name not in UNCOUNTED:
        assert network.cost().macs == measure(model, shape).cost.macs
    ours = network.compile(form="written", weights=written_state(imported, network)).eval()
    image = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert deviation(ours(image), model(image)) <= 1e-5
    again = import_module(ours, shape, name, "test:again")
    assert rx.loads(again.text).fingerprint == network.fingerprint


OTHERS = [pytest.param(name, marks=pytest.mark.slow) for name in LISTED if name not in DOZEN and name not in REFUSED]


@pytest.mark.parametrize("name", [*sorted(DOZEN), *OTHERS])
def test_a_network_of_timm(name: str) -> None:
    imports_equal(timm.create_model(name), (3, 128, 128) if name != "test_byobnet" else (3, 64, 64), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_network_of_torchvision(name: str) -> None:
    size = 299 if name == "inception_v3" else 128
    imports_equal(torchvision.models.get_model(name, weights=None), (3, size, size), name)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_network_with_operations_that_the_language_lacks(name: str) -> None:
    with pytest.raises(rx.ArchError) as caught:
        rx.load(f"timm:{name}")
    messages = [diagnostic.message for diagnostic in caught.value.diagnostics]
    assert {diagnostic.code for diagnostic in caught.value.diagnostics} == {"E610"}
    for operation in REFUSED[name]:
        assert any(message.startswith(f"`{operation}` in ") for message in messages), messages
    assert all(diagnostic.file.partition(":")[0].endswith(".py") for diagnostic in caught.value.diagnostics)


def test_the_list_has_those_that_are_imported_and_those_that_are_refused() -> None:
    assert len(LISTED) == 90
    assert len(set(LISTED) - set(REFUSED)) == 78


SEEDS = [*range(8), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(8, 300))]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_module_of_a_random_network_imports_to_its_fingerprint(seed: int) -> None:
    network = drawn(seed)
    module = network.compile(form="written", seed=0)
    assert rx.from_torch(module, network.ir.nodes[0].shape).fingerprint == network.fingerprint
