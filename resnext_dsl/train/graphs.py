"""Records the training step of a small network as a CUDA graph: the host starts one graph, not hundreds of kernels."""

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
    """Wraps a network for the recording; the network itself keeps its `forward`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Any:
        """The outputs of the network."""
        return self.network(images)


def check_recordable(fabric: Fabric) -> None:
    """Checks that CUDA graphs can train here.

    Raises:
        ArchError: E711 on a device other than CUDA, and on several devices: a graph does not exchange gradients.
    """
    if fabric.device.type != "cuda" or fabric.world_size > 1:
        count = "one process" if fabric.world_size == 1 else f"{fabric.world_size} processes"
        message = f"CUDA graphs train on one CUDA device; this run has {count} on {fabric.device.type}"
        raise error("E711", message, hint="omit --graphs", file="machine")


def record(fabric: Fabric, module: nn.Module, whole: Recorded, shape: Shape, batch: int) -> None:
    """Records the forward and backward pass for one batch size; in eval mode the network runs without the graph.

    Recording runs the network several times, and then restores weights, statistics and generators.

    Args:
        fabric: Fabric after `launch`.
        module: The module that Fabric's `setup` has returned for `whole`.
        whole: The network, on its device.
        shape: The shape of an image.
        batch: Images of every step.
    """
    precision = fabric.strategy.precision
    images = precision.convert_input(torch.zeros((batch, *shape), device=fabric.device))
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    module.train()
    with seeded(0, fabric.device), precision.forward_context():
        torch.set_autocast_cache_enabled(False)  # a cached cast would keep the weights of the recording
        torch.cuda.make_graphed_callables(whole, (images,))
    whole.load_state_dict(before)
