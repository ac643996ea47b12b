"""Augments training images and crops test images. All random choices come from a generator in the arguments.

Images are float, from 0 (black) to 1 (white), channels x height x width. `crop` and `mirror` take whole batches, on any
device. Random choices are drawn on the CPU, so that they are equal on every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Generator, Tensor

ENLARGED = 256 / 224
"""The shorter side of a test image divided by the side of its centre crop, as for ImageNet in the paper."""


def moved(choices: Tensor, device: torch.device) -> Tensor:
    """Copies random choices from the CPU to a device; the host does not wait for the device."""
    if device.type == "cpu":
        return choices
    # only from pinned memory is a copy to a GPU asynchronous
    return (choices.pin_memory() if device.type == "cuda" else choices).to(device, non_blocking=True)


def crop(images: Tensor, random: Generator) -> Tensor:
    """A batch padded with zeros by an eighth of its height, cropped back at random places.

    Source: Xie et al., Section 5.3, as He et al., CVPR 2016, Section 4.2, after normalisation of the pixels.
    """
    count, _, height, width = images.shape
    padding = max(1, height // 8)
    padded = F.pad(images, (padding,) * 4)
    down, right = moved(torch.randint(2 * padding + 1, (2, count), generator=random), images.device)
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)
    return windows[torch.arange(count, device=images.device), :, down, right]


def mirror(images: Tensor, random: Generator) -> Tensor:
    """A batch with each image mirrored left to right with probability 1/2."""
    mirrored = moved(torch.rand(len(images), generator=random) < 0.5, images.device)
    return torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)


def varied(image: Tensor, size: tuple[int, int], random: Generator) -> Tensor:
    """An image for training as on ImageNet, before mirroring and normalisation.

    Source: fb.resnet.torch, datasets/imagenet.lua, which the paper follows: crop, then colours, then lighting.
    """
    image = resized_crop(image, size, random)
    for choice in torch.randperm(len(COLOURS), generator=random).tolist():
        image = COLOURS[choice](image, 1 + _uniform(-0.4, 0.4, random))
    return lit(image, random) if len(image) == 3 else image


def resized_crop(image: Tensor, size: tuple[int, int], random: Generator) -> Tensor:
    """A part of 8% to 100% of the area, of aspect 3/4 to 4/3, scaled to `size`.

    Source: Szegedy et al., CVPR 2015, Section 6; ten attempts, then the centre crop, as in fb.resnet.torch.
    """
    _, height, width = image.shape
    for _ in range(10):
        area, aspect = _uniform(0.08, 1, random) * height * width, _uniform(3 / 4, 4 / 3, random)
        sides = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        across, down = sides if _uniform(0, 1, random) < 0.5 else sides[::-1]
        if 0 < across <= width and 0 < down <= height:
            top, left = _below(height - down + 1, random), _below(width - across + 1, random)
            return scaled(image[:, top : top + down, left : left + across], size)
    return centre(image, size)


def centre(image: Tensor, size: tuple[int, int], enlarged: float = 1.0) -> Tensor:
    """The centre crop of `size`, after the shorter side of the image is scaled to `enlarged` times the side of `size`.

    It rounds sizes as torchvision's `Resize` and `CenterCrop` do.
    """
    _, height, width = image.shape
    if height * size[1] <= width * size[0]:
        down = round(size[0] * enlarged)
        whole = down, max(size[1], down * width // height)
    else:
        across = round(size[1] * enlarged)
        whole = max(size[0], across * height // width), across
    image = scaled(image, whole)
    top, left = round((whole[0] - size[0]) / 2), round((whole[1] - size[1]) / 2)
    return image[:, top : top + size[0], left : left + size[1]]


def scaled(images: Tensor, size: tuple[int, int]) -> Tensor:
    """An image or a batch, scaled bicubically; values are clamped to the range from black to white."""
    if tuple(images.shape[-2:]) == size:
        return images
    batch = images if images.dim() == 4 else images.unsqueeze(0)
    batch = F.interpolate(batch, size, mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
    return batch if images.dim() == 4 else batch[0]


def _brightness(image: Tensor, share: float) -> Tensor:
    return image * share


def _contrast(image: Tensor, share: float) -> Tensor:
    return torch.lerp(_grey(image).mean(), image, share)


def _saturation(image: Tensor, share: float) -> Tensor:
    return torch.lerp(_grey(image), image, share)


COLOURS: tuple[Callable[[Tensor, float], Tensor], ...] = (_brightness, _contrast, _saturation)
"""Each function blends an image with black, with its mean grey, or with its greys; 1 keeps the image unchanged."""

# Luma of ITU-R BT.601, as in fb.resnet.torch.
_LUMA = (0.299, 0.587, 0.114)


def _grey(image: Tensor) -> Tensor:
    if len(image) != 3:
        return image.mean(0, keepdim=True)
    return (image * torch.tensor(_LUMA).view(3, 1, 1)).sum(0, keepdim=True)


# Principal components of the colours of ImageNet's training images: fb.resnet.torch, datasets/imagenet.lua.
_VALUES = (0.2175, 0.0188, 0.0045)
_VECTORS = ((-0.5675, 0.7192, 0.4009), (-0.5808, -0.0045, -0.8140), (-0.5836, -0.6948, 0.4203))


def lit(image: Tensor, random: Generator) -> Tensor:
    """An image with random lighting along the principal components: Krizhevsky et al., NeurIPS 2012, Section 4.1."""
    strengths = torch.randn(3, generator=random) * 0.1 * torch.tensor(_VALUES)
    return image + (torch.tensor(_VECTORS) @ strengths).view(3, 1, 1)


def _uniform(low: float, high: float, random: Generator) -> float:
    return low + (high - low) * torch.rand((), generator=random).item()


def _below(count: int, random: Generator) -> int:
    return int(torch.randint(count, (), generator=random))
