"""`resnext-dsl report`: writes the results of a search as one HTML file, without an evaluation."""

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
            "--storage", metavar="URL", help="Database of the results.  [default: sqlite:///NETWORK.search.db]"
        ),
    ] = "",
    study: Annotated[
        str,
        typer.Option("--study", metavar="NAME", help="Name of the study in the storage.  [default: the network's]"),
    ] = "",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE.html", help="File to write: the page.  [default: NETWORK.report.html]"
        ),
    ] = None,
    settings: answers.Set = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Show the results of a search: front, history, importance of parameters, distribution of error.

    The page needs no internet connection and no other file. The search may still be running: the page shows its
    progress. The study stores the plan of the search, so its storage and its name are enough.

    Example: resnext-dsl report examples/families.arch --storage sqlite:///anynet.search.db -o report.html
    """
    with answers.reported():
        from resnext_dsl.searches import read
        from resnext_dsl.searches.progress_display import answer
        from resnext_dsl.searches.report.document import write
        from resnext_dsl.searches.report.sections import standing_of

        results = read(spec, storage=storage, study=study, root=root, **answers.overrides(settings))
        path = write(results, output if output is not None else Path(f"{results.space.network.name}.report.html"))
        if as_json:
            unfinished = {"running": results.running, "waiting": results.waiting}
            answers.print_json(answer(results) | unfinished | {"files": [str(path)]})
        else:
            typer.echo(f"{results.space.network.name}: {standing_of(results)}")
            typer.echo(f"wrote {path}")
