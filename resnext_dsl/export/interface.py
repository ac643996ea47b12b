"""What an exported module takes and gives, and its trace by torch.export."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    from resnext_dsl.graph.ir import Graph

Outputs = tuple[Tensor, ...]
Run = Callable[[Tensor], Outputs]
"""From a batch of inputs to the outputs in inference."""

TRACED_BATCH = 2
"""A dynamic batch is traced with two samples: torch.export takes sizes 0 and 1 for constants."""


class Interface(NamedTuple):
    """What a module takes and gives.

    Attributes:
        input: Name of the input.
        outputs: Names of the outputs, the main one first; those of training are not among them.
        shape: Of the input, without batch.
        dtype: Of the input, the outputs and the computation between.
        stored: Of the weights in the file.
        batch: The one batch size that it takes; None for any.
        device: Where it runs.
    """

    input: str
    outputs: tuple[str, ...]
    shape: Shape
    dtype: torch.dtype = torch.float32
    stored: torch.dtype = torch.float32
    batch: int | None = None
    device: str = "cpu"

    def inputs(self, batch: int, seed: int = 0) -> Tensor:
        """A batch of normal noise; the same for the same seed on every device."""
        drawn = torch.randn((batch, *self.shape), generator=torch.Generator().manual_seed(seed))
        return drawn.to(self.device, self.dtype)


def signature_of(graph: Graph) -> Interface:
    """The signature of a network in inference, in float32, for batches of any size."""
    name = graph.nodes[0].name
    given = [output.name for output in graph.outputs if not output.training_only]
    outputs = tuple(f"{output}_out" if output == name else output for output in given)
    return Interface(name, outputs, graph.nodes[0].shape)


class Plain(nn.Module):
    """A network whose results come as a tuple of tensors, each its own: what archives and other frameworks can name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Outputs:
        """The outputs of inference."""
        given: list[Tensor] = []
        for output in outputs_of(self.network(images)):
            given.append(output + 0 if any(output is other for other in (images, *given)) else output)
        return tuple(given)


def trace(model: nn.Module, signature: Interface) -> torch.export.ExportedProgram:
    """The module as torch.export sees it; its batch may vary where the signature says so."""
    example = signature.inputs(signature.batch or TRACED_BATCH)
    traced = model if len(signature.outputs) == 1 else Plain(model).eval()
    with torch.no_grad():
        return torch.export.export(traced, (example,), dynamic_shapes=sizes(signature))


def sizes(signature: Interface) -> tuple[dict[int, Any]]:
    """Which sizes of the input may vary, as torch's exporters take it."""
    return ({0: torch.export.Dim("batch")} if signature.batch is None else {},)


def outputs_of(result: object) -> Outputs:
    """The outputs in what a module returns: a tensor, or several of which those of training may be None."""
    if isinstance(result, Tensor):
        return (result,)
    assert isinstance(result, tuple | list)
    return tuple(value for value in result if value is not None)
