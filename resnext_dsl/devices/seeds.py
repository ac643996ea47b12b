"""Seeds of torch's generators that reach one device alone; afterwards the generators are as they were."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Seeds the generator of the CPU and that of a device, and restores both.

    `torch.manual_seed` reseeds every GPU of the process, and `torch.random.fork_rng` restores only those that it is
    told: the random numbers of other GPUs would change. On the CPU and on "meta" nothing here calls CUDA.
    """
    place = torch.device(device)
    if place.type in ("cpu", "meta"):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            yield
        return
    backend = torch.get_device_module(place)
    index = backend.current_device() if place.index is None else place.index
    with torch.random.fork_rng(devices=[index], device_type=place.type):
        torch.default_generator.manual_seed(seed)
        if place.type == "cuda":
            torch.cuda.default_generators[index].manual_seed(seed)  # `fork_rng` has initialised CUDA
        else:
            backend.manual_seed(seed)
        yield
