"""`resnext-dsl summary`: the cost of a network by stage, operator, template call or line of the spec."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.networks.network import Network


class View(StrEnum):
    """Views of a cost, named after their rows."""

    STAGE = "stage"
    OPERATOR = "operator"
    TEMPLATE = "template"
    LINE = "line"


def summary(
    spec: answers.Spec,
    settings: answers.Set = None,
    by: Annotated[
        View, typer.Option("--by", help="Rows of the table: stages, operators, template calls, or lines of the spec.")
    ] = View.STAGE,
    depth: Annotated[
        int, typer.Option("--depth", min=1, max=20, help="Levels of the module tree in the stage table.")
    ] = 1,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Show the stage table: output shape, block, repeats, parameters and FLOPs of every part.

    With --by, it shows the cost of every operator, of every template call, or of every line of the spec.

    Example: resnext-dsl summary resnext50_32x4d --by line
    """
    with answers.reported():
        network = answers.load(spec, settings, root)
        if not as_json:
            answers.show_diagnostics(network.warnings)
        _show(network, by, depth, as_json)


def _show(network: Network, by: View, depth: int, as_json: bool) -> None:
    from resnext_dsl.display import breakdowns as views
    from resnext_dsl.display import stage_table as report

    if by is View.STAGE:
        rows = report.stage_table(network, depth)
        if as_json:
            answers.print_json(report.summary_json(network, rows))
        else:
            report.print_table(network, rows)
    elif as_json:
        answers.print_json(views.view_json(network, by.value))
    elif by is View.LINE:
        typer.echo("\n".join(views.margin_lines(network)))
    elif by is View.OPERATOR:
        views.print_operators(network)
    else:
        views.print_templates(network)
