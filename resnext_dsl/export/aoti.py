"""Target `aoti`: a shared library that torch's Inductor compiles ahead of time, with the weights, in one package."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch._inductor import aoti_compile_and_package, aoti_load_package

from resnext_dsl.export.interface import Run, Signature, outputs_of, trace


def write(model: nn.Module, signature: Signature, path: Path) -> None:
    """Traces a module, compiles it with the C++ compiler of the machine, writes the package.

    Weights are constants (`freezing`), so that Inductor lays them out for the processor.
    """
    program = trace(model, signature)
    options = {"freezing": torch.device(signature.device).type == "cpu"}
    with torch.no_grad():
        aoti_compile_and_package(program, package_path=str(path), inductor_configs=options)


def read(path: Path, signature: Signature, model: nn.Module) -> Run:
    """Loads a package just written: it is machine code."""
    network = aoti_load_package(str(path))
    return lambda images: outputs_of(network(images))
