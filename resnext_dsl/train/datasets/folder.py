"""Reads images in folders, one a class, as in ImageNet: train/CLASS/IMAGE, and val/CLASS/IMAGE or test/CLASS/IMAGE."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from resnext_dsl.foundation.diagnostics import nearest
from resnext_dsl.train.datasets.image_set import ImageSet, missing, unreadable

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".ppm", ".pgm", ".webp", ".tif", ".tiff"})

TESTS = ("val", "test")

# Mean and deviation of a random part of ImageNet's training images: fb.resnet.torch, datasets/imagenet.lua.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

USUAL = (3, 224, 224)
"""The input shape of networks for ImageNet."""


class Files:
    """Images in files, which are decoded on demand."""

    def __init__(self, paths: list[Path], labels: Tensor) -> None:
        self.paths = paths
        self.labels = labels

    def image(self, index: int) -> Tensor:
        """One image: 3 x height x width, uint8.

        Raises:
            ArchError: E712 if the file holds no image.
        """
        from PIL import Image

        path = self.paths[index]
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(path) as opened:
                    pixels = np.asarray(opened.convert("RGB")).transpose(2, 0, 1)
        except Exception as reason:  # each format of Pillow has its own exceptions
            raise unreadable(path, f"no image can be read from it: {reason}") from None
        return torch.from_numpy(pixels.copy())

    def pick(self, indices: Tensor) -> Files:
        """Some of the images."""
        return Files([self.paths[index] for index in indices.tolist()], self.labels[indices])


def folder(root: Path, needs_test: bool = True) -> ImageSet:
    """The images of a folder; the classes are the folders in `train`, in alphabetical order.

    Raises:
        ArchError: E712 if a folder is missing or empty, or if the two parts differ in classes; E605 without Pillow.
    """
    _need_pillow()
    train = root / "train"
    if not train.is_dir():
        raise unreadable(root, "there is no folder `train` here", "training images lie in train/CLASS/IMAGE")
    test = next((root / name for name in TESTS if (root / name).is_dir()), None)
    if test is None and needs_test:
        hint = "or hold a part of the training images out: --holdout 0.1"
        raise unreadable(root, "there is neither a folder `val` nor `test` here", hint)
    classes = _classes(train)
    images = _files(train, classes)
    return ImageSet("folder", classes, USUAL, 255.0, MEAN, STD, images, _tests(test, classes) if test else images)


def _need_pillow() -> None:
    try:
        import PIL  # noqa: F401
    except ImportError:
        raise missing("Pillow", "images are read by it") from None


def _classes(train: Path) -> tuple[str, ...]:
    classes = tuple(sorted(path.name for path in train.iterdir() if path.is_dir()))
    if not classes:
        raise unreadable(train, "there is no folder of a class here", "images lie in train/CLASS/IMAGE")
    return classes


def _tests(root: Path, classes: tuple[str, ...]) -> Files:
    for path in sorted(root.iterdir()):
        if path.is_dir() and path.name not in classes:
            near = nearest(path.name, classes)
            hint = f"did you mean `{near}`?" if near else ""
            raise unreadable(path, f"class `{path.name}` is not among the {len(classes)} of the training images", hint)
    return _files(root, classes, may_lack=True)


def _files(root: Path, classes: tuple[str, ...], may_lack: bool = False) -> Files:
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(classes):
        images = sorted(path for path in (root / name).rglob("*") if path.suffix.lower() in SUFFIXES)
        if not images and not may_lack:
            raise unreadable(root / name, "there is no image of this class", f"known: {' '.join(sorted(SUFFIXES))}")
        paths += images
        labels += [label] * len(images)
    if not paths:
        raise unreadable(root, "there is no image here", f"known: {' '.join(sorted(SUFFIXES))}")
    return Files(paths, torch.tensor(labels, dtype=torch.int64))
