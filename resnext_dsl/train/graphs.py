"""A training step of a small network as a CUDA graph: the host starts one graph in place of hundreds of kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from resnext_dsl.devices.seeds import seeded
from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Recorded(nn.Module):
    """A network as one call, which is recorded; the network itself keeps its `forward`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        """What the network gives."""
        return self.network(images)


def hold_recordable(fabric: Fabric) -> None:
    """Refuses to record where graphs cannot be right.

    Raises:
        ArchError: E711 on another device than CUDA, and on several: their exchange of gradients is not in the graph.
    """
    if fabric.device.type != "cuda" or fabric.world_size > 1:
        count = "one process" if fabric.world_size == 1 else f"{fabric.world_size} processes"
        message = f"CUDA graphs train on one CUDA device; this is {count} on {fabric.device.type}"
        raise error("E711", message, hint="leave --graphs out", file="machine")


def record(fabric: Fabric, module: nn.Module, whole: Recorded, shape: Shape, batch: int) -> None:
    """Records the forward and backward pass of batches of one size; in eval mode the network runs as it is.

    Recording runs the network several times. Its weights, statistics and the generators are as before afterwards.

    Args:
        fabric: Launched.
        module: What Fabric's `setup` made of `whole`.
        whole: The network, on its device.
        shape: Of an image.
        batch: Images of every step.
    """
    precision = fabric.strategy.precision
    images = precision.convert_input(torch.zeros((batch, *shape), device=fabric.device))
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    module.train()
    with seeded(0, fabric.device), precision.forward_context():
        torch.set_autocast_cache_enabled(False)  # a cached cast would be of the time of the recording
        torch.cuda.make_graphed_callables(whole, (images,))
    whole.load_state_dict(before)
