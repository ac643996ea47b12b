"""Whole networks: inference and training steps in bf16, ours beside a peer, in interleaved rounds.

Every case has its variants in one process and in turn; ratios are over the time of the peer in eager mode with
cudnn.benchmark, round by round. Inference has weights in bfloat16; a training step is autocast with weights in float32
and SGD with momentum.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.device import release, with_smaller_batch
from benchmarks.gpu.networks import State, images, load, settled
from benchmarks.gpu.run import TIME_OVER, Run
from benchmarks.gpu.tax.layers import DECISIVE, LAYOUTS, OTHERS
from benchmarks.gpu.tax.peers import Peer, peer
from benchmarks.gpu.timing import Spread, Step, interleaved, ratios, spread
from benchmarks.gpu.truth.layouts import layout_of
from benchmarks.gpu.truth.training import Step as TrainingStep
from benchmarks.gpu.truth.training import labels
from resnext_dsl.devices.memory_format import laid_out, training_layout

BATCHES = {"train": 128, "inference": 256}
ROUNDS = 7
TIMING = 8.0
"""Seconds that the rounds of a case take, and what is added to them."""


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
        layout: A key of `LAYOUTS`; "" for the layout that `compile` gives, in training for that of `train`.
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
COMPILED = (Variant(False, "channels_last", ()), Variant(True, "", ()), Variant(False, "contiguous", FORCED))
UNGROUPED = ("resnet50", "resnet101")


def cases(run: Run, names: Sequence[str], compiling: bool = False) -> list[Case]:
    """A training step and an inference of each network; those of two networks that are compared stand together.

    Args:
        run: A dry run has one network and small batches.
        names: The networks.
        compiling: Whether variants are compiled. A dry run then has no training step: it would take a minute.
    """
    if run.dry:
        return [Case("tiny", mode, 2) for mode in ("train", "inference")[1 if compiling else 0 :]]
    pairs = [names[place : place + 2] for place in range(0, len(names), 2)]
    return [Case(name, mode, BATCHES[mode]) for pair in pairs for mode in BATCHES for name in pair]


def eager(run: Run) -> None:
    """The decisive networks in eager mode: the peer in both layouts, and ours."""
    _all(run, cases(run, DECISIVE), EAGER, needed=3.0)


def compiled(run: Run) -> None:
    """The decisive networks with torch.compile, also with force_layout_optimization; ours too."""
    _all(run, cases(run, DECISIVE, compiling=True), (BASE, *COMPILED), needed=20.0)


def others(run: Run) -> None:
    """All other networks in eager mode."""
    _all(run, cases(run, OTHERS), EAGER, needed=3.0)


def single(run: Run) -> None:
    """One network at batch 1, where the host is slower than the device."""
    if run.dry:
        run.left_out("batch 1", "a dry run has small batches anyway")
        return
    _all(run, [Case(OTHERS[0], mode, 1) for mode in BATCHES], EAGER, needed=3.0)


def autotuned(run: Run) -> None:
    """torch.compile with max-autotune, as far as there is time."""
    if run.dry:
        run.left_out("max-autotune", "a dry run compiles in the part `compiled` only")
        return
    _all(run, cases(run, DECISIVE), (BASE, Variant(False, "channels_last", AUTOTUNED)), needed=60.0)


def variants_of(case: Case, variants: tuple[Variant, ...]) -> tuple[Variant, ...]:
    """The variants of a case; a network without groups is a denominator, so one compiled variant of it is enough."""
    if case.name not in UNGROUPED:
        return variants
    return tuple(variant for variant in variants if variant.options is None or variant == COMPILED[0])


def _all(run: Run, wanted: Sequence[Case], variants: tuple[Variant, ...], needed: float) -> None:
    """The cases, one after the other.

    Args:
        run: The run.
        wanted: The cases.
        variants: Those of each case.
        needed: Seconds that must be left for a case.
    """
    if not run.bf16:
        run.left_out("networks in bfloat16", "this card is older than sm_80")
        return
    torch.backends.cudnn.benchmark = True
    for case in wanted:
        if run.time_for(case.text(), needed):
            with run.item(case.text()):
                _case(run, _subject(run, case.name), case, variants_of(case, variants))
        torch.compiler.reset()
        release(run.device)


_SUBJECTS: dict[str, Subject] = {}


def _subject(run: Run, name: str) -> Subject:
    """The subject of a name; the parts of one process share it."""
    if name not in _SUBJECTS:
        network = load(run, name)
        state = settled(network, run.device)
        _SUBJECTS[name] = Subject(network, state, peer(network, state))
    return _SUBJECTS[name]


def _case(run: Run, subject: Subject, case: Case, variants: tuple[Variant, ...]) -> None:
    network, theirs = subject.network, subject.peer
    failures: dict[Variant, str] = {}

    def attempt(batch: int) -> tuple[dict[str, list[float]], dict[str, str]]:
        noise = images(network, batch)
        steps, found, slowest = {}, {}, 0.0
        for variant in variants:
            if variant in failures:
                continue
            if variant.options is not None and run.left() < 1.2 * slowest + TIMING:
                failures[variant] = TIME_OVER
                continue
            begun = time.monotonic()
            step, layout = _ready(run, subject, case.mode, variant, noise)
            try:
                step()
                slowest = max(slowest, time.monotonic() - begun)
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
        if training:  # as `train` lays it out
            model = laid_out(model, training_layout(model, run.device.type, "bfloat16"))
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
