"""`resnext-dsl search`: the best candidates of a space, within its budgets, evaluated by many processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

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
            help="Make this large: a measure of cost, or what the evaluator gives; repeatable.",
        ),
    ] = None,
    minimize: Annotated[
        Names, typer.Option("--minimize", metavar="METRIC", help="Make this small; repeatable.")
    ] = None,
    budget: answers.Budgets = None,
    trials: Annotated[
        int, typer.Option("--trials", help="Candidates to evaluate in all, earlier runs included.")
    ] = 100,
    workers: Annotated[
        int, typer.Option("--workers", help="Processes on this machine, or trials at a time on a cluster.")
    ] = 1,
    engine: Annotated[
        str, typer.Option("--engine", metavar="NAME", help="processes of this machine, or ray: a cluster.")
    ] = "processes",
    resources: Annotated[
        str, typer.Option("--resources", metavar="NAME=NUMBER,...", help="What a trial needs of it: cpu=2,gpu=0.5.")
    ] = "",
    storage: Annotated[
        str,
        typer.Option("--storage", metavar="URL", help="Where results are kept: sqlite:///FILE.db, postgresql://..."),
    ] = "",
    study: Annotated[str, typer.Option("--study", metavar="NAME", help="The name they are kept under.")] = "",
    sampler: Annotated[
        str, typer.Option("--sampler", metavar="NAME", help="nsga2, tpe, random or regularized-evolution.")
    ] = "nsga2",
    evaluator: Annotated[
        str,
        typer.Option("--evaluator", metavar="MODULE:FUNCTION", help="Or a built-in one: digits trains, cost does not."),
    ] = "digits",
    choices: Annotated[
        list[str] | None,
        typer.Option("--choice", metavar="NAME=VALUE", help="Of the evaluator: epochs=4, data_dir=DIR; repeatable."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of everything that is random.")] = 0,
    score: Annotated[
        str, typer.Option("--score", metavar="NAME", help="A training-free score that chooses what is evaluated.")
    ] = "",
    screen: Annotated[
        int, typer.Option("--screen", help="Candidates to draw and rank first: by --score, or by their cost.")
    ] = 0,
    constrain: Annotated[
        Names, typer.Option("--constrain", metavar="BOUND", help='On a metric: "accuracy >= 0.9"; repeatable.')
    ] = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Time the latencies that budgets limit, before anything is trained.")
    ] = False,
    heartbeat: Annotated[
        int, typer.Option("--heartbeat", help="Seconds between signs of life; after three of them a trial is dead.")
    ] = 20,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="DIR", help="Write the front as .arch files.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option("--report", metavar="FILE.html", help="Write a report, of a stopped search too.")
    ] = None,
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Search the space that a spec declares; every candidate keeps the budgets, and none is evaluated twice.

    Results are kept in a database. The same command goes on where an earlier one was stopped; given on several machines
    with the same --storage, they share the work. Ctrl-C stops cleanly.

    Example: resnext-dsl search examples/families.arch --maximize accuracy --minimize flops --budget box --workers 8
    """
    with answers.reported():
        from resnext_dsl.searches import Plan, run
        from resnext_dsl.searches.progress_display import Progress, answer, print_found
        from resnext_dsl.searches.winners import write

        if report is not None:
            import resnext_dsl.searches.report.document  # noqa: F401  that it can be written, before hours of searching
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
            choices=_values(choices),
            engine=engine,
            resources=_amounts(resources),
        )
        with Progress(plan) as progress:
            found = run(plan, progress=progress)
        paths = write(found.space, [trial.candidate for trial in found.front], output) if output is not None else []
        if report is not None:
            paths.append(found.report(report))
        if as_json:
            answers.print_json(answer(found) | {"files": [str(path) for path in paths]})
        else:
            print_found(found)
            for path in paths:
                typer.echo(f"wrote {path}")
        if found.failures and not found.trials:
            raise typer.Exit(answers.UNMET)  # the spec is right, and no candidate could be evaluated


def _values(choices: list[str] | None) -> dict[str, Any]:
    """Choices with their values: what JSON reads, else the text itself."""
    values: dict[str, Any] = {}
    for name, text in answers.overrides(choices, "--choice").items():
        try:
            values[name] = json.loads(text)
        except ValueError:
            values[name] = text
    return values


def _amounts(resources: str) -> dict[str, float]:
    """`cpu=2,gpu=0.5` as a mapping; a malformed one ends the command."""
    amounts: dict[str, float] = {}
    for name, text in answers.overrides(resources.split(",") if resources else None, "--resources").items():
        try:
            amounts[name] = float(text)
        except ValueError:
            answers.fail(f"`--resources {name}={text}` is no number")
    return amounts
