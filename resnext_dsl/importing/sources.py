"""The sources of networks that are not specs: `timm:NAME`, `torchvision:NAME`, `MODULE:FUNCTION`, `.pt2`, `.onnx`.

A SOURCE may stand wherever a command takes a SPEC. This module tells one from the other, and imports torch only to read
a source.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

if TYPE_CHECKING:
    from torch import nn

FILES = (".onnx", ".pt2")
"""The suffixes of model files."""

_NAMED = re.compile(r"(timm|torchvision):.+|[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)

FUNCTION_INPUT = (3, 224, 224)
"""The input shape of the modules of functions if the caller gives none."""


def is_source(spec: str) -> bool:
    """Whether the SPEC of a command names a torch model or a model file. A spec file of that name comes first."""
    if spec.lower().endswith(FILES):
        return True
    return _NAMED.fullmatch(spec) is not None and not os.path.lexists(spec)


class TorchModel(NamedTuple):
    """A torch module to read.

    Attributes:
        module: The module.
        name: The name of its network.
        origin: The source with its version: "timm:resnet50 (timm 1.0.31)".
        input: The input shape without the batch.
    """

    module: nn.Module
    name: str
    origin: str
    input: Shape


def torch_model(
    source: str, shape: Shape | None = None, choices: Mapping[str, Any] | None = None, with_weights: bool = False
) -> TorchModel:
    """The torch module of a source that is no file.

    Args:
        source: `timm:NAME`, `torchvision:NAME` or `MODULE:FUNCTION`.
        shape: The input shape without the batch; None for the library's own.
        choices: Arguments of the function that builds the module.
        with_weights: Whether the weights have values. Without values, the module of a library needs no memory.

    Raises:
        ArchError: E605, E606 or E708 if the module cannot be built.
    """
    from resnext_dsl.importing.libraries import (
        LIBRARIES,
        called_module,
        input_of,
        library_module,
        version_of,
    )

    library, _, name = source.partition(":")
    if library in LIBRARIES:
        device = "cpu" if with_weights else "meta"
        module = library_module(library, name, choices or {}, device, source)
        origin = f"{source} ({version_of(library)})"
        return TorchModel(module, name, origin, shape or input_of(library, name, module))
    return TorchModel(called_module(source, choices or {}, source), name, source, shape or FUNCTION_INPUT)
