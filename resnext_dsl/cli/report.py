"""`resnext-dsl report`: what a search has found, as one HTML file; nothing is evaluated."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from resnext_dsl.cli import answers


def report(
    spec: answers.Spec,
    storage: Annotated[
        str,
        typer.Option(
            "--storage", metavar="URL", help="Where the search keeps its results, if not in NETWORK.search.db."
        ),
    ] = "",
    study: Annotated[
        str,
        typer.Option("--study", metavar="NAME", help="The name they are kept under; that of the network by default."),
    ] = "",
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE.html", help="NETWORK.report.html by default.")
    ] = None,
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Show what a search has found: front, history, importance of parameters, distribution of error.

    The page needs no network and no other file. The search may be running: the page shows how far it is. The study
    knows what it was asked, so its storage and its name are enough.

    Example: resnext-dsl report examples/families.arch --storage sqlite:///anynet.search.db -o report.html
    """
    with answers.reported():
        from resnext_dsl.searches import read
        from resnext_dsl.searches.progress_display import answer
        from resnext_dsl.searches.report.document import write
        from resnext_dsl.searches.report.sections import standing_of

        found = read(spec, storage=storage, study=study, root=root, **answers.overrides(settings))
        path = write(found, output if output is not None else Path(f"{found.space.network.name}.report.html"))
        if as_json:
            alive = {"running": found.running, "waiting": found.waiting}
            answers.print_json(answer(found) | alive | {"files": [str(path)]})
        else:
            typer.echo(f"{found.space.network.name}: {standing_of(found)}")
            typer.echo(f"wrote {path}")
