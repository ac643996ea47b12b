"""`resnext-dsl check`: checks specs, and prints their cost and the use of their budgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from resnext_dsl.cli import answers
from resnext_dsl.foundation.records import NamedTuple

if TYPE_CHECKING:
    from resnext_dsl.budgets.usage import Usage
    from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
    from resnext_dsl.networks.network import Network


class Request(NamedTuple):
    """The options that hold for every spec."""

    settings: list[str] | None
    budgets: list[str]
    measure: bool
    libraries: bool
    root: str | None


class Outcome(NamedTuple):
    """The result for one spec; `network` is None if the spec has errors, and for a library."""

    spec: str
    status: int
    diagnostics: tuple[Diagnostic, ...]
    network: Network | None = None
    usage: tuple[Usage, ...] = ()


def check(
    specs: Annotated[list[str], typer.Argument(metavar="SPEC...", help="Files (.arch), or names of shipped networks.")],
    settings: answers.Set = None,
    budgets: answers.Budgets = None,
    measure: Annotated[
        bool, typer.Option("--measure", help="Measure the latencies that budgets limit, on this machine.")
    ] = False,
    libraries: Annotated[
        bool, typer.Option("--libraries", help="Accept files without a network (libraries), and check their names.")
    ] = False,
    form: Annotated[
        answers.DiagnosticFormat,
        typer.Option("--format", help="Format of diagnostics; `github` gives annotations of a workflow."),
    ] = answers.DiagnosticFormat.TEXT,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Check specs: syntax, names, shapes, requirements and budgets.

    The command prints the exact cost of each network in fvcore's convention, and the use of its budgets. The exit
    status is the highest of all specs. Only --measure needs torch.

    Example: resnext-dsl check resnext50_32x4d --set cardinality=8 --set width=14
    """
    if as_json and form is not answers.DiagnosticFormat.TEXT:
        answers.fail("`--json` and `--format` are two forms of one answer: give one of them")
    request = Request(settings, budgets or [], measure, libraries, root)
    with answers.reported():
        outcomes: list[Outcome] = []
        for spec in specs:
            outcomes.append(_outcome(spec, request))
            if not as_json:
                _show(outcomes[-1], form)
        if as_json:
            answers.print_json(_json(outcomes))
    status = max(outcome.status for outcome in outcomes)
    if status:
        raise typer.Exit(status)


def _outcome(spec: str, request: Request) -> Outcome:
    from resnext_dsl.budgets.usage import violations
    from resnext_dsl.foundation.diagnostics import ArchError

    try:
        network, budgets = answers.budgeted(answers.load(spec, request.settings, request.root), request.budgets)
        usage = network.usage(*budgets, measure=request.measure)
    except ArchError as problem:
        return _wrong(spec, problem, request.libraries)
    exceeded = violations(usage)
    diagnostics = (*network.warnings, *(exceeded.diagnostics if exceeded is not None else ()))
    return Outcome(spec, answers.UNMET if exceeded is not None else 0, diagnostics, network, usage)


def _wrong(spec: str, problem: ArchError, libraries: bool) -> Outcome:
    """The outcome of an error; with `--libraries`, a file without a network is not an error."""
    diagnostics = tuple(d for d in problem.diagnostics if not (libraries and d.code == "E504" and d.span is None))
    return Outcome(spec, answers.status_of(problem) if diagnostics else 0, diagnostics)


def _show(outcome: Outcome, form: answers.DiagnosticFormat) -> None:
    from resnext_dsl.display.stage_table import budget_lines, cost_line

    if outcome.network is not None:
        typer.echo(f"{outcome.network.name}: {cost_line(outcome.network)}")
        for line in budget_lines(outcome.usage):
            typer.echo(line)
    elif not outcome.status:
        typer.echo(f"{outcome.spec}: a library without errors")
    answers.show_diagnostics(outcome.diagnostics, form)


def _json(outcomes: list[Outcome]) -> dict[str, object]:
    """The answer for one spec, or a list of answers for several."""
    if len(outcomes) == 1:
        return _answer(outcomes[0])
    each = [{"spec": outcome.spec} | _answer(outcome) for outcome in outcomes]
    return {"ok": not any(outcome.status for outcome in outcomes), "specs": each}


def _answer(outcome: Outcome) -> dict[str, object]:
    cost = outcome.network.cost() if outcome.network is not None else None
    measures = ("params", "flops", "macs", "activations")
    return {
        "ok": not outcome.status,
        "diagnostics": [diagnostic.to_json() for diagnostic in outcome.diagnostics],
        "cost": {name: getattr(cost, name) for name in measures} if cost is not None else None,
        "budgets": [line.to_json() for line in outcome.usage],
    }
