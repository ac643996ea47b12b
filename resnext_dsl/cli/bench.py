"""`resnext-dsl bench`: times a network beside others, as ratios."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers, export

if TYPE_CHECKING:
    from resnext_dsl.bench.rounds import Progress


class Mode(StrEnum):
    """The modes: a forward pass, or a step of training."""

    INFERENCE = "inference"
    TRAIN = "train"


def bench(
    spec: answers.Spec,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="WHAT",
            help="Peer: `torchvision` or `timm` for its network of this name, or another SPEC; repeatable.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="Backend: eager (default), compile, compile-graphs, aoti, onnxruntime, openvino, or all; repeatable.",
        ),
    ] = None,
    form: Annotated[
        list[export.Form] | None, typer.Option("--form", help="Spelling of splits; repeatable.  [default: fastest]")
    ] = None,
    mode: Annotated[Mode, typer.Option("--mode", help="Forward pass, or training step.")] = Mode.INFERENCE,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="Device: cpu, cuda or cuda:N.")] = "cpu",
    dtype: Annotated[
        str, typer.Option("--dtype", metavar="TYPE", help="Type of weights and inputs: float32, bfloat16 or float16.")
    ] = "float32",
    batch: Annotated[int, typer.Option("--batch", min=1, max=100_000, help="Samples of a run.")] = 1,
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=1024, help="Threads within an operator; 0 for torch's default.")
    ] = 0,
    layout: Annotated[
        str,
        typer.Option(
            "--layout",
            metavar="LAYOUT",
            help="Memory format of all networks: auto, contiguous, channels_last, or both.",
        ),
    ] = "auto",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=10_000, help="Turns of each variant.")] = 10,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, max=600, help="Seconds of a turn.")] = 0.5,
    settings: answers.Set = None,
    shape: answers.Input = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Time a network beside others: latency, throughput and peak memory, as ratios in interleaved rounds.

    Each variant runs in a process of its own, which is suspended while another variant has its turn. Exported files are
    read back and compared before they are timed.

    Example: resnext-dsl bench resnext50_32x4d --against torchvision --backend eager --backend openvino
    """
    from resnext_dsl.bench import bench as measured
    from resnext_dsl.bench.result_table import print_report
    from resnext_dsl.bench.variants import Conditions

    with answers.reported(), _watched() as progress:
        network = answers.at(answers.load(spec, settings, root), shape)
        report = measured(
            spec,
            against=against or (),
            backends=backend or ("eager",),
            forms=[one.value for one in form or [export.Form.FASTEST]],
            settings=answers.overrides(settings),
            root=root,
            shape=network.ir.nodes[0].shape if shape else None,
            conditions=Conditions(device, dtype, batch, mode.value, threads, layout),
            rounds=rounds,
            seconds=seconds,
            progress=progress,
        )
    if as_json:
        answers.print_json(report.to_json())
    else:
        print_report(report)


@contextmanager
def _watched() -> Iterator[Progress]:
    """Shows a progress bar on standard error, if it is a terminal, and removes it at the end."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with shown:
        task = shown.add_task("", total=None)
        yield lambda what, done, steps: shown.update(task, description=what, completed=done, total=steps)
