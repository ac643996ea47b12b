"""Whole networks: inference and training steps in bf16, ours beside a peer, in interleaved rounds.

Every case has its variants in one process and in turn; ratios are over the time of the peer in eager mode with
cudnn.benchmark, round by round. Inference has weights in bfloat16; a training step is autocast with weights in float32
and SGD with momentum.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.device import release, with_smaller_batch
from benchmarks.gpu.networks import State, images, load, settled
from benchmarks.gpu.run import Run
from benchmarks.gpu.tax.layers import LAYOUTS, NETWORKS
from benchmarks.gpu.tax.peers import Peer, peer
from benchmarks.gpu.timing import Spread, Step, interleaved, ratios, spread
from benchmarks.gpu.truth.layouts import layout_of
from benchmarks.gpu.truth.training import Step as TrainingStep
from benchmarks.gpu.truth.training import labels

BATCHES = {"inference": 256, "train": 128}
ROUNDS = 7


@dataclass(frozen=True, slots=True)
class Case:
    """The facts that the variants of one table row share.

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
class Subject:
    """A network that is timed.

    Attributes:
        network: Ours.
        state: Its weights, with measured statistics.
        peer: What it is timed beside.
    """

    network: Any
    state: State
    peer: Peer


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


def cases(run: Run, name: str, single: bool) -> list[Case]:
    """The cases of a network: a training step and an inference of a large batch, then both of batch 1.

    Args:
        run: A dry run has small batches.
        name: The network.
        single: Whether batch 1 is wanted, too.
    """
    large = [Case(name, mode, run.size(BATCHES[mode], 2)) for mode in ("train", "inference")]
    return [*large, *(Case(name, case.mode, 1) for case in large if single and not run.dry)]


def eager(run: Run) -> None:
    """All networks in eager mode: the peer in both layouts, and ours."""
    _all(run, EAGER, single=True, needed=3.0)


def compiled(run: Run) -> None:
    """torch.compile, and with force_layout_optimization; ours too."""
    _all(run, (BASE, *COMPILED), single=False, needed=20.0)


def autotuned(run: Run) -> None:
    """torch.compile with max-autotune, as far as there is time."""
    if run.dry:
        run.left_out("max-autotune", "a dry run compiles in the part `compiled` only")
        return
    _all(run, (BASE, Variant(False, "channels_last", AUTOTUNED)), single=False, needed=60.0)


def _all(run: Run, variants: tuple[Variant, ...], single: bool, needed: float) -> None:
    """Every network, the grouped ones first.

    Args:
        run: The run.
        variants: Those of each case.
        single: Whether batch 1 is wanted, too.
        needed: Seconds that must be left for a case.
    """
    if not run.bf16:
        run.left_out("networks in bfloat16", "this card is older than sm_80")
        return
    torch.backends.cudnn.benchmark = True
    compiling = any(variant.options is not None for variant in variants)
    for name in NETWORKS[: run.size(len(NETWORKS), 1)]:
        if not run.time_for(name, needed):
            continue
        with run.item(name):
            network = load(run, name)
            state = settled(network, run.device)
            subject = Subject(network, state, peer(network, state))
            wanted = cases(run, network.name, single)
            for case in wanted[1:] if run.dry and compiling else wanted:  # compiling a training step takes a minute
                if run.time_for(case.text(), needed):
                    with run.item(case.text()):
                        _case(run, subject, case, variants)
                torch.compiler.reset()
                release(run.device)


def _case(run: Run, subject: Subject, case: Case, variants: tuple[Variant, ...]) -> None:
    network, theirs = subject.network, subject.peer
    failures: dict[Variant, str] = {}

    def attempt(batch: int) -> tuple[dict[str, list[float]], dict[str, str]]:
        noise = images(network, batch)
        steps, found = {}, {}
        for variant in variants:
            if variant in failures:
                continue
            step, layout = _ready(run, subject, case.mode, variant, noise)
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


def _ready(run: Run, subject: Subject, mode: str, variant: Variant, noise: torch.Tensor) -> tuple[Step, str]:
    """A step of a variant, and the layout of its module."""
    training = mode == "train"
    dtype = None if training else torch.bfloat16
    if variant.ours:
        model = subject.network.compile(mode=mode, weights=subject.state, device=run.device, dtype=dtype)
    else:
        model = subject.peer.make().train(training).to(run.device, dtype=dtype)
    if variant.layout:
        model = model.to(memory_format=LAYOUTS[variant.layout])
    layout = layout_of(model)
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    x = noise.to(run.device, dtype).contiguous(memory_format=memory)
    if variant.options is not None:
        model.compile(options=dict(variant.options) or None)
    if training:
        return TrainingStep(run.device, model, torch.bfloat16, x, labels(len(x), run.device)), layout

    def infer() -> object:
        with torch.inference_mode():
            return model(x)

    return infer, layout
