"""`resnext-dsl check`: is the spec right, what does it cost, does it keep its budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.diagnostics import ArchError
    from resnext_dsl.network import Network


def check(
    spec: answers.Spec, settings: answers.Set = None, as_json: answers.Json = False, root: answers.Root = None
) -> None:
    """Check a spec: syntax, names, shapes, requirements and budgets.

    Costs are in closed form, exact, in fvcore's convention; torch is not needed.

    Example: resnext-dsl check resnext50_32x4d --set cardinality=8 --set width=14
    """
    from resnext_dsl.diagnostics import ArchError

    with answers.reported():
        if not as_json:
            _in_words(answers.load(spec, settings, root))
            return
        try:
            network = answers.load(spec, settings, root)
        except ArchError as problem:
            answers.print_json(_failed(problem))
            raise typer.Exit(answers.status_of(problem)) from None
        answer, kept = _answer(network)
        answers.print_json(answer)
        if not kept:
            raise typer.Exit(answers.UNMET)


def _in_words(network: Network) -> None:
    from resnext_dsl.report import budget_lines, cost_line

    answers.show_diagnostics(network.warnings)
    typer.echo(f"{network.name}: {cost_line(network)}")
    for line in budget_lines(network.usage()):
        typer.echo(line)
    network.check()


def _answer(network: Network) -> tuple[dict[str, object], bool]:
    """The JSON answer for a valid spec, and whether its budgets are kept."""
    from resnext_dsl.budget import violations

    cost = network.cost()
    usage = network.usage()
    problem = violations(usage)
    found = (*network.warnings, *(problem.diagnostics if problem is not None else ()))
    answer: dict[str, object] = {
        "ok": problem is None,
        "diagnostics": [diagnostic.to_json() for diagnostic in found],
        "cost": {
            "params": cost.params,
            "flops": cost.flops,
            "macs": cost.macs,
            "activations": cost.activations,
        },
        "budgets": [line.to_json() for line in usage],
    }
    return answer, problem is None


def _failed(problem: ArchError) -> dict[str, object]:
    diagnostics = [diagnostic.to_json() for diagnostic in problem.diagnostics]
    return {"ok": False, "diagnostics": diagnostics, "cost": None, "budgets": []}
