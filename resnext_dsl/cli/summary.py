"""`resnext-dsl summary`: the stage table, as papers print it."""

from __future__ import annotations

from typing import Annotated

import typer

from resnext_dsl.cli import answers


def summary(
    spec: answers.Spec,
    settings: answers.Set = None,
    depth: Annotated[int, typer.Option("--depth", min=1, max=20, help="Levels of the module tree to show.")] = 1,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Show the stage table: output shape, block, repeats, parameters and FLOPs of every part.

    Example: resnext-dsl summary resnext50_32x4d --depth 2
    """
    from resnext_dsl import report

    with answers.reported():
        network = answers.load(spec, settings, root)
        rows = report.stage_table(network, depth)
        if as_json:
            answers.print_json(report.summary_json(network, rows))
            return
        answers.show_diagnostics(network.warnings)
        report.print_table(network, rows)
