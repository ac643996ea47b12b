"""`resnext-dsl compile`: from a spec to PyTorch source."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.network import Network


def compile_(
    spec: answers.Spec,
    output: Annotated[
        str | None, typer.Option("-o", "--output", metavar="FILE", help="Where to write; `-` prints.")
    ] = None,
    settings: answers.Set = None,
    budgets: answers.Budgets = None,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Check a spec, show its stage table and budgets, and write it as PyTorch source (NAME.py by default).

    The budgets are held against fvcore's count on the compiled module. Nothing is written if one is exceeded.

    Example: resnext-dsl compile resnext50_32x4d -o model.py
    """
    from resnext_dsl import report
    from resnext_dsl.output import write_text

    with answers.reported():
        network = answers.load(spec, settings, root)
        usage = network.usage(*(budgets or ()))
        answers.show_diagnostics(network.warnings)
        source = network.emit()
        report.print_table(network, report.stage_table(network, 1), to_error=output == "-" or as_json)
        _hold(network)
        for line in report.budget_lines(usage):
            typer.echo(line, err=output == "-" or as_json)
        network.check(*(budgets or ()))
        target = Path(output or f"{network.name}.py")
        if output == "-":
            typer.echo(source, nl=False)
            return
        write_text(target, source)
        if as_json:
            answers.print_json(
                {"ok": True, "name": network.name, "file": str(target), "fingerprint": network.fingerprint}
            )
        else:
            typer.echo(f"wrote {target} ({len(source.splitlines())} lines)")


def _hold(network: Network) -> None:
    """Holds the closed-form cost against fvcore on the compiled module."""
    from resnext_dsl.diagnostics import ArchError
    from resnext_dsl.measure import agree, measure

    try:
        agree(network.cost(), measure(network.compile(form="written"), network.ir.nodes[0].shape))
    except ArchError as problem:
        answers.show_diagnostics(problem.diagnostics)
        raise typer.Exit(answers.OURS) from None
