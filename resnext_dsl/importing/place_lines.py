"""The line of a model's source in a stack of calls: the last one outside torch and outside this package."""

from __future__ import annotations

import os
import traceback
from pathlib import Path
from types import TracebackType

import torch

_TRACING = tuple(f"{Path(file).parent}{os.sep}" for file in (torch.__file__, __file__))
"""The folders whose frames trace the code of a model, or run below it."""


def is_of_torch(file: str) -> bool:
    """Whether a file belongs to torch."""
    return file.startswith(_TRACING[0])


def model_line(stack: str) -> str:
    """The place "FILE:LINE" in a stack as Python prints it; "" if no frame is the model's own."""
    lines = [line.strip() for line in stack.splitlines() if line.strip().startswith("File ")]
    frames = [line for line in lines if not any(folder in line for folder in _TRACING)]
    if not frames:
        return ""
    _, file, rest = frames[-1].split('"', 2)
    return f"{file}:{rest.split('line ')[1].split(',')[0]}"


def line_of_error(trace: TracebackType | None) -> str:
    """The place "FILE:LINE" of the model's code that caused an exception; "" if there is none."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if not any(frame.filename.startswith(folder) for folder in _TRACING) and not frame.filename.startswith("<")
    ]
    return f"{frames[-1].filename}:{frames[-1].lineno}" if frames else ""
