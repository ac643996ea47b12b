"""The networks of torchvision and timm that ours are held against, and the published numbers.

Importing this module needs both libraries: they are test dependencies, and no test goes without them.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from resnext_dsl.compiler.meta_device import unfilled
from resnext_dsl.importing.libraries import declare_missing_operators

META = torch.device("meta")
DATA = Path(__file__).parents[1] / "data"


_DECLARED = declare_missing_operators()

import timm  # noqa: E402  (the schemas come first)
import torchvision  # noqa: E402


@dataclass(frozen=True, slots=True)
class ReferenceCost:
    """A row of `reference_costs.csv`: what fvcore counts on the reference at batch 1, and where that comes from."""

    model: str
    library: str
    resolution: int
    params: int
    flops: int
    multiply_adds: int
    norm: int
    pool: int
    activations: int


@dataclass(frozen=True, slots=True)
class PublishedCost:
    """A row of `published_costs.csv`: params and activations in millions, multiply-adds in 1e9, as rounded there."""

    model: str
    resolution: int
    params_m: float
    gmacs: float
    activations_m: float


@dataclass(frozen=True, slots=True)
class PaperCost:
    """A row of `resnext_paper.csv`; None where the paper states nothing."""

    kind: str
    network: str
    cardinality: int
    width: int
    params_m: float | None
    gflops: float | None
    note: str


def _rows(name: str) -> list[dict[str, str]]:
    lines = (DATA / name).read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def reference_costs() -> dict[str, ReferenceCost]:
    """The exact costs of every reference network, by name."""
    rows = _rows("reference_costs.csv")
    numbers = [{k: int(v) for k, v in row.items() if k not in {"model", "library"}} for row in rows]
    return {
        row["model"]: ReferenceCost(row["model"], row["library"], **n) for row, n in zip(rows, numbers, strict=True)
    }


def published_costs() -> list[PublishedCost]:
    """The rounded costs that timm publishes, several resolutions for a network."""
    return [
        PublishedCost(
            row["model"],
            int(row["resolution"]),
            float(row["params_m"]),
            float(row["gmacs"]),
            float(row["activations_m"]),
        )
        for row in _rows("published_costs.csv")
    ]


def paper_costs() -> list[PaperCost]:
    """The figures of the ResNeXt paper and its authors' repository."""
    return [
        PaperCost(
            row["kind"],
            row["network"],
            int(row["cardinality"]),
            int(row["width"]),
            float(row["params_m"]) if row["params_m"] else None,
            float(row["gflops"]) if row["gflops"] else None,
            row["note"],
        )
        for row in _rows("resnext_paper.csv")
    ]


NAMES = tuple(reference_costs())
"""Every network that has a reference."""

CLIPS = frozenset({"r3d_18", "mc3_18", "r2plus1d_18"})
"""The networks whose inputs are clips."""

FRAMES = 16

_TORCHVISION_OPTIONS: dict[str, dict[str, Any]] = {
    "googlenet": {"init_weights": False, "aux_logits": True, "transform_input": False},
    "inception_v3": {"init_weights": False, "aux_logits": True, "transform_input": False},
}


def structure(name: str, **options: Any) -> nn.Module:
    """The reference network on the meta device: no memory, no initialisation; for keys, shapes and fvcore."""
    build = timm_structure if reference_costs()[name].library == "timm" else torchvision_structure
    return build(name, **options)


def torchvision_structure(name: str, **options: Any) -> nn.Module:
    """A network of torchvision by its name there, on the meta device."""
    with META, unfilled(META):
        return torchvision.models.get_model(name, weights=None, **_TORCHVISION_OPTIONS.get(name, {}) | options).eval()


def timm_structure(name: str, **options: Any) -> nn.Module:
    """A network of timm by its name there, on the meta device."""
    with META, unfilled(META):
        return timm.create_model(name, pretrained=False, **options).eval()


MULTIPLES_OF_32 = {"dla34": 96, "dla60x": 96, "hrnet_w18": 128}
"""Networks that take sizes divisible by 32 only, with about half of their size."""


