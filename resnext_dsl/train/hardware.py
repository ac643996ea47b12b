"""The devices and the precision of a training run, for Lightning Fabric."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.train.datasets.image_set import missing

if TYPE_CHECKING:
    from lightning_fabric import Fabric

STRATEGIES = ("auto", "ddp")
"""Strategies: one device, or one process a device with averaged gradients."""

_TYPES = {"16": "float16", "bf16": "bfloat16", "32": "float32", "64": "float64"}
"""The torch dtype of a precision by the part of its name before the hyphen."""

PRECISIONS = ("32-true", "16-mixed", "bf16-mixed", "64-true", "bf16-true", "16-true")


class Hardware(NamedTuple):
    """The hardware of a run, which is not part of the recipe.

    Attributes:
        accelerator: "auto", "cpu", "cuda" or "mps", as in Lightning.
        devices: A number of devices, a list (`0,2`), or "auto" for all.
        precision: One of `PRECISIONS`.
        strategy: One of `STRATEGIES`.
        workers: Processes that load images, for each process that trains.
        graphs: Whether steps run as CUDA graphs.
    """

    accelerator: str = "auto"
    devices: str = "1"
    precision: str = "32-true"
    strategy: str = "auto"
    workers: int = 0
    graphs: bool = False


def on_device(device: str) -> Hardware:
    """The hardware of one device by its torch name: "cpu", "cuda", "cuda:1", "mps"; "auto" takes the fastest."""
    kind, _, index = device.partition(":")
    return Hardware(accelerator=kind, devices=f"{index}," if index else "1")


def fabric_of(hardware: Hardware) -> Fabric:
    """Fabric on some hardware; its `launch()` starts the other processes, if there are several devices.

    Raises:
        ArchError: E605 without Lightning Fabric, E711 if this machine does not have the hardware.
    """
    for what, value, known in (
        ("precision", hardware.precision, PRECISIONS),
        ("strategy", hardware.strategy, STRATEGIES),
    ):
        if value not in known:
            raise error("E711", f"`{what}` must be one of {', '.join(known)}; found {value!r}", file="machine")
    try:
        from lightning_fabric import Fabric
    except ImportError:
        raise missing("lightning-fabric", "it runs the training") from None
    try:
        return Fabric(
            accelerator=hardware.accelerator,
            devices=_devices(hardware.devices),
            precision=cast(Any, hardware.precision),
            strategy=hardware.strategy,
        )
    except Exception as reason:  # Lightning's own exceptions have no other common base
        message = f"this machine cannot train with these options: {str(reason).strip().splitlines()[0]}"
        requested = f"accelerator={hardware.accelerator}, devices={hardware.devices}, precision={hardware.precision}"
        raise error("E711", message, hint=f"requested: {requested}", file="machine") from None


def computed_type(fabric: Fabric) -> str:
    """The name of the torch dtype in which convolutions compute; under autocast, the type of autocast."""
    return _TYPES[fabric.strategy.precision.precision.partition("-")[0]]


def check_shares(fabric: Fabric, batch_size: int) -> None:
    """Raises ArchError E711 if the devices cannot share a batch equally."""
    if batch_size % fabric.world_size:
        message = f"`batch_size` (={batch_size}) must be divisible by the devices (={fabric.world_size})"
        raise error("E711", message, file="recipe")


def _devices(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
