"""Networks of torchvision and timm, by name, on the meta device."""

from __future__ import annotations

import contextlib
import importlib.util
from pathlib import Path

import torch
from torch import nn

from resnext_dsl.foundation.diagnostics import error, nearest

_OPTIONS: dict[str, dict[str, bool]] = {
    "googlenet": {"init_weights": False, "aux_logits": True, "transform_input": False},
    "inception_v3": {"init_weights": False, "aux_logits": True, "transform_input": False},
}
"""Options that give torchvision's network the architecture of its paper, and skip slow initial weights."""


def peer(library: str, name: str) -> nn.Module:
    """A network of a library, without memory for its weights.

    Raises:
        ArchError: E606 if the library has no network of that name.
    """
    return _torchvision(name) if library == "torchvision" else _timm(name)


def _torchvision(name: str) -> nn.Module:
    declared = declare_missing_operators()
    import torchvision

    known = torchvision.models.list_models()
    _require_known(name, known, f"torchvision {torchvision.__version__}")
    with torch.device("meta"):
        model: nn.Module = torchvision.models.get_model(name, weights=None, **_OPTIONS.get(name, {}))
    del declared  # the schemas exist as long as the library that declares them
    return model


def _timm(name: str) -> nn.Module:
    declared = declare_missing_operators()
    import timm

    _require_known(name, timm.list_models(), f"timm {timm.__version__}")
    with torch.device("meta"):
        model: nn.Module = timm.create_model(name, pretrained=False)
    del declared
    return model


def _require_known(name: str, known: list[str], library: str) -> None:
    if name not in known:
        near = nearest(name, known)
        hint = f"did you mean `{near}`? `--against` compares networks of one name" if near else ""
        raise error("E606", f"{library} has no network `{name}`", file="bench", hint=hint)


def declare_missing_operators() -> torch.library.Library | None:
    """Makes torchvision importable if its compiled operators do not load: its wheel for CUDA, torch for CPUs.

    On import torchvision registers meta kernels for two operators, which needs their schemas only. The networks use
    neither. The caller keeps the library that declares them while it imports torchvision.
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
