"""Target `py`: standalone PyTorch source. It holds no weights."""

from __future__ import annotations

import copy
import linecache
from pathlib import Path
from types import ModuleType

import torch
from torch import nn

from resnext_dsl.export.interface import Interface, Run, outputs_of


def write(model: nn.Module, signature: Interface, path: Path) -> None:
    """Writes the source of a compiled module."""
    path.write_text(text_of(model), encoding="utf-8", newline="\n")


def text_of(model: nn.Module) -> str:
    """The source of a compiled module."""
    return "".join(linecache.getlines(type(model).forward.__code__.co_filename))


def read(path: Path, signature: Interface, model: nn.Module) -> Run:
    """Runs the source that `write` has written, and loads a model's weights into its network."""
    module = ModuleType(f"resnext_dsl_read_{path.stem}")
    # The file is the one that `write` made from our own source, in a staging folder of this user.
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), module.__dict__)
    with torch.device("meta"):
        network = module.__dict__[type(model).__name__]()
    network.load_state_dict(copy.deepcopy(model.state_dict()), strict=True, assign=True)
    network.eval()
    return lambda images: outputs_of(network(images))
