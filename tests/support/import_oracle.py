"""Compares a torch module with its import: costs, outputs, running statistics and gradients."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from resnext_dsl.compiler.torch_module import build
from resnext_dsl.costs.closed_form import cost_of
from resnext_dsl.costs.fvcore_count import measure
from resnext_dsl.importing.carried_weights import our_state, source_state
from resnext_dsl.importing.lowering import Lowered

TOLERANCE = 1e-5


def compiled(lowered: Lowered) -> nn.Module:
    """The module of an imported graph, with the weights of its source."""
    module = build(lowered.graph, form="written", mode="train")
    missing, unexpected = module.load_state_dict(our_state(lowered), strict=False)
    assert not unexpected, unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing), missing
    return module


def deviation(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """The largest difference relative to the largest value."""
    if ours.shape != theirs.shape:
        return float("inf")
    return float((ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-12))


def differences(model: nn.Module, lowered: Lowered, shape: tuple[int, ...], *, counted: bool = True) -> Iterator[str]:
    """The differences between a source and its import; the source is trained for one step.

    Multiply-adds are compared, and not all FLOPs: fvcore counts an adaptive pooling and does not count the same mean.

    Args:
        model: The source.
        lowered: Its import.
        shape: The shape of the input, without the batch.
        counted: Whether fvcore counts the source; it does not know a convolution whose padding is a word.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters())
    cost = cost_of(lowered.graph)
    if cost.params != parameters:
        yield f"params {cost.params} and not {parameters}"
    if counted and cost.macs != (count := measure(model, shape).cost.macs):
        yield f"multiply-adds {cost.macs} and not {count}"
    module = compiled(lowered)
    image = torch.randn(2, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        distance = deviation(_main(module.eval()(image)), _main(model.eval()(image)))
    if not distance <= TOLERANCE:
        yield f"outputs differ by {distance:.1e} in eval mode"
    yield from _in_training(model.train(), module.train(), lowered, image)


def _in_training(model: nn.Module, module: nn.Module, lowered: Lowered, image: torch.Tensor) -> Iterator[str]:
    results = []
    for each in (module, model):
        each.zero_grad()
        torch.manual_seed(0)
        result = _main(each(image))
        result.square().sum().backward()
        results.append(result.detach())
    distance = deviation(*results)
    if not distance <= TOLERANCE:
        yield f"outputs differ by {distance:.1e} in training mode"
    theirs = model.state_dict()
    for key, value in source_state(lowered, module.state_dict()).items():
        if key in theirs and not (distance := deviation(value.double(), theirs[key].double())) <= TOLERANCE:
            yield f"`{key}` differs by {distance:.1e} after a step of training"
    gradients = {name: p.grad for name, p in module.named_parameters() if p.grad is not None}
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    learned = {key: source for key, source in lowered.weights.items() if key in gradients}
    for key, value in source_state(lowered._replace(weights=learned), gradients).items():
        if not (distance := deviation(value, expected[key])) <= 100 * TOLERANCE:
            yield f"the gradient of `{key}` differs by {distance:.1e}"


def _main(result: object) -> torch.Tensor:
    """The first result of a module."""
    while not isinstance(result, torch.Tensor):
        result = next(iter(result.values())) if isinstance(result, dict) else result[0]  # type: ignore[index]
    return result
