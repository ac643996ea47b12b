"""Target `pt2`: the archive of torch.export, which torch loads without the source of the network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from resnext_dsl.export.interface import Interface, Run, outputs_of, trace


def write(model: nn.Module, signature: Interface, path: Path) -> None:
    """Traces a module and writes the archive."""
    torch.export.save(trace(model, signature), path)


def read(path: Path, signature: Interface, model: nn.Module) -> Run:
    """Loads an archive that this process has written. torch unpickles parts of archives, so others may run code."""
    network = torch.export.load(path).module()
    return lambda images: outputs_of(network(images))
