"""Faults: memory that runs out, a device-side assert, GPUs that are hidden."""

from __future__ import annotations

import math

import torch

from benchmarks.gpu.command import at_once, resnext_dsl
from benchmarks.gpu.device import breaks_context, first_line, with_smaller_batch
from benchmarks.gpu.evaluators import provoke_assert
from benchmarks.gpu.networks import images, load, tiny_spec
from benchmarks.gpu.run import Run
from benchmarks.gpu.truth.training import Step, labels

ALLOWED = 2 * 2**30
"""Bytes that the part `out of memory` lets its own process have of the card's memory."""
TIMES_CARD = 3
"""The batch that does not fit would need so many times the card's memory."""


def out_of_memory(run: Run) -> None:
    """A training step that does not fit is tried with smaller batches; the command `bench` says one clear line."""
    network = load(run, "resnext50_32x4d")
    model = network.compile(seed=0).to(run.device)
    first = run.size(512, 8)
    whole = torch.cuda.get_device_properties(run.device).total_memory if run.cuda else 0
    if run.cuda:
        torch.cuda.set_per_process_memory_fraction(min(1.0, ALLOWED / whole), run.device)

    def attempt(batch: int) -> float:
        if not run.cuda and batch > 2:
            raise torch.OutOfMemoryError("raised by hand: a CPU has no such limit")
        step = Step(run.device, model, None, images(network, batch).to(run.device), labels(batch, run.device))
        return float(step())

    said: list[str] = []
    batch, loss = with_smaller_batch(run.device, first, attempt, said.append)
    figure = f"limit {ALLOWED / 2**30:g} GiB: {'; '.join(said)}; batch {batch} fits"
    run.check("a smaller batch is tried", bool(said) and math.isfinite(loss), figure, gpu_only=True)
    with run.item("bench with a batch that does not fit"):
        if not run.cuda:
            run.left_out("bench with a batch that does not fit", "no GPU; it would take the memory of this machine")
            return
        large = TIMES_CARD * whole // network.memory(batch=1).saved_activations
        words = ["bench", network.name, "--device", "cuda", "--mode", "train", "--batch", str(large), "--rounds", "1"]
        outcome = resnext_dsl(run, *words)
        clear = (
            outcome.status not in (None, 0) and "Traceback" not in outcome.errors and "memory" in outcome.errors.lower()
        )
        run.check("bench with a batch that does not fit", clear, outcome.said())


def device_assert(run: Run) -> None:
    """A device-side assert is seen, and later calls of its process fail: this part has a process of its own."""
    what = "a device-side assert is told from other errors"
    if not run.cuda:
        problem: BaseException = RuntimeError("CUDA error: device-side assert triggered")
        run.check(what, breaks_context(problem), first_line(problem), gpu_only=True)
        return
    try:
        provoke_assert(run.device)
    except Exception as caught:  # of a type that differs between versions of torch
        problem = caught
    else:
        problem = RuntimeError("nothing was raised")
    run.check(what, breaks_context(problem), first_line(problem))
    try:
        torch.ones(1, device=run.device).item()
    except Exception as caught:  # as above
        run.check("its process can use the GPU no more", breaks_context(caught), first_line(caught))
        return
    run.check("its process can use the GPU no more", False, "a later call succeeded")


def visible_devices(run: Run) -> None:
    """Commands that ask for a GPU where none is visible end with one clear line."""
    spec = tiny_spec(run, "latency(cuda, 1) <= 1s")
    asked = {
        "train": ["train", "resnet18", "--accelerator", "cuda", "-o", str(run.folder / "hidden")],
        "bench": ["bench", "resnet18", "--device", "cuda"],
        "check --measure": ["check", str(spec), "--measure"],
    }
    if run.dry:
        asked = {"check --measure": asked["check --measure"]}
    for visible, title in (("", "empty"), ("99", "wrong"))[: run.size(2, 1)]:
        for command, outcome in at_once(run, asked, {"CUDA_VISIBLE_DEVICES": visible}).items():
            figure = f"exit status {outcome.status}: {outcome.said()}"
            run.check(f"CUDA_VISIBLE_DEVICES {title}: {command}", outcome.plain(), figure)
