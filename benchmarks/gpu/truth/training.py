"""Training steps on the GPU: autocast in bf16 and fp16, both layouts, gradient checkpointing."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from benchmarks.gpu.device import release, set_tf32
from benchmarks.gpu.networks import gradient, gradient_difference, images, load, loss_of, outputs
from benchmarks.gpu.run import Run

STEPS = 20
TYPES = {"float32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
LIMIT = 1e-4
RATE = 0.002
"""The learning rate of a step. With 0.02 losses of untrained networks rise to twice the first one, in float32 too."""


def autocast(run: Run) -> None:
    """Forward passes are finite, and the loss on labels that are noise falls over 20 steps."""
    for name in ("resnext50_32x4d", "resnet50")[: run.size(2, 1)]:
        network = load(run, name)
        for title, dtype in TYPES.items():
            for layout in ("contiguous", "channels_last"):
                what = f"{network.name}, {title} autocast, {layout}"
                if dtype == torch.bfloat16 and not run.bf16:
                    run.left_out(what, "this card is older than sm_80")
                elif run.time_for(what, 0.5):
                    with run.item(what):
                        _falls(run, network, dtype, layout, what)
                    release(run.device)


def _falls(run: Run, network: Any, dtype: torch.dtype | None, layout: str, what: str) -> None:
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    model = network.compile(seed=0).to(run.device, memory_format=memory)
    batch = run.size(32, 4)
    noise = images(network, batch).to(run.device).contiguous(memory_format=memory)
    step = Step(run.device, model, dtype, noise, labels(batch, run.device))
    losses = [step() for _ in range(STEPS)]
    first, last = float(losses[0]), float(torch.stack(losses[-3:]).mean())
    finite = bool(torch.isfinite(torch.stack(losses)).all())
    run.check(what, finite and last < first, f"loss {first:.3f} -> {last:.3f} in {STEPS} steps")


def labels(batch: int, device: torch.device) -> Tensor:
    """Labels of ten classes that have nothing to do with the images."""
    return torch.randint(10, (batch,), generator=torch.Generator().manual_seed(2)).to(device)


class Step:
    """A step of training: forward under autocast, cross entropy, backward, SGD with momentum.

    fp16 scales its loss (`torch.amp.GradScaler`), as gradients would vanish otherwise.
    """

    def __init__(
        self, device: torch.device, model: nn.Module, dtype: torch.dtype | None, batch: Tensor, targets: Tensor
    ) -> None:
        self.model, self.batch, self.targets = model.train(), batch, targets
        self._device, self._dtype = device, dtype
        # one kernel for all parameters, on a GPU
        fused = {"fused": True} if device.type == "cuda" else {}
        self.optimizer = torch.optim.SGD(model.parameters(), lr=RATE, momentum=0.9, **fused)
        self._scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)

    def __call__(self) -> Tensor:
        """Makes a step; gives its loss, which stays on the device."""
        casts = torch.autocast(self._device.type, self._dtype) if self._dtype is not None else nullcontext()
        with casts:
            scores = outputs(self.model(self.batch))
        loss = torch.stack([functional.cross_entropy(score.float(), self.targets) for score in scores]).sum()
        self.optimizer.zero_grad()
        self._scaler.scale(loss).backward()
        self._scaler.step(self.optimizer)
        self._scaler.update()
        return loss.detach()


def checkpointing(run: Run) -> None:
    """Gradient checkpointing of every stage gives the gradients of the plain module."""
    set_tf32(False)
    network = load(run, "resnext50_32x4d")
    noise = images(network, run.size(8, 2)).to(run.device)

    def gradients(checkpoints: bool) -> dict[str, Tensor]:
        model = network.compile(seed=0).to(run.device)
        if checkpoints:
            run.check("stages that are checkpointed", (count := checkpoint_stages(model)) > 0, str(count))
        loss_of(model(noise)).backward()
        return gradient(model)

    apart = gradient_difference(gradients(True), gradients(False))
    run.check("gradients with checkpoints", apart <= LIMIT, f"{apart:.1e} (limit {LIMIT:.0e})")


def checkpoint_stages(model: nn.Module) -> int:
    """Has every stage compute its values again in the backward pass, instead of keeping them; how many there are."""
    stages = [module for module in model.children() if isinstance(module, nn.Sequential) and len(module) > 0]
    for stage in stages:
        forward = stage.forward
        stage.forward = lambda x, forward=forward: checkpoint(forward, x, use_reentrant=False)
    return len(stages)
