"""The module of a subject, with weights that keep values in range: denormal and infinite values change the times."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from resnext_dsl.bench.variants import BenchSubject, Conditions
from resnext_dsl.devices.memory_format import laid_out
from resnext_dsl.graph.ir import Graph
from resnext_dsl.networks.loading import load_with
from resnext_dsl.networks.network import Network

NORMS = (nn.modules.batchnorm._BatchNorm,)


def network_of(subject: BenchSubject) -> Network:
    """The network of a spec, at the subject's input."""
    return load_with(subject.spec, dict(subject.settings), root=subject.root).at(subject.shape)


def module_of(subject: BenchSubject, conditions: Conditions, weights: Path, device: str | None = None) -> nn.Module:
    """The module in the mode and type of the conditions, with the weights that `save_weights` wrote."""
    training = conditions.mode == "train"
    place, dtype = device or conditions.device, getattr(torch, conditions.dtype)
    if not subject.library:
        options = {"form": subject.form, "mode": conditions.mode, "weights": weights, "layout": conditions.layout}
        return network_of(subject).compile(device=place, dtype=dtype, **options)  # type: ignore[arg-type]
    model = _peer(subject)
    model.load_state_dict(load_file(weights), strict=True, assign=True)
    model = model.to(place, dtype).train(training)
    return model if conditions.layout == "auto" else laid_out(model, conditions.layout)


def save_weights(subject: BenchSubject, file: Path) -> Graph | None:
    """Draws weights, measures the statistics of batch norms on noise, and saves both; returns the graph of a spec."""
    graph = None
    if subject.library:
        model = _peer(subject).to_empty(device="cpu")
        _draw(model)
    else:
        network = network_of(subject)
        graph, model = network.ir, network.compile(form="written", seed=0)
    _measure_statistics(model, subject)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, file)
    return graph


def _peer(subject: BenchSubject) -> nn.Module:
    from resnext_dsl.importing.libraries import library_module

    advice = "`--against` compares networks of one name"
    return library_module(subject.library, subject.name, file="bench", advice=advice)


def _draw(model: nn.Module) -> None:
    """Draws the weights of a module: kernels as He et al. (2015) do, other weights 1, biases 0."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if value.dim() > 1 and value.numel() > value.shape[0]:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
            elif name.endswith(("weight", "gamma", "running_var")):
                value.fill_(1)
            else:
                value.zero_()


def _measure_statistics(model: nn.Module, subject: BenchSubject) -> None:
    norms = [module for module in model.modules() if isinstance(module, NORMS)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    model.eval()
    for norm in norms:
        norm.train().momentum = 1.0
    images = torch.randn((2, *subject.shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.train()
