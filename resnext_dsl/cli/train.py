"""`resnext-dsl train`: trains a network, measures it, and saves the run."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from resnext_dsl.cli import answers
from resnext_dsl.cli import checkpoint_options as loading
from resnext_dsl.train.recipes import RECIPES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from resnext_dsl.networks.network import Network
    from resnext_dsl.train.datasets.image_set import ImageSet
    from resnext_dsl.train.loop import Epoch
    from resnext_dsl.train.recipes import Recipe
    from resnext_dsl.train.run import Job, Result, Watch

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells."""


def _with_default(text: str, choice: str) -> str:
    """The help of an option of the recipe, with its value in each recipe."""
    values = {name: _shown(getattr(recipe, choice)) for name, recipe in RECIPES.items()}
    if len(set(values.values())) == 1:
        return f"{text}  [default: {next(iter(values.values()))}]"
    return f"{text}  [default: {'; '.join(f'{name}: {value}' for name, value in values.items())}]"


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def train(
    spec: answers.Spec,
    settings: answers.Set = None,
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe", help="Recipe: digits, resnext-cifar or resnext-imagenet; the options below change it."
        ),
    ] = "digits",
    data: Annotated[
        str | None,
        typer.Option("--data", help=_with_default("Data set: digits, cifar10, cifar100 or folder.", "data")),
    ] = None,
    data_dir: Annotated[
        str | None, typer.Option("--data-dir", metavar="DIR", help="Folder of the data set; digits need none.")
    ] = None,
    holdout: Annotated[
        float | None,
        typer.Option(
            "--holdout", help=_with_default("Share of the training images that replaces the test images.", "holdout")
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option("--weights", metavar="FILE", help="Checkpoint to start from: ours, torchvision's or timm's."),
    ] = None,
    ema: loading.Ema = None,
    pairs: loading.Map = None,
    map_file: loading.MapFile = None,
    strict: loading.Strict = False,
    adapt_input: loading.AdaptInput = False,
    reference: loading.Reference = None,
    out: Annotated[
        str | None,
        typer.Option("-o", "--output", "--out", metavar="DIR", help="Folder to write: the run.  [default: runs/NAME]"),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in the folder.")] = False,
    test_only: Annotated[bool, typer.Option("--test-only", help="Measure the weights; train nothing.")] = False,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help=_with_default("Passes over the training images.", "epochs"))
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", help=_with_default("Images of one step, on all devices together.", "batch_size")),
    ] = None,
    lr: Annotated[
        float | None, typer.Option("--lr", help=_with_default("Learning rate before the first decay.", "lr"))
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(
            "--schedule", help=_with_default("Schedule of the learning rate: step, cosine or constant.", "schedule")
        ),
    ] = None,
    milestones: Annotated[
        str | None,
        typer.Option(
            "--milestones",
            metavar="E,E...",
            help=_with_default("Epochs at which `step` decays: 150,225.", "milestones"),
        ),
    ] = None,
    gamma: Annotated[
        float | None, typer.Option("--gamma", help=_with_default("Factor of the rate at each milestone.", "gamma"))
    ] = None,
    warmup: Annotated[
        float | None, typer.Option("--warmup", help=_with_default("Epochs in which the rate grows from 0.", "warmup"))
    ] = None,
    momentum: Annotated[
        float | None, typer.Option("--momentum", help=_with_default("Momentum of the gradient descent.", "momentum"))
    ] = None,
    nesterov: Annotated[
        bool | None, typer.Option("--nesterov/--no-nesterov", help=_with_default("Nesterov's momentum.", "nesterov"))
    ] = None,
    weight_decay: Annotated[
        float | None, typer.Option("--weight-decay", help=_with_default("Factor of the L2 penalty.", "weight_decay"))
    ] = None,
    decay_all: Annotated[
        bool | None,
        typer.Option(
            "--decay-all/--decay-kernels",
            help=_with_default("Weight decay of all parameters, or of kernels and matrices only.", "decay_all"),
        ),
    ] = None,
    label_smoothing: Annotated[
        float | None,
        typer.Option(
            "--label-smoothing", help=_with_default("Share of the target, spread over all classes.", "label_smoothing")
        ),
    ] = None,
    auxiliary: Annotated[
        float | None,
        typer.Option(
            "--auxiliary", help=_with_default("Weight of the losses of outputs `when training`.", "auxiliary")
        ),
    ] = None,
    augment: Annotated[
        str | None,
        typer.Option("--augment", help=_with_default("Augmentation: none, shift, crop or imagenet.", "augment")),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option("--seed", help=_with_default("Seed of weights, order, augmentation and dropout.", "seed")),
    ] = None,
    accelerator: Annotated[str, typer.Option("--accelerator", help="Kind of device: auto, cpu, cuda or mps.")] = "auto",
    devices: Annotated[
        str, typer.Option("--devices", help="Number of devices, a list (`0,2`), or auto for all.")
    ] = "1",
    precision: Annotated[
        str,
        typer.Option("--precision", help="Precision: 32-true, 16-mixed, bf16-mixed, 64-true, bf16-true or 16-true."),
    ] = "32-true",
    strategy: Annotated[
        str, typer.Option("--strategy", help="Strategy: auto, or ddp with a process for each device.")
    ] = "auto",
    workers: Annotated[int, typer.Option("--workers", min=0, help="Processes that load images.")] = 0,
    graphs: Annotated[
        bool, typer.Option("--graphs", help="Run steps as CUDA graphs, for small networks on a GPU.")
    ] = False,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Train a network on a data set read from disk, measure it after every epoch, and save weights and metrics.

    The parameters `classes` and `resolution` of the spec take the values of the data set, unless --set sets them.
    The help of each option of the recipe shows its value there. The command prints progress on standard error. The exit
    status is 1 if training diverges.

    Example: resnext-dsl train resnext29_8x64d --set width=4 --set 'depths=[1, 1, 1]'
    """
    changes = {
        "data": data,
        "holdout": holdout,
        "epochs": epochs,
        "batch_size": batch_size,
        "lr": lr,
        "schedule": schedule,
        "milestones": _milestones(milestones),
        "gamma": gamma,
        "warmup": warmup,
        "momentum": momentum,
        "nesterov": nesterov,
        "weight_decay": weight_decay,
        "decay_all": decay_all,
        "label_smoothing": label_smoothing,
        "auxiliary": auxiliary,
        "augment": augment,
        "seed": seed,
    }
    if test_only and weights is None:
        answers.fail("`--test-only` measures weights: name them with --weights FILE")
    if test_only and (resume or out is not None):
        answers.fail("`--test-only` saves no run: omit --output and --resume")
    if resume and weights is not None:
        answers.fail("`--resume` continues from the weights of the run: omit --weights")
    with answers.reported(), loading.shown_warnings():
        job = _job(spec, settings, root, _recipe(recipe, changes))
        hardware = job.hardware._replace(
            accelerator=accelerator,
            devices=devices,
            precision=precision,
            strategy=strategy,
            workers=workers,
            graphs=graphs,
        )
        job = job._replace(
            data_dir=Path(data_dir) if data_dir is not None else None,
            weights=loading.checkpoint_of(
                weights,
                ema=ema,
                pairs=pairs,
                map_file=map_file,
                strict=strict,
                adapt_input=adapt_input,
                reference=reference,
            ),
            hardware=hardware,
            out=None if test_only else Path(out) if out is not None else Path("runs", Path(spec).stem),
            resume=resume,
        )
        result = _run(job, test_only)
        if result.first:
            _answer(result, job.out, as_json)


def _milestones(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() for part in parts):
        answers.fail(f"`--milestones {text}` is not a list of whole numbers like 150,225")
    return tuple(map(int, parts))


def _recipe(name: str, changes: dict[str, Any]) -> Recipe:
    from resnext_dsl.train.recipes import recipe

    return recipe(name, **changes)


def _job(spec: str, settings: list[str] | None, root: str | None, recipe: Recipe) -> Job:
    from resnext_dsl.train.run import Job

    return Job(spec, recipe, answers.overrides(settings), root)


def _run(job: Job, test_only: bool) -> Result:
    from resnext_dsl.train.run import evaluate, train

    with _watched(job) as watch:
        try:
            return (evaluate if test_only else train)(job, watch)
        except KeyboardInterrupt:
            kept = job.out is not None and (job.out / "last.ckpt").exists()
            typer.echo("stopped; the same command with --resume continues" if kept else "stopped", err=True)
            raise typer.Exit(INTERRUPTED) from None


@contextmanager
def _watched(job: Job) -> Iterator[Watch]:
    """Shows progress on standard error: a line for each epoch, and on a terminal a bar within the epoch."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from resnext_dsl.train.run import Watch

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def begin(network: Network, source: ImageSet, device: str) -> None:
            for line in _beginning(job, network, source, device):
                console.print(line, markup=False)

        def tick(done: int, steps: int) -> None:
            bar.update(task, completed=done, total=steps)

        def epoch(reached: Epoch) -> None:
            console.print(_line(reached, job.recipe.epochs), markup=False)
            bar.update(task, completed=0)

        yield Watch(begin, tick, epoch)


