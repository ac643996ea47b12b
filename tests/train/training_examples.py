"""Specs and data sets small enough to train in a test."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

TINY = """
network tiny {
    input image: 1 x resolution x resolution
    param classes = 4
    param width = 4
    param resolution = 16
    stem { conv(width, 3x3); bn; relu; dropout(0.2) }
    stage a { residual { conv(width, 3x3); bn }
        relu }
    head { avgpool(global); flatten; linear(classes) }
}
"""
"""Everything whose state a resumed run must have back: batch normalisation, dropout, momentum."""

PLAIN = """
network plain {
    input image: 3 x resolution x resolution
    param classes = 10
    param resolution = 32
    conv(4, 3x3, stride=4, bias=true); relu
    output side when training { avgpool(global); flatten; linear(classes) }
    head { avgpool(global); flatten; linear(classes) }
}
"""
"""Colours, an output in training only, and no batch normalisation: shares of a batch give the gradient of the whole."""


def spec(folder: Path, text: str = TINY, name: str = "tiny") -> str:
    """The spec as a file."""
    path = folder / f"{name}.arch"
    path.write_text(text)
    return str(path)


def cifar10(folder: Path, records: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    """CIFAR-10's files, each of so many records; what was written."""
    random = np.random.default_rng(seed)
    written = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]:
        written[name] = random.integers(0, 256, (records, 3073), dtype=np.uint8)
        written[name][:, 0] %= 10
        written[name].tofile(folder / name)
    return written


def cifar100(folder: Path, records: int = 8) -> dict[str, np.ndarray]:
    """CIFAR-100's files, each of so many records."""
    random = np.random.default_rng(1)
    written = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("train.bin", "test.bin"):
        written[name] = random.integers(0, 256, (records, 3074), dtype=np.uint8)
        written[name][:, 0] %= 20
        written[name][:, 1] %= 100
        written[name].tofile(folder / name)
    return written


def folders(root: Path, count: int = 3) -> None:
    """Images of two classes, each of another size, one of them grey, one of them a JPEG."""
    random = np.random.default_rng(2)
    for part in ("train", "val"):
        for label, name in enumerate(("ant", "bee")):
            place = root / part / name
            place.mkdir(parents=True)
            for number in range(count):
                pixels = random.integers(0, 256, (20 + 3 * number, 24 + label, 3), dtype=np.uint8)
                image = Image.fromarray(pixels)
                (image.convert("L") if number == 1 else image).save(
                    place / f"{number}.{'jpg' if number == 2 else 'png'}"
                )
