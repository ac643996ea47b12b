"""Compares every form with the network as written: outputs, gradients, statistics, checkpoints."""

from __future__ import annotations

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


def written(network: Network, seed: int = 0) -> nn.Module:
    """The network as written, in float64, with weights and statistics away from their neutral start."""
    model = build(network.ir, network.init, form="written", seed=seed, dtype=torch.float64)
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype)
            tensor.copy_(0.5 + noise if name.endswith("running_var") else tensor + 0.1 * noise)
    return model


def compare(network: Network, form: str, mode: str, batch: int = 2) -> tuple[Difference, Rewritten]:
    """Compare a form with the network as written."""
    rewritten = rewrite(network.ir, form, mode)
    first = written(network)
    second = build(network.ir, network.init, form=form, mode=mode, weights=first.state_dict(), dtype=torch.float64)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(batch, *network.ir.nodes[0].shape, generator=generator, dtype=torch.float64)
    if mode == "inference":
        with torch.no_grad():
            return Difference(apart(main(first.eval()(x)), main(second(x)))), rewritten
    ways = [_trained(model, x) for model in (first, second)]
    gradients = [
        carry(rewritten.weights, _gradients(first)),
        _gradients(second),
    ]
    statistics = [carry(rewritten.weights, first.state_dict()), second.state_dict()]
    scale = max((tensor.abs().max().item() for tensor in gradients[1].values()), default=0.0) or 1.0
    return Difference(apart(*ways), _apart(*gradients, scale=scale), _apart(*statistics)), rewritten


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


def _trained(model: nn.Module, x: Tensor) -> Tensor:
    """The main output of one step of training, whose gradients and statistics are left in the model."""
    torch.manual_seed(0)  # of dropout, which draws the same numbers in every form
    outputs = model.train()(x)
    outputs = (outputs,) if isinstance(outputs, Tensor) else outputs
    total = torch.zeros((), dtype=x.dtype)
    for output in outputs:
        weights = torch.linspace(-1, 1, output.numel(), dtype=x.dtype).view_as(output)
        total = total + (output * weights).sum()
    total.backward()
    return outputs[0].detach()


def _gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


def _apart(one: dict[str, Tensor], other: dict[str, Tensor], scale: float | None = None) -> float:
    assert set(one) == set(other)
    pairs = [(one[key].double(), other[key].double()) for key in one]
    return max(
        ((a - b).abs().max().item() / (scale or max(a.abs().max().item(), 1.0)) for a, b in pairs if a.numel()),
        default=0.0,
    )
