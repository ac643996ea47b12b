"""Compares every form with the network as written: outputs, gradients, statistics, checkpoints."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor, nn

from resnext_dsl.compiler.torch_module import build
from resnext_dsl.networks.network import Network
from resnext_dsl.rewrite import Rewritten, rewrite
from resnext_dsl.rewrite.carry import carry
from resnext_dsl.rewrite.steps import WeightMap


class Difference(NamedTuple):
    """The differences of a form from the network as written, relative to the largest value.

    Attributes:
        outputs: Of the main output, in the mode that was asked for.
        gradients: Of the parameters, carried through the weight map.
        statistics: Of the batch norms after one step of training, carried likewise.
    """

    outputs: float
    gradients: float = 0.0
    statistics: float = 0.0


class Reference:
    """A network as written, in float64, with weights and statistics away from their neutral start.

    It runs once and not once for each form. The batch is the same in every form.
    """

    def __init__(self, network: Network, batch: int = 2) -> None:
        self.network = network
        generator = torch.Generator().manual_seed(1)
        self.images = torch.randn(batch, *network.ir.nodes[0].shape, generator=generator, dtype=torch.float64)
        self._model = _as_written(network)
        self.state = {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    @cached_property
    def output(self) -> Tensor:
        """The main output in eval mode."""
        with torch.no_grad():
            return main(self._model.eval()(self.images))

    @cached_property
    def step(self) -> Step:
        """One step of training, whose statistics are taken back."""
        step = _trained(self._model, self.images)
        self._model.load_state_dict(self.state)
        return step


class Step(NamedTuple):
    """One step of training: the main output, the gradients, and the state after it."""

    output: Tensor
    gradients: dict[str, Tensor]
    state: dict[str, Tensor]


def _as_written(network: Network, seed: int = 0) -> nn.Module:
    model = build(network.ir, network.init, form="written", seed=seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)  # in float32, which takes half of the time
            if name.endswith("running_var"):
                tensor.copy_(noise.add_(0.5))
            else:
                tensor.add_(noise, alpha=0.1)
    return model


def compare(reference: Reference, form: str, mode: str) -> tuple[Difference, Rewritten]:
    """Compare a form with the network as written."""
    network = reference.network
    rewritten = rewrite(network.ir, form, mode)
    model = build(network.ir, network.init, form=form, mode=mode, weights=reference.state, dtype=torch.float64)
    if mode == "inference":
        with torch.no_grad():
            return Difference(apart(reference.output, main(model(reference.images)))), rewritten
    expected, step = reference.step, _trained(model, reference.images)
    gradients = carry(rewritten.weights, expected.gradients), step.gradients
    statistics = carry(rewritten.weights, expected.state), step.state
    scale = max((tensor.abs().max().item() for tensor in step.gradients.values()), default=0.0) or 1.0
    return Difference(
        apart(expected.output, step.output), _apart(*gradients, scale=scale), _apart(*statistics)
    ), rewritten


def main(result: Tensor | tuple[Tensor, ...]) -> Tensor:
    """The main output."""
    return result if isinstance(result, Tensor) else result[0]


def apart(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    scale = max(one.abs().max().item(), 1e-30)
    return (one - other).abs().max().item() / scale


def is_the_way_back(weights: WeightMap, state: dict[str, Tensor]) -> bool:
    """Whether a checkpoint comes back from another form bit by bit."""
    back = carry(weights.inverse(), carry(weights, state))
    return set(back) == set(state) and all(torch.equal(back[key], state[key]) for key in state)


def _trained(model: nn.Module, images: Tensor) -> Step:
    """One step of training on the main output and the auxiliary ones."""
    torch.manual_seed(0)  # of dropout, which draws the same numbers in every form
    outputs = model.train()(images)
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    total = torch.zeros((), dtype=images.dtype)
    for output in outputs:
        weights = torch.linspace(-1, 1, output.numel(), dtype=images.dtype).view_as(output)
        total = total + (output * weights).sum()
    total.backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}
    model.zero_grad(set_to_none=True)
    return Step(outputs[0].detach(), gradients, {name: tensor.clone() for name, tensor in model.state_dict().items()})


def _apart(one: dict[str, Tensor], other: dict[str, Tensor], scale: float | None = None) -> float:
    assert set(one) == set(other)
    pairs = [(one[key].double(), other[key].double()) for key in one]
    return max(
        ((a - b).abs().max().item() / (scale or max(a.abs().max().item(), 1.0)) for a, b in pairs if a.numel()),
        default=0.0,
    )
