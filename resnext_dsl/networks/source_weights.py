"""The weights of an imported model under the keys of its network, and the comparison of both."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError
from resnext_dsl.graph.ir import tensors_of
from resnext_dsl.importing.carried_weights import our_state
from resnext_dsl.importing.imported import Imported
from resnext_dsl.networks.network import Network

TOLERANCE = 1e-5
"""The largest difference of outputs of one function in float32, as a share of their largest value."""


def written_state(imported: Imported, network: Network) -> dict[str, Tensor]:
    """The state_dict of a network in its form as written, with the weights of the imported model.

    A tensor that the model does not have, such as a counter of batches, has its initial value.

    Args:
        imported: The imported model, with values of its weights.
        network: The network of its text.
    """
    theirs = our_state(imported.lowered)
    state: dict[str, Tensor] = network.compile(form="written", seed=0).state_dict()
    for key, source in tensor_names(imported, network).items():
        if source in theirs:
            state[key] = theirs[source].to(state[key].dtype)
    return state


def tensor_names(imported: Imported, network: Network) -> dict[str, str]:
    """Key of a tensor of the network as written -> its key in the graph as it was read."""
    graph, read = network.ir, imported.lowered.graph
    names: dict[str, str] = {}
    for node, place in zip(graph.nodes, imported.order, strict=True):
        for tensor in tensors_of(graph, node):
            names[f"{node.module_name}.{tensor.field}"] = f"{read.nodes[place].module_name}.{tensor.field}"
    return names


def compiled_state(network: Network, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a network as written, under the keys of the compiled network."""
    from resnext_dsl.rewrite.carry import carry

    return carry(network.rewrite().weights, state)


def largest_difference(imported: Imported, network: Network, batch: int = 2) -> float:
    """The largest difference between the outputs of a module and of its network on one random input, in eval mode.

    Args:
        imported: The imported module, with values of its weights.
        network: The network of its text.
        batch: The number of samples.

    Returns:
        The largest difference, as a share of the largest value of the output.

    Raises:
        WeightsError: E706 if the outputs differ by more than `TOLERANCE`, or in number or shape.
    """
    assert imported.module is not None
    state = written_state(imported, network)
    ours = network.compile(form="written", weights=state or None).eval()  # an empty state_dict is no checkpoint
    theirs = copy.deepcopy(imported.module).cpu().float().eval()
    example = torch.randn((batch, *network.ir.nodes[0].shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        pairs = list(zip(_outputs(theirs, example), _outputs(ours, example), strict=False))
    if not pairs or any(one.shape != other.shape for one, other in pairs):
        shapes = "; ".join(f"{tuple(one.shape)} and {tuple(other.shape)}" for one, other in pairs)
        raise _differs(imported, f"the outputs have the shapes {shapes}")
    largest = max(float((one - other).abs().max() / one.abs().max().clamp(min=1e-30)) for one, other in pairs)
    if not largest <= TOLERANCE:  # a NaN is a difference too
        raise _differs(imported, f"the outputs differ by {largest:.1e} of their largest value (limit {TOLERANCE:.0e})")
    return largest


def _outputs(model: nn.Module, example: Tensor) -> list[Tensor]:
    """The tensors of an output, in order."""
    output = model(example)
    if isinstance(output, Tensor):
        return [output]
    parts = output.values() if isinstance(output, Mapping) else output
    return [part for part in parts if isinstance(part, Tensor)]


def _differs(imported: Imported, how: str) -> WeightsError:
    hint = "please report it with the source: the imported network is wrong"
    return WeightsError(
        [
            Diagnostic(
                "E706", f"the network computes other values than the source: {how}", hint=hint, file=imported.origin
            )
        ]
    )