def filled(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """The module that a function builds, with every parameter drawn. Its own initial weights, which take longer, are left out."""
    try:
        with META, unfilled(META):
            model = build()
        model.to_empty(device="cpu")
    except NotImplementedError:  # torchvision's RegNet computes with tensors when it is built
        model = build()
    fill(model, seed)
    return model


def without_norms(model: nn.Module) -> nn.Module:
    """Lets every norm return its input, which has the same shape; on the meta device torch's norms are slow Python."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.LayerNorm):
            module.forward = lambda value: value
    return model


def reference(name: str) -> nn.Module:
    """The reference network in eval mode, with seeded weights on which every output depends.

    Published initialisations leave much of a network without effect (biases and means of 0, scales of 1e-6): a
    checkpoint in the wrong order might pass. Here every parameter is drawn; running statistics are measured on noise
    and then shaken, so that values neither grow nor vanish however deep the network.
    """
    model = structure(name).to_empty(device="cpu")
    for module in model.modules():
        if hasattr(module, "init_non_persistent_buffers"):  # timm's name: a kernel that no state_dict holds
            module.init_non_persistent_buffers()
    fill(model, seed=zlib.crc32(name.encode()))
    _measure_statistics(model, _sample(name, 2, MULTIPLES_OF_32.get(name)))
    return model


def initialised(name: str, seed: int) -> nn.Module:
    """The reference network with weights as its library starts them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if reference_costs()[name].library == "timm":
            return timm.create_model(name, pretrained=False)
        options = _TORCHVISION_OPTIONS.get(name, {})
        options = {key: True if key == "init_weights" else value for key, value in options.items()}
        return torchvision.models.get_model(name, weights=None, **options)


def fill(model: nn.Module, seed: int) -> None:
    """Draw every parameter and running statistic of a model that has the names of torch's modules."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            _draw(name.rpartition(".")[2], tensor, generator)


def _draw(suffix: str, tensor: Tensor, generator: torch.Generator) -> None:
    if suffix == "num_batches_tracked":
        tensor.fill_(1)
    elif suffix in {"bias", "running_mean"}:
        tensor.uniform_(-0.17, 0.17, generator=generator)
    elif tensor.dim() > 1 and tensor.numel() > tensor.shape[0]:
        bound = (6 / tensor[0].numel()) ** 0.5  # keeps the variance through a ReLU (He et al., 2015)
        tensor.uniform_(-bound, bound, generator=generator)
    else:
        tensor.uniform_(0.5, 1.5, generator=generator)


def _measure_statistics(model: nn.Module, sample: tuple[int, ...]) -> None:
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    if not norms:
        return
    generator = torch.Generator().manual_seed(0)
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train().momentum = 1.0
    with torch.no_grad():
        model(torch.randn(2, *sample, generator=generator))
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.eval().momentum = momentum
            norm.running_mean.add_(torch.empty_like(norm.running_mean).uniform_(-0.17, 0.17, generator=generator))
            # 1 / u is 1 on average for these bounds: a hundred layers on, values have neither grown nor shrunk.
            norm.running_var.mul_(torch.empty_like(norm.running_var).uniform_(0.55, 1.65, generator=generator))
            norm.running_var.clamp_(min=1e-2)
            norm.num_batches_tracked.fill_(1)


def image(name: str, batch: int = 1) -> Tensor:
    """A seeded input for a reference network at its own resolution: an image or a clip."""
    generator = torch.Generator().manual_seed(zlib.crc32(name.encode()) ^ 1)
    return torch.randn(batch, *_sample(name), generator=generator)


def _sample(name: str, divisor: int = 1, resolution: int | None = None) -> tuple[int, ...]:
    """The shape of an input, with its resolution divided by a number, or with another one."""
    resolution = resolution or reference_costs()[name].resolution // divisor
    frames = (FRAMES,) if name in CLIPS else ()
    return 3, *frames, resolution, resolution
