"""Seeds reach one device; the generators of all others keep their state."""

from __future__ import annotations

import pytest
import torch

from resnext_dsl.devices.seeds import seeded


class Generators:
    """The part of `torch.cuda` that seeds, for GPUs whose generators live on the CPU."""

    def __init__(self, count: int, current: int) -> None:
        self.default_generators = tuple(torch.Generator().manual_seed(index) for index in range(count))
        self._current = current

    def current_device(self) -> int:
        return self._current

    def device_count(self) -> int:
        return len(self.default_generators)

    def get_rng_state(self, device: object) -> torch.Tensor:
        return self.default_generators[torch.device("cuda", device).index].get_state()

    def set_rng_state(self, state: torch.Tensor, device: object) -> None:
        self.default_generators[torch.device("cuda", device).index].set_state(state)

    def states(self) -> list[bytes]:
        return [generator.get_state().numpy().tobytes() for generator in self.default_generators]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Generators:
    fake = Generators(3, current=2)
    monkeypatch.setattr(torch, "get_device_module", lambda device=None: fake)
    monkeypatch.setattr(torch.cuda, "default_generators", fake.default_generators)
    return fake


@pytest.mark.parametrize(("device", "reached"), [("cuda:1", 1), ("cuda", 2)])
def test_a_seed_reaches_one_gpu_and_the_cpu(gpus: Generators, device: str, reached: int) -> None:
    before, on_cpu = gpus.states(), torch.get_rng_state()
    with seeded(7, device):
        within = gpus.states()
        assert gpus.default_generators[reached].initial_seed() == 7
        drawn = torch.rand(3)
    assert [old != new for old, new in zip(before, within, strict=True)] == [index == reached for index in range(3)]
    assert gpus.states() == before
    assert torch.equal(torch.get_rng_state(), on_cpu)
    assert torch.equal(drawn, torch.rand(3, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_seed_of_the_cpu_calls_no_other_device(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def called(*arguments: object, **options: object) -> None:
        raise AssertionError("CUDA is called")

    for name in ("manual_seed", "manual_seed_all", "_lazy_init", "_lazy_call", "get_rng_state", "set_rng_state"):
        monkeypatch.setattr(torch.cuda, name, called)
    before = torch.get_rng_state()
    with seeded(7, device):
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
    assert torch.equal(torch.get_rng_state(), before)
