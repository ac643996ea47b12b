"""Small modules whose files the tests of importing read and damage."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

ROOT = "tiny"


class Tiny(nn.Module):
    """A convolution with a norm in place, two parts, a constant and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.head = nn.Linear(6, 5)
        self.register_buffer("scale", torch.rand(6, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """The scores of the classes."""
        x = self.stem(x)
        first, second = x.chunk(2, 1)
        x = torch.cat([second, first], 1) * self.scale + torch.tensor([0.5, 1.0, 1.5, 2.0])
        return self.head(x.mean((2, 3)))


@cache
def tiny() -> nn.Module:
    """The module in inference, with statistics that are not those of a new norm."""
    torch.manual_seed(0)
    module = Tiny().eval()
    nn.init.normal_(module.get_buffer("stem.1.running_mean"))
    return module


def program(module: nn.Module, *shape: int, batch: int = 2, dynamic: bool = True) -> torch.export.ExportedProgram:
    """The program of a module."""
    sizes = ({0: torch.export.Dim("batch")},) if dynamic else None
    with torch.no_grad():
        return torch.export.export(module, (torch.randn(batch, *shape),), dynamic_shapes=sizes, strict=False)


@cache
def tiny_archive() -> bytes:
    """The archive of `tiny`."""
    buffer = io.BytesIO()
    torch.export.save(program(tiny(), 3, 8, 8), buffer)
    return buffer.getvalue()


def entries_of(archive: bytes) -> dict[str, bytes]:
    """The entries of an archive by their names below its root."""
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        return {name.partition("/")[2]: opened.read(name) for name in opened.namelist()}


def packed(entries: dict[str, bytes], path: Path, root: str = ROOT, **options: Any) -> Path:
    """A zip file of entries."""
    with zipfile.ZipFile(path, "w", **options) as opened:
        for name, content in entries.items():
            opened.writestr(f"{root}/{name}" if root else name, content)
    return path


def changed(path: Path, entry: str, change: Callable[[Any], None]) -> Path:
    """The archive of `tiny` with one entry of JSON changed."""
    entries = entries_of(tiny_archive())
    content = json.loads(entries[entry])
    change(content)
    return packed({**entries, entry: json.dumps(content).encode()}, path)
