"""Reads a torch module as a graph: by torch.fx first, then by torch.export."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from resnext_dsl.foundation.diagnostics import ArchError
from resnext_dsl.importing.fx_trace import trace_module
from resnext_dsl.importing.lowering import Lowered, lower
from resnext_dsl.operators.base import Shape


def read_module(module: nn.Module, example: torch.Tensor | Sequence[int], name: str, origin: str) -> Lowered:
    """The graph of a module, and where its weights come from.

    The module is read in eval mode. Its parameters, buffers and flags stay as they are.

    Args:
        module: A module with one input.
        example: An input with its batch, or the shape of one sample.
        name: The name of the network, a name of the language.
        origin: The source with its version, for comments and messages.

    Raises:
        ArchError: E610 for each operation that the language does not have; E611 if the module cannot be traced.
    """
    shape: Shape = tuple(example.shape[1:]) if isinstance(example, torch.Tensor) else tuple(example)
    try:
        return lower(trace_module(module, shape, name, origin))
    except ArchError:
        return lower(trace_module(module, shape, name, origin, places=True))
