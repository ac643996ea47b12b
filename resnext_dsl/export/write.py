"""Exports a network: compiles it, writes a file beside the target, reads it back, compares, and moves it into place."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn

from resnext_dsl.devices.torch_device import device_of
from resnext_dsl.export.agreement import Agreement, agreement
from resnext_dsl.export.interface import Interface, signature_of
from resnext_dsl.export.targets import TARGETS, Target, target_of
from resnext_dsl.foundation.atomic import staged
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    from resnext_dsl.foundation.source import Source
    from resnext_dsl.graph.ir import Graph
    from resnext_dsl.weights.checkpoint import Weights


class Exportable(Protocol):
    """The part of a network that an export reads; `Network` documents each member."""

    source: Source
    ir: Graph

    def compile(  # noqa: D102
        self,
        form: str = "fastest",
        mode: str = "train",
        weights: Weights | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        seed: int | None = None,
    ) -> nn.Module: ...


class Written(NamedTuple):
    """The files of an export.

    Attributes:
        target: The name of the format.
        files: Every file, the requested file first.
        agreement: The difference between its outputs and those of the module.
        snippet: The Python lines that load and run a package of AOTInductor; "" for other formats.
    """

    target: str
    files: tuple[Path, ...]
    agreement: Agreement
    snippet: str = ""


def export(
    network: Exportable,
    target: str,
    path: str | os.PathLike[str],
    *,
    form: str = "fastest",
    weights: Weights | None = None,
    seed: int | None = None,
    batch: int | str = "dynamic",
    dtype: str | None = None,
    device: str = "cpu",
) -> Written:
    """Writes a network; `Network.export` documents the arguments."""
    kind = target_of(target)
    file = _named(kind, path)
    _spare_the_spec(network, file)
    signature = _signature(network, kind, batch, dtype)._replace(device=_device(kind, device))
    if kind.dtypes:
        options = {"mode": "inference", "weights": weights, "dtype": signature.dtype, "device": signature.device}
    else:
        _refuse_numbers(kind, {"weights": weights, "dtype": dtype, "batch": None if batch == "dynamic" else batch})
        options = {"mode": "train"}
    kind.require_modules()
    model = network.compile(form=form, seed=0 if seed is None else seed, **options)  # type: ignore[arg-type]
    return write_module(kind, model.eval(), signature, file)


def write_module(target: Target, model: nn.Module, signature: Interface, path: Path) -> Written:
    """Writes a module that is in eval mode, reads the file back, compares, and moves it into place.

    Raises:
        ArchError: E605, E704, E705 or E802; nothing is written then, and an existing file stays as it was.
    """
    try:
        with staged(path) as file:
            with _quiet(), _explained(target, signature.device, model):
                target.write(model.requires_grad_(False), signature, file)
                run = target.read(file, signature, model)
                compared = agreement(model, run, signature, f"{path} ({target.title})")
                del run  # some backends hold the file open
            names = sorted((entry.name for entry in file.parent.iterdir()), key=lambda name: name != file.name)
    except OSError as reason:
        message = f"the file cannot be written: {(reason.strerror or str(reason)).lower()}"
        raise error("E704", message, file=str(path)) from None
    return Written(
        target.name, tuple(path.with_name(name) for name in names), compared, target.snippet(path, signature)
    )


def _named(target: Target, path: str | os.PathLike[str]) -> Path:
    """The path, if its name ends in the suffix of the format."""
    file = Path(path)
    if target.name != "py" and file.suffix != target.suffix:
        message = f"the name of a file for `{target.name}` ({target.title}) must end in `{target.suffix}`"
        raise error("E704", message, file=str(path), hint=f"for example `{file.stem or 'model'}{target.suffix}`")
    return file


def _spare_the_spec(network: Exportable, file: Path) -> None:
    spec = network.source.path
    if spec is not None and file.exists() and file.samefile(spec):
        raise error("E704", "the output file is the spec itself", file=str(file))


def _signature(network: Exportable, target: Target, batch: int | str, dtype: str | None) -> Interface:
    if batch != "dynamic" and (isinstance(batch, bool) or not isinstance(batch, int) or batch < 1):
        raise error("E705", f'the batch must be "dynamic" or an int of at least 1; found {batch!r}', file="export")
    if target.dtypes and dtype is not None and dtype not in target.dtypes:
        message = f"`{target.name}` ({target.title}) cannot be written in `{dtype}`"
        raise error("E705", message, file="export", hint=f"supported types: {', '.join(target.dtypes)}")
    stored = dtype or "float32"
    size = None if isinstance(batch, str) else batch
    return signature_of(network.ir)._replace(
        dtype=getattr(torch, target.computes or stored), stored=getattr(torch, stored), batch=size
    )


def _device(target: Target, name: str) -> str:
    """The device, if the format supports it and the machine has it: the comparison runs the file there."""
    kind = name.partition(":")[0]
    if kind not in target.devices and kind in ("cpu", "cuda"):
        message = f"`{target.name}` ({target.title}) is not written for `{name}`"
        able = ", ".join(f"`{each.name}`" for each in TARGETS.values() if kind in each.devices)
        raise error("E705", message, file="export", hint=f"targets for {kind}: {able}")
    return str(device_of(name, file="export"))


def _refuse_numbers(target: Target, options: Mapping[str, object]) -> None:
    for name, value in options.items():
        if value is not None:
            message = f"`{target.name}` ({target.title}) stores no weights, so `{name}` does not apply"
            hint = "`resnext-dsl weights SPEC CHECKPOINT -o FILE` writes a checkpoint for it"
            raise error("E705", message, file="export", hint=hint)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hides warnings of backends: a user of the export cannot act on their deprecations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _explained(target: Target, device: str, model: nn.Module) -> Iterator[None]:
    """Turns any exception of a backend into one error; the libraries have no common base."""
    try:
        yield
    except ArchError:
        raise
    except Exception as reason:
        lines = [line.strip() for line in str(reason).splitlines() if line.strip()]
        text = f"{type(reason).__name__}: {lines[0][:200]}" if lines else type(reason).__name__
        text = _without_counterpart(str(reason), model) or _TERMINAL_CODE.sub("", text)
        _blame_tools(target, device, text)
        if isinstance(reason, OSError):
            raise
        message = f"the network cannot be written for `{target.name}` ({target.title}): {text}"
        raise error("E705", message, file="export") from None


_TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*m")
_NO_FUNCTION = re.compile(r"No ONNX function found for <OpOverload\(op='aten\.(\w+)'")


def _without_counterpart(message: str, model: nn.Module) -> str:
    """The modules whose operation ONNX lacks, if this is what an exception of torch's exporter says; else ""."""
    missing = _NO_FUNCTION.search(message)
    if missing is None:
        return ""
    kind = missing[1].replace("_", "")  # adaptive_max_pool2d is the operation of AdaptiveMaxPool2d
    names = [f"`{name}`" for name, module in model.named_modules() if type(module).__name__.lower() == kind]
    listed = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"ONNX has no operator for `{missing[1]}`" + (f", which the network has at {listed}" if names else "")


def _blame_tools(target: Target, device: str, text: str) -> None:
    """Raises E704 if tools that a target compiles with are missing: torch's own error rarely names them."""
    if target.name != "aoti":
        return
    from resnext_dsl.export.aoti import missing_tools, remedy

    if missing := missing_tools(device):
        message = f"`{target.name}` ({target.title}) is compiled on this machine, which lacks {' and '.join(missing)}"
        raise error("E704", f"{message}; torch says: {text}", file="export", hint=remedy(device)) from None
