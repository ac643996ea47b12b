"""Networks of torchvision and timm, by name, and modules that functions of the user build."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import nn

from resnext_dsl.foundation.diagnostics import ArchError, did_you_mean, error, nearest
from resnext_dsl.operators.base import Shape

LIBRARIES = ("timm", "torchvision")
"""The libraries whose networks have names."""

_OPTIONS: dict[str, dict[str, bool]] = {
    "googlenet": {"init_weights": False, "aux_logits": True, "transform_input": False},
    "inception_v3": {"init_weights": False, "aux_logits": True, "transform_input": False},
}
"""Options that give torchvision's network the architecture of its paper, and skip slow initial weights."""

NO_CHOICES: Mapping[str, Any] = MappingProxyType({})


def library_module(
    library: str,
    name: str,
    choices: Mapping[str, Any] = NO_CHOICES,
    device: str = "meta",
    file: str = "",
    advice: str = "",
) -> nn.Module:
    """A network of a library.

    Args:
        library: "torchvision" or "timm".
        name: The name of the network in the library.
        choices: Other arguments of the library's function that builds the network.
        device: The device of its weights; "meta" allocates no memory for them, unless the constructor reads values.
        file: The option or the source that names the network, for messages.
        advice: A sentence after the nearest name, for messages.

    Raises:
        ArchError: E605 if the library is not installed, E606 if it has no network of that name, E708 if it cannot build
            the network with these choices.
    """
    known, version = _networks_of(library, file)
    if name not in known and not (library == "timm" and _imported("timm").is_model(name.partition(".")[0])):
        near = nearest(name, known)
        hint = f"did you mean `{near}`? {advice}".rstrip() if near else ""
        raise error("E606", f"{version} has no network `{name}`", file=file, hint=hint)
    options = {**choices} if library == "timm" else {"weights": None, **_OPTIONS.get(name, {}), **choices}
    try:
        with torch.device(device):
            return _built(library, name, options)
    except Exception as problem:  # a constructor may raise any exception, for example at an unknown argument
        if device == "meta" and isinstance(problem, NotImplementedError):  # it reads values, which need memory
            return library_module(library, name, choices, "cpu", file, advice)
        raise error("E708", f"{version} cannot build `{name}`: {_text_of(problem)}", file=file) from None


def version_of(library: str) -> str:
    """The library with its version: "timm 1.0.31"."""
    return f"{library} {_imported(library).__version__}"


def input_of(library: str, name: str, module: nn.Module) -> Shape:
    """The input shape of a library's network, without the batch, as the library's weights expect it."""
    if library == "timm":
        configured = getattr(module, "default_cfg", None) or {}
        return tuple(configured.get("input_size") or (3, 224, 224))
    weights = _imported(library).models.get_model_weights(name)
    sizes = getattr(next(iter(weights)).transforms(), "crop_size", None) or [224]
    return 3, sizes[0], sizes[-1]


def _networks_of(library: str, file: str) -> tuple[list[str], str]:
    try:
        package = _imported(library)
    except ImportError:
        hint = f"python -m pip install {library}"
        raise error("E605", f"{library} is not installed", file=file, hint=hint) from None
    names = package.list_models() if library == "timm" else package.models.list_models()
    return names, version_of(library)


def _imported(library: str) -> Any:
    declare_missing_operators()
    return importlib.import_module(library)


def _built(library: str, name: str, options: Mapping[str, Any]) -> nn.Module:
    package = _imported(library)
    make = package.create_model if library == "timm" else package.models.get_model
    model: nn.Module = make(name, **options)
    return model


def called_module(name: str, choices: Mapping[str, Any] = NO_CHOICES, file: str = "") -> nn.Module:
    """The module that a function of the user gives; only an explicit option or source runs it.

    Args:
        name: The function, MODULE:FUNCTION. The working folder is searched first.
        choices: Arguments of the function.
        file: The option or the source that names the function, for messages.

    Raises:
        ArchError: E708 if the function does not exist, cannot be run, or gives something else.
    """
    module, _, attribute = name.partition(":")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        members: dict[str, Any] = vars(importlib.import_module(module))
        if attribute not in members:
            hint = did_you_mean(attribute, [key for key in members if callable(members[key])])
            raise error("E708", f"module `{module}` has no function `{attribute}`", hint=hint, file=file)
        built = members[attribute](**choices)
    except ArchError:
        raise
    except ModuleNotFoundError as problem:
        hint = did_you_mean(module, LIBRARIES) if problem.name == module.partition(".")[0] else ""
        message = f"`{name}` cannot be run: there is no module `{problem.name}`"
        raise error("E708", message, hint=hint, file=file) from None
    except Exception as problem:  # code of a user may raise any exception
        raise error("E708", f"`{name}` cannot be run: {_text_of(problem)}"[:300], file=file) from None
    if not isinstance(built, nn.Module):
        kind = type(built).__name__
        message = f"`{name}` returns a value of type `{kind}`; it must be a function that gives a torch module"
        raise error("E708", message, file=file)
    return built


def _text_of(problem: Exception) -> str:
    return f"{type(problem).__name__}: {str(problem).partition(chr(10))[0]}"[:300]


@functools.cache
def declare_missing_operators() -> torch.library.Library | None:
    """Makes torchvision importable if its compiled operators do not load: its wheel for CUDA, torch for CPUs.

    On import torchvision registers meta kernels for two operators, which needs their schemas only. The networks use
    neither. The schemas exist as long as the library that declares them, so the cache keeps it.
    """
    package = importlib.util.find_spec("torchvision")
    if package is None or package.origin is None:
        return None
    for compiled in Path(package.origin).parent.glob("_C*"):
        with contextlib.suppress(OSError):
            torch.ops.load_library(compiled)  # type: ignore[no-untyped-call]
    if hasattr(torch.ops.torchvision, "nms"):
        return None
    library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")  # type: ignore[no-untyped-call]
    return library
