"""Reads the handwritten digits of scikit-learn: 1,797 images of 8x8 in 17 shades of grey.

E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998. https://doi.org/10.24432/C50P49
"""

from __future__ import annotations

from functools import cache

import torch

from resnext_dsl.train.datasets.image_set import ImageSet, Pixels, missing

TRAINING = 1347
"""The first three quarters of the images. The file is ordered by writer, so that most test writers are new."""


@cache
def digits() -> ImageSet:
    """The digits.

    Raises:
        ArchError: E605 without scikit-learn.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise missing("scikit-learn", "the handwritten digits come with it") from None
    bunch = load_digits()
    pixels = torch.from_numpy(bunch.images).to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(bunch.target).to(torch.int64)
    return ImageSet(
        name="digits",
        classes=tuple("0123456789"),
        shape=(1, 8, 8),
        peak=16.0,
        # Mean and deviation of the training images.
        mean=(0.3057,),
        std=(0.3756,),
        train=Pixels(pixels[:TRAINING], labels[:TRAINING]),
        test=Pixels(pixels[TRAINING:], labels[TRAINING:]),
    )
