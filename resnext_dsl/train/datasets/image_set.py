"""A data set in memory: raw images with labels, and the scale of their pixels."""

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
        """One image: channels x height x width, from 0 to `peak`."""

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
        name: The name in errors.
        classes: Names of the classes, by label.
        shape: Channels, height and width of its images; the usual shape if sizes vary.
        peak: The value of a white pixel.
        mean: Mean of each channel, as a share of `peak`.
        std: Standard deviation of each channel, as a share of `peak`.
        train: The images for training.
        test: The images for measurement.
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
    """The data set with a share of its training images as test images: the last images of every class."""
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
    """E712: a file or folder of a data set does not have its format."""
    return ArchError([Diagnostic("E712", reason, hint=hint, file=str(path))])


def missing(package: str, why: str) -> ArchError:
    """E605: a package that training needs is not installed."""
    hint = "pip install 'resnext-dsl[train]'"
    return ArchError([Diagnostic("E605", f"{package} is not installed; {why}", hint=hint, file="train")])


def check_labels(path: Path, labels: Tensor, classes: Sequence[str]) -> None:
    """Raises E712 if a label names no class."""
    if len(labels) and int(labels.max()) >= len(classes):
        reason = f"label {int(labels.max())} is none of {len(classes)} classes"
        raise unreadable(path, reason, "the file is of another data set, or damaged")
