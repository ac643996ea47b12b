"""Data sets as they lie on disk. One table says which there are; a room reads a format."""

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
    """A row of the table: the room that reads it, whether it lies in a folder of the user's, and what it is."""

    room: str
    read: str
    has_folder: bool
    what: str


DATASETS: Mapping[str, Format] = MappingProxyType(
    {
        "digits": Format("digits", "digits", False, "scikit-learn's handwritten digits, 8x8, which it brings along"),
        "cifar10": Format("cifar", "cifar10", True, "CIFAR-10, the binary version"),
        "cifar100": Format("cifar", "cifar100", True, "CIFAR-100, the binary version"),
        "folder": Format("folder", "folder", True, "train/CLASS/IMAGE and val/CLASS/IMAGE, as ImageNet is kept"),
    }
)
"""Name -> how it is read."""


def open_source(name: str, folder: Path | None = None, holdout: float = 0.0) -> ImageSet:
    """A data set, training and test images.

    Args:
        name: A key of `DATASETS`.
        folder: Where it lies.
        holdout: Share of the training images of each class that take the place of the test images.

    Raises:
        ArchError: E712 where it cannot be read.
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
    read: Callable[..., ImageSet] = getattr(import_module(f"{__name__}.{row.room}"), row.read)
    source = read(folder, needs_test=not holdout) if row.has_folder else read()
    return held_out(source, holdout) if holdout else source
