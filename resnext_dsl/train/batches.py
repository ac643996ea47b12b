"""Which images come when: a function of the seed and the epoch alone, so a resumed run goes on as if never stopped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from resnext_dsl.train.prepare import Draw, Prepared

Loader = DataLoader[tuple[Tensor, Tensor]]


def seed_of(*parts: int | str) -> int:
    """A seed of its own for each combination of parts, below 2 ** 63."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def training_draws(count: int, batch_size: int, seed: int, epoch: int, rank: int = 0, ranks: int = 1) -> list[Draw]:
    """The batches of one epoch, of which each process takes its share.

    The last, incomplete batch is left out; where there is no other, it is all there is.

    Args:
        count: Training images.
        batch_size: Of all processes together.
        seed: Of the recipe.
        epoch: From 0.
        rank: Of this process.
        ranks: Processes; they divide `batch_size`.
    """
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed_of(seed, "order", epoch))).tolist()
    size = min(batch_size, count - count % ranks)
    starts = range(0, count - size + 1, size)
    return [
        Draw(tuple(order[start + rank : start + size : ranks]), seed_of(seed, "images", epoch, start, rank))
        for start in starts
    ]


def measuring_draws(count: int, batch_size: int, rank: int = 0, ranks: int = 1) -> list[Draw]:
    """All images in order, without anything random, of which each process takes its share."""
    mine = range(rank, count, ranks)
    size = max(1, batch_size // ranks)
    return [Draw(tuple(mine[start : start + size])) for start in range(0, len(mine), size)]


class Batches:
    """Batches of images, made on the device that keeps them, or loaded by processes that live as long as this.

    Args:
        images: What batches are made of.
        device: Where the network trains. A GPU keeps small data sets as uint8, and no image crosses to it again.
        workers: Processes beside this one, where images are loaded.
    """

    def __init__(self, images: Prepared, device: torch.device, workers: int = 0) -> None:
        self.images = images
        self.resident = device.type == "cuda" and images.settle(device)
        self._draws: list[Draw] = []
        self._loader: Loader | None = None
        self._options = {"num_workers": workers, "pin_memory": device.type == "cuda", "persistent_workers": workers > 0}

    def of(self, draws: list[Draw]) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of some draws, in their order."""
        if self.resident:
            return (self.images[draw] for draw in draws)
        self._draws[:] = draws  # the loader reads them at the beginning of each pass
        if self._loader is None:
            self._loader = DataLoader(
                self.images,
                sampler=self._draws,  # each draw is a whole batch
                batch_size=None,
                generator=torch.Generator(),  # else the loader would take a number from torch's own
                **self._options,  # type: ignore[arg-type]
            )
        return iter(self._loader)
