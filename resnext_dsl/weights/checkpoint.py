"""Weights to load, with the choices of the caller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Weights for a network: every `weights=` takes one in place of a path or a state_dict.

    Attributes:
        source: A file, or a state_dict.
        ema: Whether to take the moving average of the weights, if the file has both; None follows the library that
            wrote the file, and warns.
        mapping: The checkpoint's name of a layer, module or tensor -> the network's name, if names do not tell.
        strict: Whether warnings about weights are errors.
        adapt_input: Whether weights for 3-channel images are adapted to another number of input channels, as in timm:
            they are summed for one channel, and repeated and scaled for more.
        new_layers: Whether the classifier and auxiliary heads keep their initial weights if the checkpoint lacks them
            or has another number of classes, for fine-tuning.
        reference: The module that the weights come from. It runs beside the network on one random input, and E706
            names the first layer whose values differ.
    """

    source: str | PathLike[str] | Mapping[str, Tensor]
    ema: bool | None = None
    mapping: Mapping[str, str] = field(default_factory=dict)
    strict: bool = False
    adapt_input: bool = False
    new_layers: bool = False
    reference: nn.Module | None = None


Weights = str | PathLike[str] | Mapping[str, "Tensor"] | Checkpoint
"""The values of a `weights=`."""


def checkpoint_of(weights: Weights) -> Checkpoint:
    """The checkpoint of a `weights=`; a path or a state_dict has no choices."""
    return weights if isinstance(weights, Checkpoint) else Checkpoint(weights)
