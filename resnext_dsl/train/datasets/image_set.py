"""What a data set is once it is read: collections of raw images with labels, and how their pixels are scaled."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic


class Images(Protocol):
    """Raw images with their labels."""

    @property
    def labels(self) -> Tensor:
        """int64, one label an image."""

    def image(self, index: int) -> Tensor:
        """One image: channels x height x width, in the units of the source's `peak`."""

    def pick(self, indices: Tensor) -> Images:
        """Some of the images."""


class Pixels:
    """Images of one size, in memory: N x channels x height x width."""

    def __init__(self, pixels: Tensor, labels: Tensor) -> None:
        self.pixels = pixels
        self.labels = labels

    def image(self, index: int) -> Tensor:
        """One image: channels x height x width."""
        return self.pixels[index]

    def pick(self, indices: Tensor) -> Pixels:
        """Some of the images."""
        return Pixels(self.pixels[indices], self.labels[indices])


class ImageSet(NamedTuple):
    """A data set.

    Attributes:
        name: What errors call it.
        classes: Their names, by label.
        shape: Channels, height and width of its images; the usual ones where sizes vary.
        peak: The value of a white pixel.
        mean: Of each channel, as a share of `peak`.
        std: Likewise.
        train: What is trained on.
        test: What is measured on.
    """

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    peak: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    train: Images
    test: Images


def held_out(source: ImageSet, share: float) -> ImageSet:
    """The source with a share of its training images in place of the test images: of every class the last ones."""
    test = torch.cat([_last(source.train.labels, label, share) for label in range(len(source.classes))])
    kept = torch.ones(len(source.train.labels), dtype=torch.bool)
    kept[test] = False
    train = kept.nonzero().flatten()
    return source._replace(train=source.train.pick(train), test=source.train.pick(test.sort().values))


def _last(labels: Tensor, label: int, share: float) -> Tensor:
    places = (labels == label).nonzero().flatten()
    count = min(max(1, round(share * len(places))), len(places) - 1)
    return places[len(places) - max(count, 0) :]


def unreadable(path: Path, reason: str, hint: str = "") -> ArchError:
    """E712: a file or folder of a data set is not as its format has it."""
    return ArchError([Diagnostic("E712", reason, hint=hint, file=str(path))])


def missing(package: str, why: str) -> ArchError:
    """E605: a package that training needs is not installed."""
    hint = "pip install 'resnext-dsl[train]'"
    return ArchError([Diagnostic("E605", f"{package} is not installed; {why}", hint=hint, file="train")])


def check_labels(path: Path, labels: Tensor, classes: Sequence[str]) -> None:
    """Raises E712 where a label names no class."""
    if len(labels) and int(labels.max()) >= len(classes):
        reason = f"label {int(labels.max())} is none of {len(classes)} classes"
        raise unreadable(path, reason, "the file is of another data set, or damaged")
