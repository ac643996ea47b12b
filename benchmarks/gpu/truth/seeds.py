"""Weights: seeds that are reproducible on the GPU, equal forms, checkpoints that are carried between devices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.gpu.device import set_tf32
from benchmarks.gpu.networks import difference, images, input_shape, load, loss_of, settled
from benchmarks.gpu.run import Run

FORMS = ("written", "a", "b", "c", "fastest")
LIMIT = 1e-4
STEPS = 5


def seeds(run: Run) -> None:
    """One seed is one network, on the GPU and on the CPU, and torch's generators are left alone."""
    network = load(run, "resnext50_32x4d")
    before = _generators(run)
    first, again = (network.compile(seed=0, device=run.device) for _ in range(2))
    untouched = all(torch.equal(a, b) for a, b in zip(before, _generators(run), strict=True))
    run.check("one seed gives one network on the device", _equal(first, again))
    run.check("another seed gives another", not _equal(first, network.compile(seed=1, device=run.device)))
    run.check("torch's generators are left as they were", untouched, gpu_only=True)
    on_cpu = network.compile(seed=0)
    run.check("the seed gives the same network on the CPU", _equal(first, on_cpu), gpu_only=True)
    with run.item("two runs of training from one seed"):
        torch.backends.cudnn.deterministic = True
        losses = [_losses(run, network) for _ in range(2)]
        apart = max(abs(a - b) for a, b in zip(*losses, strict=True))
        figure = f"losses of {STEPS} steps differ by {apart:.1e}, cudnn.deterministic on"
        run.check("two runs of training from one seed", apart <= 1e-3, figure)


def forms(run: Run) -> None:
    """Forms a, b and c of one network are one function on the device."""
    set_tf32(False)
    network = load(run, "resnext50_32x4d_a")
    state = settled(network, run.device)
    noise = images(network, 2).to(run.device)
    with torch.no_grad():
        expected = network.compile(form="c", mode="inference", weights=state, device=run.device)(noise)
        for form in FORMS:
            with run.item(f"form {form}"):
                model = network.compile(form=form, mode="inference", weights=state, device=run.device)
                apart = difference(model(noise), expected)
                run.check(f"form {form} is form c", apart <= LIMIT, f"{apart:.1e} (limit {LIMIT:.0e})")


def weights(run: Run) -> None:
    """A checkpoint saved on the device loads there and on the CPU, as a file and as a state_dict."""
    set_tf32(False)
    network = load(run, "resnext50_32x4d")
    trained = network.compile(seed=3).to(run.device).eval()
    noise = images(network, 2)
    file = run.folder / "checkpoint.pt"
    torch.save(trained.state_dict(), file)
    with torch.no_grad():
        expected = trained(noise.to(run.device))
        for source, given in {"file": file, "state_dict": trained.state_dict()}.items():
            for device in (torch.device("cpu"), run.device):
                what = f"a {source} of the device, loaded on {device.type}"
                with run.item(what):
                    model = network.compile(weights=given, device=device).eval()
                    apart = difference(model(noise.to(device)), expected)
                    run.check(what, apart <= LIMIT, f"{apart:.1e} (limit {LIMIT:.0e})")


def _equal(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a.cpu(), b.cpu()) for a, b in pairs)


def _generators(run: Run) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return [*states, torch.cuda.get_rng_state(run.device)] if run.cuda else states


def _losses(run: Run, network: Any) -> list[float]:
    """The losses of some steps from seed 0."""
    model = network.compile(seed=0).to(run.device)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    batch = images(network, run.size(16, 2)).reshape(-1, *input_shape(network)).to(run.device)
    losses = []
    for _ in range(STEPS):
        loss = loss_of(model(batch))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses
