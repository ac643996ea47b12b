"""Target `aoti`: a shared library that torch's Inductor compiles ahead of time, with the weights, in one package."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch._inductor import aoti_compile_and_package, aoti_load_package, config
from torch.nn.modules.conv import _ConvNd

from resnext_dsl.export.interface import Interface, Run, outputs_of, trace

ALLOCATOR = "weight_use_caching_allocator"
"""Inductor's option that puts weights in torch's allocator, so that `torch.cuda.max_memory_allocated` counts them."""

CHECKS = "AOTI_RUNTIME_CHECK_INPUTS"
"""Environment variable of a package. Without it, torch 2.13 takes a channels-last image for a contiguous one, and any
batch for a fixed one, and computes other outputs without a word."""

LOWER_BOUND = "check_lowerbound"
"""Inductor's option whose check would refuse batch 1, since torch.export assumes that a dynamic batch is at least 2."""

USUAL_HOME = Path("/usr/local/cuda")


def write(model: nn.Module, signature: Interface, path: Path) -> None:
    """Traces a module, compiles it for the signature's device with the machine's compilers, and writes the package."""
    with _current(signature.device):
        _order_one_channel(model)
        program = trace(model, signature)
        with torch.no_grad():
            aoti_compile_and_package(program, package_path=str(path), inductor_configs=options_for(signature.device))


def _order_one_channel(model: nn.Module) -> None:
    """Gives the weights of convolutions of one channel the strides of a contiguous tensor; their values stay.

    Such a weight is contiguous and channels-last at once, and its strides may be those of either format. PyTorch 2.13
    compiles a convolution wrongly if the strides are channels-last, the weights are frozen, and the batch is dynamic.
    """
    for module in model.modules():
        if isinstance(module, _ConvNd) and module.in_channels == 1:
            weight = module.weight.data
            strides = tuple([math.prod(weight.shape[axis + 1 :]) for axis in range(weight.dim())])
            module.weight.data = torch.empty_strided(
                weight.shape, strides, dtype=weight.dtype, device=weight.device
            ).copy_(weight)


def options_for(device: str) -> dict[str, Any]:
    """Inductor's options: on a CPU weights are constants (`freezing`), which it lays out for the processor."""
    place = torch.device(device)
    options: dict[str, Any] = {"freezing": place.type == "cpu"}
    if hasattr(config.aot_inductor, LOWER_BOUND):
        options[f"aot_inductor.{LOWER_BOUND}"] = False
    if place.type == "cuda" and hasattr(config.aot_inductor, ALLOCATOR):
        options[f"aot_inductor.{ALLOCATOR}"] = True
    return options


def read(path: Path, signature: Interface, model: nn.Module) -> Run:
    """Loads a package that this process has written. A package is machine code."""
    network = loaded(path, signature.device)
    return lambda images: outputs_of(network(images))


def loaded(path: Path, device: str) -> Callable[[torch.Tensor], Any]:
    """Loads a package onto a device; without an index torch would load it onto the first GPU.

    The package refuses images of another shape, type or memory format than it was compiled for.
    """
    index = torch.device(device).index
    with _current(device):
        network = aoti_load_package(str(path), device_index=-1 if index is None else index)
    is_first = True

    def run(images: torch.Tensor) -> Any:
        nonlocal is_first
        if not is_first:
            return network(images)
        with _checks():
            result = network(images)
        is_first = False
        return result

    return run


@contextmanager
def _checks() -> Iterator[None]:
    """Lets a package check its inputs. A package reads the variable in its first run only."""
    before = os.environ.get(CHECKS)
    os.environ[CHECKS] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[CHECKS]
        else:
            os.environ[CHECKS] = before


def snippet(path: Path, signature: Interface) -> str:
    """The Python lines that load a package and run it, for a user."""
    sizes = ", ".join(map(str, signature.shape))
    batch = "N" if signature.batch is None else str(signature.batch)
    kind = str(signature.dtype).removeprefix("torch.")
    return "\n".join(
        (
            f'os.environ["{CHECKS}"] = "1"  # else images of another layout or batch give wrong outputs',
            f'network = torch._inductor.aoti_load_package("{path}")',
            f"outputs = network(images.contiguous())  # ({batch}, {sizes}) of {kind} on {signature.device}",
        )
    )


def missing_tools(device: str) -> list[str]:
    """The tools that Inductor needs to compile for a device and that this machine lacks."""
    missing = [] if _has_compiler() else ["a C++ compiler (g++, or the one that CXX names)"]
    if torch.device(device).type == "cuda" and _toolkit() is None:
        missing.append("the CUDA toolkit (its folder is the one that CUDA_HOME names, or that of `nvcc`)")
    return missing


def remedy(device: str) -> str:
    """The hint for missing tools."""
    if torch.device(device).type != "cuda":
        return "install g++, or set CXX"
    return f"install the CUDA toolkit {torch.version.cuda or ''}".rstrip() + " and g++, or set CUDA_HOME and CXX"


def _has_compiler() -> bool:
    names = config.cpp.cxx
    return any(shutil.which(name) for name in ((names,) if isinstance(names, str) else names) if name)


def _toolkit() -> Path | None:
    """The folder of the CUDA toolkit, as `torch.utils.cpp_extension` looks for it; None without its headers."""
    named = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    compiler = shutil.which("nvcc")
    home = Path(named) if named else Path(compiler).parent.parent if compiler else USUAL_HOME
    return home if (home / "include" / "cuda.h").is_file() else None


def _current(device: str) -> AbstractContextManager[Any]:
    """Makes a GPU the current device, for which Inductor compiles."""
    place = torch.device(device)
    return torch.cuda.device(place) if place.type == "cuda" and place.index is not None else nullcontext()
