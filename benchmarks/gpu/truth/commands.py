"""The commands of the package on the GPU: train, bench, check with a latency, export."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import torch

import resnext_dsl as rx
from benchmarks.gpu.command import at_once, resnext_dsl, synchronizations
from benchmarks.gpu.environment import installed
from benchmarks.gpu.networks import images, tiny_spec
from benchmarks.gpu.run import Run
from benchmarks.gpu.timing import calls_for, seconds_of

SUBJECT = "resnext50_32x4d"
SHOWN = 3
"""How many places that wait for the GPU a line names."""
TIMES_APART = 1.5


def digits(run: Run) -> None:
    """Two epochs of handwritten digits, and the places of the code that wait for the GPU meanwhile."""
    if not _can_train(run, "the digits recipe"):
        return
    counts = run.folder / "synchronizations.json"
    epochs = run.size(2, 1)
    out = str(run.folder / "digits")
    with run.item("the digits recipe"):
        given = _train(run, "32-true", out, epochs)
        answer = resnext_dsl(run, *given, syncs=counts).answer()
        losses = [epoch["train_loss"] for epoch in answer["epochs"]]
        seconds = statistics.median(epoch["seconds"] for epoch in answer["epochs"])
        right = all(map(math.isfinite, losses)) and losses[-1] <= losses[0]
        figure = f"{answer['device']}, loss {losses[0]:.3f} -> {losses[-1]:.3f}, {seconds:.1f} s an epoch"
        run.check("the digits recipe", right and _on_device(run, answer), figure)
        places = synchronizations(counts)
        run.measured("synchronizations of digits", places=places, epochs=epochs)
        named = "; ".join(f"{count} at {place}" for place, count in list(places.items())[:SHOWN])
        # 22 steps an epoch: what waits at each step is seen at once
        figure = f"{sum(places.values())} in {epochs} epochs of 22 steps" + (f": {named}" if named else "")
        run.check("waits for the GPU", True, figure, gpu_only=True)


def mixed(run: Run) -> None:
    """Mixed precision: the runs of all precisions side by side, killed after an epoch and resumed."""
    asked: dict[str, list[str]] = {}
    epochs = run.size(4, 2)
    for precision in ("16-mixed", "bf16-mixed")[run.size(0, 1) :]:
        what = f"{precision} with resume"
        if precision.startswith("bf16") and not run.bf16:
            run.left_out(what, "this card is older than sm_80")
        elif _can_train(run, what):
            asked[what] = _train(run, precision, str(run.folder / precision), epochs)
    if not asked or not run.time_for("mixed precision", 4.0):
        return
    killed = at_once(run, asked, until=f"epoch {epochs // 2}/")
    resumed = at_once(run, {what: [*words, "--resume"] for what, words in asked.items()})
    for what in asked:
        with run.item(what):
            answer = resumed[what].answer()
            losses = [epoch["train_loss"] for epoch in answer["epochs"]]
            right = len(losses) == epochs and all(map(math.isfinite, losses)) and _on_device(run, answer)
            stopped = "killed" if killed[what].status is None else "it had ended"
            figure = f"{answer['device']}, loss {losses[0]:.3f} -> {losses[-1]:.3f}, {stopped} in epoch {epochs // 2}"
            run.check(what, right, figure)


def _train(run: Run, precision: str, out: str, epochs: int) -> list[str]:
    spec = str(tiny_spec(run))
    machine = ["--accelerator", run.device.type, "--precision", precision]
    return ["train", spec, "--recipe", "digits", "--epochs", str(epochs), *machine, "-o", out, "--json"]


def _can_train(run: Run, what: str) -> bool:
    for package, name in {"lightning_fabric": "lightning-fabric", "sklearn": "scikit-learn"}.items():
        if not installed(package):
            run.left_out(what, f"{name} is not installed")
            return False
    return True


def _on_device(run: Run, answer: dict[str, Any]) -> bool:
    """Whether a training ran on the device that was asked for."""
    return str(answer["device"]).startswith(run.device.type)


def bench(run: Run) -> None:
    """`bench` in eager mode against torchvision."""
    _bench(run, "eager", needed=3.0)


def bench_compiled(run: Run) -> None:
    """`bench` on the backends that compile, one after the other."""
    if run.dry:
        run.left_out("bench on compile and aoti", "a dry run compiles in the part `compile` only")
        return
    for backend in ("compile", "aoti"):
        _bench(run, backend, needed=20.0)


def _bench(run: Run, backend: str, needed: float) -> None:
    against = "torchvision" if installed("torchvision") else "resnet50"
    against = str(tiny_spec(run)) if run.dry else against
    what = f"bench on {backend} against {Path(against).stem}"
    if not run.time_for(what, needed):
        return
    with run.item(what):
        spec = str(tiny_spec(run)) if run.dry else SUBJECT
        answer = resnext_dsl(
            run,
            *("bench", spec, "--against", against, "--backend", backend, "--device", run.device.type),
            *("--batch", str(run.size(32, 1)), "--rounds", str(run.size(5, 1))),
            *("--seconds", str(run.size(20, 1) / 100), "--json"),
        ).answer()
        for left in answer["left_out"]:
            run.left_out(what, str(left)[:200])
        run.measured(what, answer=answer)
        rows = [row for row in answer["variants"] if row["ratio"] is not None]
        run.check(what, len(rows) == 2, ", ".join(map(_row_text, rows)))


def _row_text(row: dict[str, Any]) -> str:
    milliseconds, ratio = 1000 * row["latency"]["median"], row["ratio"]["median"]
    return f"{row['name']} of {row['library']} {milliseconds:.2f} ms, ratio {ratio:.3f}"


def latency(run: Run) -> None:
    """`check --measure` of a latency on the device, against events of this process."""
    with run.item("check --measure"):
        spec = str(tiny_spec(run))
        answer = resnext_dsl(run, "check", spec, "--measure", "--json").answer()
        measured = next(line["measured"] for line in answer["budgets"] if line["measure"] == "latency")
        network = rx.load(spec)
        model = network.compile(mode="inference", seed=0, device=run.device)
        noise = images(network, 1).to(run.device)
        with torch.inference_mode():
            calls = calls_for(lambda: model(noise), run.device, 0.3)
            ours = statistics.median(seconds_of(lambda: model(noise), run.device) for _ in range(calls))
        ratio = measured["median"] / ours
        figure = f"{1e6 * measured['median']:.0f} us on {measured['device']}, {ratio:.2f} of ours (limit {TIMES_APART})"
        right = 1 / TIMES_APART <= ratio <= TIMES_APART or not run.cuda
        run.check("check --measure", right, figure, gpu_only=True)


def export(run: Run) -> None:
    """A package of AOTInductor for the device, read back and compared by the command."""
    with run.item("export --to aoti"):
        spec = str(tiny_spec(run)) if run.dry else SUBJECT
        where = ["--device", run.device.type] if run.cuda else []
        target = "aoti" if run.cuda else "pt2"  # for a CPU, the tests of the package compile one
        file = run.folder / "network.pt2"
        outcome = resnext_dsl(run, "export", spec, "--to", target, "-o", str(file), "--json", *where)
        if outcome.status == 0 and file.exists():
            size = file.stat().st_size / 1e6
            run.check("export --to aoti", True, f"{size:.1f} MB, read back and compared", gpu_only=True)
        else:
            run.check("export --to aoti", False, f"exit status {outcome.status}: {outcome.said()}")
