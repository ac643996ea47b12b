"""The inputs and outputs of an exported module, and its trace by torch.export."""

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
"""A function from a batch of inputs to the outputs in inference."""

TRACED_BATCH = 2
"""The samples of a trace with a dynamic batch: torch.export makes sizes 0 and 1 constants."""


class Interface(NamedTuple):
    """The input and the outputs of a module.

    Attributes:
        input: Name of the input.
        outputs: Names of the outputs in inference, the main output first.
        shape: Shape of the input, without batch.
        dtype: Type of the input, the outputs and the computation.
        stored: Type of the weights in the file.
        batch: The only batch size that it takes; None for any.
        device: Device that runs it.
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
    names = [output.name for output in graph.outputs if not output.training_only]
    outputs = tuple(f"{output}_out" if output == name else output for output in names)
    return Interface(name, outputs, graph.nodes[0].shape)


class Plain(nn.Module):
    """Wraps a network so that it returns a tuple of distinct tensors, which archives and other frameworks can name."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Outputs:
        """The outputs of inference."""
        outputs: list[Tensor] = []
        for output in outputs_of(self.network(images)):
            outputs.append(output + 0 if any(output is other for other in (images, *outputs)) else output)
        return tuple(outputs)


def trace(model: nn.Module, signature: Interface) -> torch.export.ExportedProgram:
    """Traces a module by torch.export; its batch may vary if the signature has no batch size."""
    example = signature.inputs(signature.batch or TRACED_BATCH)
    traced = model if len(signature.outputs) == 1 else Plain(model).eval()
    with torch.no_grad():
        return torch.export.export(traced, (example,), dynamic_shapes=sizes(signature))


def sizes(signature: Interface) -> tuple[dict[int, Any]]:
    """The sizes of the input that may vary, as torch's exporters take them."""
    return ({0: torch.export.Dim("batch")} if signature.batch is None else {},)


def outputs_of(result: object) -> Outputs:
    """The outputs in the result of a module: a tensor, or several; outputs of training may be None."""
    if isinstance(result, Tensor):
        return (result,)
    assert isinstance(result, tuple | list)
    return tuple(value for value in result if value is not None)
