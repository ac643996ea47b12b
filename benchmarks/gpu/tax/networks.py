"""Whole networks: inference and training steps in bf16, ours beside a peer, in interleaved rounds.

Every case has its variants in one process and in turn; ratios are over the time of the peer in eager mode with
cudnn.benchmark, round by round. Inference has weights in bfloat16; a training step is autocast with weights in float32
and SGD with momentum.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from benchmarks.gpu.device import release, with_smaller_batch
from benchmarks.gpu.networks import State, images, load, settled, tiny
from benchmarks.gpu.run import Run
from benchmarks.gpu.tax.layers import LAYOUTS, NETWORKS
from benchmarks.gpu.tax.peers import peer
from benchmarks.gpu.timing import Spread, Step, interleaved, ratios, spread
from benchmarks.gpu.truth.layouts import layout_of
from benchmarks.gpu.truth.training import Step as TrainingStep
from benchmarks.gpu.truth.training import labels

BATCHES = {"inference": 256, "train": 128}
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Case:
    """What the variants of one table row have in common.

    Attributes:
        name: The network.
        mode: "inference" or "train".
        batch: Samples.
    """

    name: str
    mode: str
    batch: int

    def text(self) -> str:
        """As it is printed."""
        return f"{self.name}, {self.mode}, batch {self.batch}"


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run a network.

    Attributes:
        ours: Whether it is our compiled module, or the peer.
        layout: A key of `LAYOUTS`; "" for the layout that `compile` gives.
        options: Of torch.compile; None for eager mode.
    """

    ours: bool
    layout: str = ""
    options: tuple[tuple[str, Any], ...] | None = None

    def text(self) -> str:
        """As it is printed: `ours, torch.compile`."""
        how = "" if self.options is None else " ".join([", torch.compile", *(name for name, _ in self.options)])
        return f"{'ours' if self.ours else 'peer'}{', ' if self.layout else ''}{self.layout}{how}"


EAGER = (Variant(False, "channels_last"), Variant(False, "contiguous"), Variant(True))
BASE = EAGER[0]
FORCED = (("force_layout_optimization", True),)
AUTOTUNED = (("max_autotune", True),)
COMPILED = (Variant(False, "channels_last", ()), Variant(False, "contiguous", FORCED), Variant(True, "", ()))


def cases(run: Run, single: bool = True) -> Iterator[Case]:
    """The cases, those that matter most first: large batches of every network, then batch 1.

    Args:
        run: A dry run has a tiny network in both modes, or in inference only.
        single: Whether batch 1 is wanted, too.
    """
    if run.dry:
        yield from [Case("tiny", "inference", 1), Case("tiny", "train", 2)][: 2 if single else 1]
        return
    for mode in ("train", "inference"):
        for name in NETWORKS:
            yield Case(name, mode, BATCHES[mode])
    for mode in ("inference", "train") if single else ():
        for name in NETWORKS:
            yield Case(name, mode, 1)


def eager(run: Run) -> None:
    """All networks in eager mode: the peer in both layouts, and ours."""
    _all(run, cases(run), EAGER, needed=3.0)


def compiled(run: Run) -> None:
    """torch.compile, and with force_layout_optimization; ours too."""
    _all(run, cases(run, single=False), (BASE, *COMPILED), needed=20.0)


def autotuned(run: Run) -> None:
    """torch.compile with max-autotune, as far as there is time."""
    if run.dry:
        run.left_out("max-autotune", "a dry run compiles in the part `compiled` only")
        return
    _all(run, cases(run, single=False), (BASE, Variant(False, "channels_last", AUTOTUNED)), needed=60.0)


def _all(run: Run, wanted: Iterator[Case], variants: tuple[Variant, ...], needed: float) -> None:
    if not run.bf16:
        run.left_out("networks in bfloat16", "this card is older than sm_80")
        return
    torch.backends.cudnn.benchmark = True
    for case in wanted:
        if run.time_for(case.text(), needed):
            with run.item(case.text()):
                _case(run, case, variants)
        torch.compiler.reset()
        release(run.device)


def _case(run: Run, case: Case, variants: tuple[Variant, ...]) -> None:
    network = tiny(run) if case.name == "tiny" else load(run, case.name)
    state = settled(network, run.device)
    theirs = peer(network, case.mode, state)
    failures: dict[Variant, str] = {}

    def attempt(batch: int) -> tuple[dict[str, list[float]], dict[str, str]]:
        noise = images(network, batch)
        steps, found = {}, {}
        for variant in variants:
            if variant in failures:
                continue
            step, layout = _ready(run, network, state, case.mode, theirs.make, variant, noise)
            try:
                step()
            except torch.OutOfMemoryError:
                raise
            except Exception as problem:  # the compiler of one variant must not cost the others
                failures[variant] = f"{type(problem).__name__}: {str(problem).splitlines()[0][:150]}"
                continue
            steps[variant.text()], found[variant.text()] = step, layout
        seconds = 0.1 if run.cuda else 0.0
        return interleaved(steps, run.device, run.size(ROUNDS, 2), seconds, min(run.ends, time.monotonic() + 10)), found

    def smaller(said: str) -> None:
        run.left_out(f"{case.text()}, first size", said)

    batch, (taken, layouts) = with_smaller_batch(run.device, case.batch, attempt, smaller)
    for variant, reason in failures.items():
        run.left_out(f"{case.text()}, {variant.text()}", reason)
    if BASE.text() not in taken:
        return
    compared = ratios(taken)
    for name, times in taken.items():
        run.measured(
            case.text(),
            table="networks",
            network=case.name,
            mode=case.mode,
            batch=batch,
            variant=name,
            peer=theirs.library,
            layout=layouts[name],
            seconds=spread(times)._asdict(),
            rounds=times,
            ratio=compared[name]._asdict(),
        )
    run.check(f"{case.text()}", True, _figure(taken, compared, theirs.library), gpu_only=True)


def _figure(taken: dict[str, list[float]], compared: dict[str, Spread], library: str) -> str:
    base = spread(taken[BASE.text()]).median
    others = [f"{name} {compared[name].text()}" for name in taken if name != BASE.text()]
    return f"{BASE.text()} of {library} {1000 * base:.2f} ms; ratios: {', '.join(others)}"


def _ready(
    run: Run,
    network: Any,
    state: State,
    mode: str,
    make: Callable[[], nn.Module],
    variant: Variant,
    noise: torch.Tensor,
) -> tuple[Step, str]:
    """A step of a variant, and the layout of its module."""
    training = mode == "train"
    dtype = None if training else torch.bfloat16
    if variant.ours:
        model = network.compile(mode=mode, weights=state, device=run.device, dtype=dtype)
    else:
        model = make().to(run.device, dtype=dtype)
    if variant.layout:
        model = model.to(memory_format=LAYOUTS[variant.layout])
    layout = layout_of(model)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    x = noise.to(run.device, dtype).contiguous(memory_format=memory)
    if variant.options is not None:
        model.compile(options=dict(variant.options) or None)
    if training:
        return TrainingStep(run.device, model, torch.bfloat16, x, labels(len(x), run.device)), layout
    model.eval()

    def infer() -> object:
        with torch.inference_mode():
            return model(x)

    return infer, layout
