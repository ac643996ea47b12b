"""Orders images into batches by the seed and the epoch alone, so that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from resnext_dsl.train.prepare import Draw, Prepared

Loader = DataLoader[tuple[Tensor, Tensor]]


def seed_of(*parts: int | str) -> int:
    """A different seed for each combination of parts, below 2 ** 63."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def training_draws(count: int, batch_size: int, seed: int, epoch: int, rank: int = 0, ranks: int = 1) -> list[Draw]:
    """The batches of one epoch; each process takes its share of each batch.

    The last, incomplete batch is left out, unless it is the only one.

    Args:
        count: The number of training images.
        batch_size: Images of one step, of all processes together.
        seed: The seed of the recipe.
        epoch: The epoch, from 0.
        rank: The number of this process.
        ranks: The number of processes, a divisor of `batch_size`.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, "order", epoch))).tolist()
    size = min(batch_size, count - count % ranks)
    starts = range(0, count - size + 1, size)
    return [
        Draw(tuple(order[start + rank : start + size : ranks]), seed_of(seed, "images", epoch, start, rank))
        for start in starts
    ]


def measuring_draws(count: int, batch_size: int, rank: int = 0, ranks: int = 1) -> list[Draw]:
    """All images in order, without random choices; each process takes its share."""
    share = range(rank, count, ranks)
    size = max(1, batch_size // ranks)
    return [Draw(tuple(share[start : start + size])) for start in range(0, len(share), size)]


class Batches:
    """Batches of images, created on the device that stores the images, or loaded by persistent worker processes.

    Args:
        images: The prepared images.
        device: The device of the network. A GPU stores small data sets as uint8, so that it copies each image once.
        workers: The number of processes that load images.
    """

    def __init__(self, images: Prepared, device: torch.device, workers: int = 0) -> None:
        self.images = images
        self.resident = device.type == "cuda" and images.settle(device)
        self._draws: list[Draw] = []
        self._loader: Loader | None = None
        self._options = {"num_workers": workers, "pin_memory": device.type == "cuda", "persistent_workers": workers > 0}

    def of(self, draws: list[Draw]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of the draws, in their order."""
        if self.resident:
            return (self.images[draw] for draw in draws)
        self._draws[:] = draws  # the loader reads them at the start of each pass
        if self._loader is None:
            self._loader = DataLoader(
                self.images,
                sampler=self._draws,  # each draw is a whole batch
                batch_size=None,
                generator=torch.Generator(),  # without it the loader would draw from torch's default generator
                **self._options,  # type: ignore[arg-type]
            )
        return iter(self._loader)
