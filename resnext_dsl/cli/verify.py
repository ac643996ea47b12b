"""`resnext-dsl verify`: compares the closed-form cost with fvcore's count on the compiled module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.costs.fvcore_count import FvcoreCount
    from resnext_dsl.foundation.diagnostics import ArchError
    from resnext_dsl.networks.network import Network


def verify(
    spec: answers.Spec,
    settings: answers.Set = None,
    depth: Annotated[
        int, typer.Option("--depth", min=0, max=40, help="Levels of the module tree to show; 0 for the total only.")
    ] = 1,
    everything: Annotated[bool, typer.Option("--all", help="Show every module.")] = False,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Compare the closed-form cost with fvcore's count on the compiled module, and check the budgets.

    It compares parameters, FLOPs and activations in total, for every module and for every operator. A difference is an
    internal error (exit status 3), marked and shown at any depth. JSON has every module.

    Example: resnext-dsl verify resnext50_32x4d --depth 2
    """
    from resnext_dsl.costs.fvcore_count import measure

    with answers.reported():
        network = answers.load(spec, settings, root)
        measured = measure(network.compile(form="written", device="meta"), network.ir.nodes[0].shape)
        fault = _fault(network, measured)
        if as_json:
            _in_json(network, measured, fault)
        else:
            _in_words(network, measured, 40 if everything else depth)
        if fault is not None:
            answers.show_diagnostics(fault.diagnostics)
            raise typer.Exit(answers.INTERNAL)
        if as_json and not all(line.met for line in network.usage()):
            raise typer.Exit(answers.UNMET)
        network.check()


def _fault(network: Network, measured: FvcoreCount) -> ArchError | None:
    from resnext_dsl.costs.fvcore_count import agree
    from resnext_dsl.foundation.diagnostics import ArchError

    try:
        agree(network.cost(), measured)
    except ArchError as problem:
        return problem
    return None


def _in_words(network: Network, measured: FvcoreCount, depth: int) -> None:
    from resnext_dsl.display.side_by_side import print_comparison
    from resnext_dsl.display.stage_table import budget_lines

    answers.show_diagnostics(network.warnings)
    typer.echo(print_comparison(network, measured, depth))
    for line in budget_lines(network.usage()):
        typer.echo(line)


def _in_json(network: Network, measured: FvcoreCount, fault: ArchError | None) -> None:
    from resnext_dsl.display.side_by_side import comparison_json

    usage = network.usage()
    answers.print_json(
        {
            "ok": fault is None and all(line.met for line in usage),
            "diagnostics": [diagnostic.to_json() for diagnostic in fault.diagnostics] if fault is not None else [],
            **comparison_json(network, measured),
            "budgets": [line.to_json() for line in usage],
        }
    )
