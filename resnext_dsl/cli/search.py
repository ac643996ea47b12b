"""`resnext-dsl search`: searches a space for the best candidates within its budgets, in many processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resnext_dsl.cli import answers

Names = list[str] | None


def search(
    spec: answers.Spec,
    maximize: Annotated[
        Names,
        typer.Option(
            "--maximize",
            metavar="METRIC",
            help="Metric to maximize: a measure of cost, or a metric of the evaluator; repeatable.",
        ),
    ] = None,
    minimize: Annotated[
        Names, typer.Option("--minimize", metavar="METRIC", help="Metric to minimize, as for --maximize; repeatable.")
    ] = None,
    budget: answers.Budgets = None,
    trials: Annotated[
        int, typer.Option("--trials", help="Number of candidates to evaluate, including those of earlier runs.")
    ] = 100,
    workers: Annotated[
        int, typer.Option("--workers", help="Number of processes on this machine, or of trials at a time on a cluster.")
    ] = 1,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="NAME", help="Engine: processes of this machine, or ray (a cluster)."),
    ] = "processes",
    resources: Annotated[
        str,
        typer.Option(
            "--resources",
            metavar="NAME=NUMBER,...",
            help="Resources of a trial on the cluster, such as cpu=2,gpu=0.5.  [default: cpu=1]",
        ),
    ] = "",
    storage: Annotated[
        str,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Database of the results: sqlite:///FILE.db or postgresql://...  [default: sqlite:///NETWORK.search.db]",
        ),
    ] = "",
    study: Annotated[
        str,
        typer.Option("--study", metavar="NAME", help="Name of the study in the storage.  [default: the network's]"),
    ] = "",
    sampler: Annotated[
        str, typer.Option("--sampler", metavar="NAME", help="Sampler: nsga2, tpe, random or regularized-evolution.")
    ] = "nsga2",
    evaluator: Annotated[
        str,
        typer.Option(
            "--evaluator",
            metavar="MODULE:FUNCTION",
            help="Evaluator: a function, or a built-in one such as cost (no training) or digits.",
        ),
    ] = "digits",
    choices: Annotated[
        list[str] | None,
        typer.Option(
            "--choice",
            metavar="NAME=VALUE",
            help="Keyword argument of the evaluator, such as epochs=4 or data_dir=DIR; repeatable.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Seed of all random numbers.")] = 0,
    score: Annotated[
        str, typer.Option("--score", metavar="NAME", help="Training-free score that ranks the candidates of --screen.")
    ] = "",
    screen: Annotated[
        int,
        typer.Option("--screen", help="Number of candidates to rank first, by --score or by cost; 0 for none."),
    ] = 0,
    constrain: Annotated[
        Names,
        typer.Option("--constrain", metavar="BOUND", help='Bound on a metric: "accuracy >= 0.9"; repeatable.'),
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Timing of the latencies that budgets limit, before training.")
    ] = False,
    heartbeat: Annotated[
        int,
        typer.Option(
            "--heartbeat",
            help="Seconds between heartbeats; a trial counts as dead after three without one.",
        ),
    ] = 20,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="Folder to write: the front, as .arch files.  [default: none]"
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option("--report", metavar="FILE.html", help="File for an HTML report, written on Ctrl-C too."),
    ] = None,
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Search the space that a spec declares. Every candidate meets the budgets; no architecture is evaluated twice.

    A database stores the results. The same command continues a stopped search. Several machines share the work if they
    run the same command with the same --storage. Ctrl-C stops cleanly.

    Example: resnext-dsl search examples/families.arch --maximize accuracy --minimize flops --budget box --workers 8
    """
    with answers.reported():
        from resnext_dsl.searches import Plan, run
        from resnext_dsl.searches.progress_display import Progress, answer, print_results
        from resnext_dsl.searches.winners import write

        if report is not None:
            import resnext_dsl.searches.report.document  # noqa: F401  fails now, not after hours, if a package is missing
        fixed = answers.overrides(settings)
        plan = Plan(
            spec=spec,
            settings=fixed,
            root=root,
            maximize=tuple(maximize or ()),
            minimize=tuple(minimize or ()),
            budget=tuple(budget or ()),
            trials=trials,
            workers=workers,
            storage=storage,
            study=study,
            sampler=sampler,
            evaluator=evaluator,
            seed=seed,
            screen=screen,
            score=score,
            heartbeat=heartbeat,
            constrain=tuple(constrain or ()),
            measure=measure,
            choices=answers.values(choices),
            engine=engine,
            resources=_amounts(resources),
        )
        results = run(plan, progress=Progress(plan) if sys.stderr.isatty() else True)
        paths = write(results.space, [trial.candidate for trial in results.front], output) if output is not None else []
        if report is not None:
            paths.append(results.report(report))
        if as_json:
            answers.print_json(answer(results) | {"files": [str(path) for path in paths]})
        else:
            print_results(results)
            for path in paths:
                typer.echo(f"wrote {path}")
        if results.failures and not results.trials:
            raise typer.Exit(answers.UNMET)  # the spec is valid, but no candidate could be evaluated


def _amounts(resources: str) -> dict[str, float]:
    """`cpu=2,gpu=0.5` as a mapping; ends the command if the text is malformed."""
    amounts: dict[str, float] = {}
    for name, text in answers.overrides(resources.split(",") if resources else None, "--resources").items():
        try:
            amounts[name] = float(text)
        except ValueError:
            answers.fail(f"`--resources {name}={text}` is not a number")
    return amounts
