"""Reads CIFAR-10 and CIFAR-100 in the binary version. Reading the pickled Python version would run code: an error.

A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009. A record has one byte for
the label (CIFAR-100: two, coarse and fine). Then it has 3 x 32 x 32 bytes of pixels: planes of red, green and blue, by
rows.
https://www.cs.toronto.edu/~kriz/cifar.html
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from resnext_dsl.train.datasets.image_set import ImageSet, Pixels, check_labels, unreadable

PIXELS = 3 * 32 * 32


class Version(NamedTuple):
    """The names of files, and the means and deviations, of one of the two data sets."""

    name: str
    folder: str
    train: tuple[str, ...]
    test: str
    pickled: tuple[str, ...]
    names: str
    classes: int
    label_bytes: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


# Means and deviations over the training images, of 255: facebookresearch/ResNeXt, datasets/cifar10.lua, cifar100.lua.
TEN = Version(
    name="cifar10",
    folder="cifar-10-batches-bin",
    train=tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    test="test_batch.bin",
    pickled=("data_batch_1", "cifar-10-batches-py", "cifar-10-python.tar.gz"),
    names="batches.meta.txt",
    classes=10,
    label_bytes=1,
    mean=(125.3, 123.0, 113.9),
    std=(63.0, 62.1, 66.7),
)
HUNDRED = Version(
    name="cifar100",
    folder="cifar-100-binary",
    train=("train.bin",),
    test="test.bin",
    pickled=("train", "cifar-100-python", "cifar-100-python.tar.gz"),
    names="fine_label_names.txt",
    classes=100,
    label_bytes=2,
    mean=(129.3, 124.1, 112.4),
    std=(68.2, 65.4, 70.4),
)


def cifar10(folder: Path, needs_test: bool = True) -> ImageSet:
    """CIFAR-10 from the folder in its archive, or from the parent of that folder.

    Raises:
        ArchError: E712 if a file is missing, cut off, or of the pickled version.
    """
    return _read(TEN, folder)


def cifar100(folder: Path, needs_test: bool = True) -> ImageSet:
    """CIFAR-100, with its hundred fine labels; otherwise as `cifar10`."""
    return _read(HUNDRED, folder)


def _read(version: Version, folder: Path) -> ImageSet:
    inside = _found(version, folder)
    classes = _class_names(version, inside)
    train = [_records(version, inside / name, classes) for name in version.train]
    test = _records(version, inside / version.test, classes)
    return ImageSet(
        name=version.name,
        classes=classes,
        shape=(3, 32, 32),
        peak=255.0,
        mean=tuple(value / 255 for value in version.mean),
        std=tuple(value / 255 for value in version.std),
        train=Pixels(torch.cat([pixels for pixels, _ in train]), torch.cat([labels for _, labels in train])),
        test=Pixels(*test),
    )


def _found(version: Version, folder: Path) -> Path:
    if not folder.is_dir():
        raise unreadable(folder, f"there is no folder of `{version.name}` here", "--data-dir names where it lies")
    for place in (folder, folder / version.folder):
        if (place / version.train[0]).is_file():
            return place
    for pickled in version.pickled:
        if (folder / pickled).exists():
            reason = f"`{pickled}` is the Python version of the data set: pickled, so that reading it runs code"
            raise unreadable(folder, reason, f"take the binary version: {version.folder}, with {version.train[0]}")
    raise unreadable(folder, f"`{version.train[0]}` is not here, nor in {version.folder}", _unpack(version, folder))


def _unpack(version: Version, folder: Path) -> str:
    archives = [path.name for path in folder.glob("cifar*binary*.tar*")]
    return f"unpack {archives[0]}" if archives else f"unpack the binary version of {version.name} here"


def _records(version: Version, path: Path, classes: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """The images and labels of one file."""
    size = version.label_bytes + PIXELS
    if not path.is_file():
        raise unreadable(path, "this file of the data set is missing")
    content = np.fromfile(path, dtype=np.uint8)
    if not len(content) or len(content) % size:
        reason = f"{len(content):,} bytes are no whole number of records of {size:,}: the file is cut off"
        raise unreadable(path, reason, "unpack the archive again")
    records = torch.from_numpy(content.reshape(-1, size))
    labels = records[:, version.label_bytes - 1].to(torch.int64)
    check_labels(path, labels, classes)
    return records[:, version.label_bytes :].reshape(-1, 3, 32, 32).contiguous(), labels


def _class_names(version: Version, folder: Path) -> tuple[str, ...]:
    path = folder / version.names
    lines = path.read_text(encoding="ascii", errors="replace").split() if path.is_file() else []
    return tuple(lines) if len(lines) == version.classes else tuple(map(str, range(version.classes)))
