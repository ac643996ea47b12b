"""`resnext-dsl bench`: how fast a network runs, beside others, as ratios."""

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
    """What is timed: a forward pass, or a step of training."""

    INFERENCE = "inference"
    TRAIN = "train"


def bench(
    spec: answers.Spec,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="WHAT",
            help="`torchvision` or `timm`: its network of this name; or another SPEC. Repeatable.",
        ),
    ] = None,
    backend: Annotated[
        list[str] | None,
        typer.Option(
            "--backend",
            metavar="NAME",
            help="eager (default), compile, compile-graphs, aoti, onnxruntime, openvino; `all` that can. Repeatable.",
        ),
    ] = None,
    form: Annotated[
        list[export.Form] | None, typer.Option("--form", help="A spelling of splits; `fastest`. Repeatable.")
    ] = None,
    mode: Annotated[Mode, typer.Option("--mode", help="A forward pass, or a whole step of training.")] = Mode.INFERENCE,
    device: Annotated[str, typer.Option("--device", metavar="DEVICE", help="cpu, cuda or cuda:N.")] = "cpu",
    dtype: Annotated[str, typer.Option("--dtype", metavar="TYPE", help="float32, bfloat16 or float16.")] = "float32",
    batch: Annotated[int, typer.Option("--batch", min=1, max=100_000, help="Samples.")] = 1,
    threads: Annotated[
        int, typer.Option("--threads", min=0, max=1024, help="Within an operator; 0: as many as torch takes.")
    ] = 0,
    layout: Annotated[
        str,
        typer.Option("--layout", metavar="LAYOUT", help="Of all networks: auto, contiguous, channels_last, or both."),
    ] = "auto",
    rounds: Annotated[int, typer.Option("--rounds", min=1, max=10_000, help="Turns of each variant.")] = 10,
    seconds: Annotated[float, typer.Option("--seconds", min=0.01, max=600, help="How long a turn lasts.")] = 0.5,
    settings: answers.Set = None,
    shape: answers.Input = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Time a network beside others: latency, throughput and peak memory, as ratios in interleaved rounds.

    Each variant runs in a process of its own, and stands still while another has its turn. Exported files are read
    back and compared before they are timed.

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
    """A progress bar on standard error, if that is a terminal; it is gone when all is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}", markup=False))
    shown = Progress(*columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty())
    with shown:
        task = shown.add_task("", total=None)
        yield lambda what, done, steps: shown.update(task, description=what, completed=done, total=steps)
