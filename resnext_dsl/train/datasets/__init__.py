"""Reads data sets from disk. `DATASETS` is the table; a module reads each format."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from resnext_dsl.foundation.diagnostics import error

if TYPE_CHECKING:
    from resnext_dsl.train.datasets.image_set import ImageSet


class Format(NamedTuple):
    """A row of the table: the module and its function, whether the user names a folder, and a description."""

    module: str
    read: str
    has_folder: bool
    description: str


DATASETS: Mapping[str, Format] = MappingProxyType(
    {
        "digits": Format("digits", "digits", False, "scikit-learn's handwritten digits, 8x8, which come with it"),
        "cifar10": Format("cifar", "cifar10", True, "CIFAR-10, the binary version"),
        "cifar100": Format("cifar", "cifar100", True, "CIFAR-100, the binary version"),
        "folder": Format("folder", "folder", True, "train/CLASS/IMAGE and val/CLASS/IMAGE, the layout of ImageNet"),
    }
)
"""Name -> format."""


def open_source(name: str, folder: Path | None = None, holdout: float = 0.0) -> ImageSet:
    """Opens a data set with training and test images.

    Args:
        name: A key of `DATASETS`.
        folder: The folder of its files.
        holdout: Share of the training images of each class that replace the test images.

    Raises:
        ArchError: E712 if it cannot be read.
    """
    from resnext_dsl.train.datasets.image_set import held_out

    row = DATASETS[name]
    if row.has_folder != (folder is not None):
        hint = (
            "say where it lies: --data-dir DIR, in a search --choice data_dir=DIR"
            if row.has_folder
            else "leave --data-dir out, or the choice data_dir"
        )
        message = "the data set lies in a folder" if row.has_folder else "the data set is read from no folder"
        raise error("E712", message, hint=hint, file=name)
    read: Callable[..., ImageSet] = getattr(import_module(f"{__name__}.{row.module}"), row.read)
    source = read(folder, needs_test=not holdout) if row.has_folder else read()
    return held_out(source, holdout) if holdout else source
