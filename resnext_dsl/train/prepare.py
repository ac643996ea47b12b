"""Prepares images for a network: augments or crops them, normalises them, and adapts their channels and size."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor
from torch.utils.data import Dataset

from resnext_dsl.operators.base import Shape
from resnext_dsl.train import augment
from resnext_dsl.train.datasets.image_set import Images, ImageSet, Pixels

SHIFTED, MIRRORED = ("shift", "crop"), ("crop", "imagenet")
"""The names of `recipes.AUGMENTS` that shift an image, and those that mirror it."""

MOST_RESIDENT = 1 << 30
"""The most bytes of pixels, as uint8, that a device stores; CIFAR has 184 MB."""


class Draw(NamedTuple):
    """The images of one batch, and the seed of their augmentation; None for a measurement."""

    indices: tuple[int, ...]
    seed: int | None = None


class Prepared(Dataset[tuple[Tensor, Tensor]]):
    """A part of a data set, prepared for a network; a `Draw` is the index of a batch."""

    def __init__(self, source: ImageSet, images: Images, shape: Shape, how: str = "none") -> None:
        channels, height, width = shape
        self._images = images
        self._channels, self._size = channels, (height, width)
        self._how = how
        self._device = torch.device("cpu")
        self._peak = source.peak
        self._mean = torch.tensor(source.mean).view(-1, 1, 1)
        self._std = torch.tensor(source.std).view(-1, 1, 1)

    def settle(self, device: torch.device) -> bool:
        """Stores all images on a device, which then creates the batches; False if a loader must load them.

        The CPU decodes files, and augments images of "imagenet" one at a time.
        """
        images = self._images
        if not isinstance(images, Pixels) or self._how == "imagenet" or images.pixels.nbytes > MOST_RESIDENT:
            return False
        self._images = Pixels(images.pixels.to(device), images.labels.to(device))
        self._mean, self._std = self._mean.to(device), self._std.to(device)
        self._device = device
        return True

    def __len__(self) -> int:
        return len(self._images.labels)

    def __getitem__(self, draw: Draw) -> tuple[Tensor, Tensor]:
        """The images of a draw, float, batch x channels x height x width, and their labels."""
        indices = augment.moved(torch.tensor(draw.indices), self._device)
        random = None if draw.seed is None else torch.Generator().manual_seed(draw.seed)
        images, how = self._images, self._how if random is not None else "none"
        if isinstance(images, Pixels) and how != "imagenet":
            batch = augment.scaled(images.pixels[indices].float().div_(self._peak), self._size)
        else:
            batch = torch.stack([self._one(images.image(index), how, random) for index in draw.indices])
        return self._finished(batch, how, random), images.labels[indices]

    def _one(self, raw: Tensor, how: str, random: Generator | None) -> Tensor:
        image = raw.float().div_(self._peak)
        if how == "imagenet" and random is not None:
            return augment.varied(image, self._size, random)
        return augment.centre(image, self._size, augment.ENLARGED if random is None else 1.0)

    def _finished(self, batch: Tensor, how: str, random: Generator | None) -> Tensor:
        batch = batch.sub_(self._mean).div_(self._std)
        if random is not None and how in SHIFTED:
            batch = augment.crop(batch, random)
        if random is not None and how in MIRRORED:
            batch = augment.mirror(batch, random)
        return batch.expand(-1, self._channels, -1, -1).contiguous() if batch.shape[1] != self._channels else batch
