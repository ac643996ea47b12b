"""The networks that a run uses, their weights and inputs, and how far results of two modules are apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import resnext_dsl as rx
from benchmarks.gpu.command import resnext_dsl
from benchmarks.gpu.run import Run

TINY = Path(__file__).with_name("tiny.arch")
SHALLOW = {"resolution": 32, "depths": [1, 1, 1, 1]}
"""A residual network as a dry run has it, where a shipped one is needed."""

State = dict[str, Tensor]


def load(run: Run, name: str) -> Any:
    """A shipped network; in a dry run that of `tiny.arch`, whatever the name. Lines name it by its own name."""
    return rx.load(str(tiny_spec(run))) if run.dry else rx.load(name)


def load_shipped(run: Run, name: str) -> Any:
    """A shipped network in a dry run, too, with few blocks and small images: one of residual blocks."""
    return rx.load(name, **SHALLOW) if run.dry else rx.load(name)


def tiny_spec(run: Run, budget: str = "") -> Path:
    """`tiny.arch` in the folder of the run, its budget for the device of the run.

    Args:
        run: The run.
        budget: The text of another budget.
    """
    text = TINY.read_text(encoding="utf-8")
    stated = budget or f"latency({run.device.type}, 1) <= 1s"
    path = run.folder / "tiny.arch"
    path.write_text(text.replace("latency(cpu, 1) <= 1s", stated), encoding="utf-8")
    return path


def shipped(run: Run) -> list[str]:
    """The names of the shipped networks."""
    listed: list[dict[str, Any]] = resnext_dsl(run, "zoo", "--json").answer()
    return [entry["name"] for entry in listed]


def input_shape(network: Any) -> tuple[int, ...]:
    """The shape of a network's input, without batch."""
    shapes = [node["shape"] for _, node in network.graph.nodes(data=True) if node["operator"] == "input"]
    return tuple(shapes[0])


def images(network: Any, batch: int, seed: int = 0) -> Tensor:
    """Normal noise for a network, the same on every machine, on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((batch, *input_shape(network)), generator=generator)


def outputs(result: Any) -> tuple[Tensor, ...]:
    """The outputs of a module, as a tuple of tensors."""
    return (result,) if isinstance(result, Tensor) else tuple(result)


def loss_of(result: Any) -> Tensor:
    """The mean square of all outputs, added up."""
    wide = [output.to(torch.promote_types(output.dtype, torch.float32)) for output in outputs(result)]
    return torch.stack([output.square().mean() for output in wide]).sum()


def settled(network: Any, device: torch.device, batch: int = 4) -> State:
    """Initial weights of seed 0, with the statistics of norms measured on one batch of noise.

    Untrained statistics would let the values of deep networks grow until they overflow.
    """
    model = network.compile(seed=0).to(device)
    settle(model, images(network, batch, seed=1).to(device))
    return {name: value.cpu() for name, value in model.state_dict().items()}


def settle(model: nn.Module, noise: Tensor) -> None:
    """Measures the statistics of a module's norms on one batch; the module is in training afterwards."""
    norms = [module for module in model.train().modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over all batches: after one, the statistics of that batch
    with torch.no_grad():
        model(noise)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def without_dropout(model: nn.Module) -> nn.Module:
    """The module in training, with what draws random numbers in eval mode, so that two devices can be compared."""
    model.train()
    for module in model.modules():
        if "drop" in type(module).__name__.lower():
            module.eval()
    return model


def difference(found: Any, expected: Any) -> float:
    """The largest difference of outputs, as a share of the largest value of the output that is expected.

    Infinite if an output is not finite, or has another shape.
    """
    largest = 0.0
    for one, other in zip(outputs(found), outputs(expected), strict=True):
        if one.shape != other.shape or not bool(torch.isfinite(one).all()):
            return float("inf")
        # two compiled modules may stand on two devices
        a, b = one.detach().double().cpu(), other.detach().double().cpu()
        largest = max(largest, float((a - b).abs().max() / b.abs().max().clamp_min(1e-30)))
    return largest


def distance(found: Any, expected: Any) -> float:
    """The norm of the difference of all outputs, as a share of the norm of the outputs that are expected.

    Infinite if an output is not finite, or has another shape.
    """
    apart = whole = 0.0
    for one, other in zip(outputs(found), outputs(expected), strict=True):
        if one.shape != other.shape or not bool(torch.isfinite(one).all()):
            return float("inf")
        a, b = one.detach().double().cpu(), other.detach().double().cpu()
        apart, whole = apart + float((a - b).square().sum()), whole + float(b.square().sum())
    return float((apart / max(whole, 1e-60)) ** 0.5)


def gradient(model: nn.Module) -> State:
    """The gradients of a module's parameters, in float64 on the CPU."""
    return {
        name: parameter.grad.double().cpu()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def gradient_difference(found: State, expected: State) -> float:
    """The norm of the difference of all gradients, as a share of the norm of those that are expected."""
    if found.keys() != expected.keys():
        return float("inf")
    apart = sum(float((found[name] - expected[name]).square().sum()) for name in expected)
    whole = sum(float(value.square().sum()) for value in expected.values())
    return float((apart / max(whole, 1e-60)) ** 0.5)
