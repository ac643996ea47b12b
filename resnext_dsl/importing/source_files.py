"""Reads the file of a model as a trace; the suffix of its name decides the format."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path

from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.importing.model_file import size_of
from resnext_dsl.importing.trace import Trace
from resnext_dsl.operators.base import Shape

READERS: Mapping[str, tuple[str, str]] = {
    ".pt2": ("archive_trace", "read_archive"),
    ".onnx": ("onnx_trace", "read_onnx"),
}
"""Suffix -> the module and the function that read the format."""


def read_file(path: str | os.PathLike[str], shape: Shape | None = None) -> Trace:
    """The trace of a file; nothing of the file is run.

    Args:
        path: An archive of `torch.export.save` (`.pt2`) or an ONNX file (`.onnx`).
        shape: The shape of the input without the batch, for a file that leaves sizes open.

    Raises:
        ArchError: E605 if a needed library is not installed, E621 if the file is missing, damaged or too large,
            E622 if it is of a format or version that is not read, E623 if it is not safe to read, E624 with every
            operation that is not translated.
    """
    file = Path(path)
    reader = READERS.get(file.suffix.lower())
    if reader is None:
        hint = f"{' and '.join(sorted(READERS))} files are read"
        if file.suffix.lower() in {".pt", ".pth", ".safetensors"}:
            hint += "; this is a checkpoint, which has weights and no network"
        raise error(
            "E622", f"the model is not read: no reader knows the suffix `{file.suffix}`", file=str(file), hint=hint
        )
    size_of(file)
    module, function = reader
    trace: Trace = getattr(import_module(f"resnext_dsl.importing.{module}"), function)(file, shape)
    return trace