def _beginning(job: Job, network: Network, source: ImageSet, device: str) -> Iterator[str]:
    shape, taken = network.ir.nodes[0].shape, source.shape
    names = [name for name in ("classes", "resolution") if name in network.parameters and name not in job.settings]
    followed = [f"{name}={network.parameters[name].value}" for name in names]
    settings = f" ({', '.join(followed)})" if followed else ""
    parts = f"{len(source.train.labels):,} images to train on, {len(source.test.labels):,} to measure on"
    yield f"{network.name}{settings} on {source.name}: {parts}; {device}"
    if source.name != "folder" and tuple(shape[1:]) != taken[1:]:
        yield f"images of {_size(taken[1:])} are scaled to the network's {_size(shape[1:])}"


def _size(sides: tuple[int, ...]) -> str:
    return "x".join(map(str, sides))


def _line(epoch: Epoch, epochs: int) -> str:
    return (
        f"epoch {epoch.epoch:>{len(str(epochs))}}/{epochs}  lr {epoch.lr:.3g}  loss {epoch.train_loss:.4f}  "
        f"accuracy {epoch.train_accuracy:.2%}  test {epoch.accuracy:.2%}  top-5 {epoch.top5:.2%}  {epoch.seconds:.1f} s"
    )


def _answer(result: Result, out: Path | None, as_json: bool) -> None:
    if as_json:
        answers.print_json({"ok": True, **result.to_json(), "out": str(out) if out is not None else None})
        return
    from resnext_dsl.train.run_folder import best

    test = f"{result.test.accuracy:.2%} right, {result.test.top5:.2%} among five, loss {result.test.loss:.4f}"
    typer.echo(f"{result.network.name} on {result.source.name}: {test}")
    if result.epochs:
        top = best(result.epochs)
        seconds = sum(epoch.seconds for epoch in result.epochs)
        typer.echo(f"best: {top.accuracy:.2%} after epoch {top.epoch}; {len(result.epochs)} epochs in {seconds:.1f} s")
    if out is not None:
        typer.echo(f"wrote {out}: weights.safetensors, best.safetensors, last.ckpt, metrics.csv, result.json")
