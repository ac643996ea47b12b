"""`resnext-dsl diff`: compares two specs, or one spec with two settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from resnext_dsl.compare import Comparison
    from resnext_dsl.compare.differences import Side
    from resnext_dsl.foundation.diagnostics import ArchError
    from resnext_dsl.networks.network import Network


def diff(
    spec: Annotated[str, typer.Argument(metavar="A", help="A .arch file, or the name of a shipped network.")],
    other: Annotated[str | None, typer.Argument(metavar="[B]", help="Second spec.  [default: A]")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Another value for a parameter of B; repeatable."),
    ] = None,
    settings_a: Annotated[
        list[str] | None,
        typer.Option("--set-a", metavar="NAME=VALUE", help="Another value for a parameter of A; repeatable."),
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, max=20, help="Levels of the module tree in the table.")] = 1,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Part to show, in place of the whole network.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 1 if the networks differ, else 0.")
    ] = False,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Compare two specs, or one spec with two settings: parameters, structure, cost of every part, budgets.

    Equal changes share a line: `~` changed, `-` only in A, `+` only in B, `=` renamed. Comments and the order of
    definitions do not count. The exit status is 2 if a spec has errors or a requirement is not met.

    Example: resnext-dsl diff resnext50_32x4d --set cardinality=8 --set width=14
    """
    from resnext_dsl.compare.differences import Side, differences_json, heading, print_differences

    a = Side(spec, answers.overrides(settings_a, "--set-a"))
    b = Side(other if other is not None else spec, answers.overrides(settings))
    if other is None and not (a.settings or b.settings):
        answers.fail("nothing to compare A with: give a second spec, or a setting (`--set NAME=VALUE`)")
    with answers.reported():
        comparison = _compared(a, b, root, max(depth, stage.count(".") + 1 if stage else 1))
        shown = comparison if stage is None else _of_part(comparison, stage)
        if as_json:
            answers.print_json(differences_json(shown, a, b))
        else:
            typer.echo(heading(shown, a, b))
            if comparison.differs:
                print_differences(shown)
    if exit_code and comparison.differs:
        raise typer.Exit(1)


def _compared(a: Side, b: Side, root: str | None, depth: int) -> Comparison:
    from resnext_dsl.compare import compare

    networks: list[Network] = []
    wrong: list[tuple[Side, ArchError]] = []
    for side in (a, b):
        network = _network(side, root)
        if isinstance(network, Exception):
            wrong.append((side, network))
        else:
            networks.append(network)
    if wrong:
        _report(wrong)
    return compare(networks[0], networks[1], depth)


def _network(side: Side, root: str | None) -> Network | ArchError:
    """The network of a side with its budgets checked; or its error."""
    from resnext_dsl.foundation.diagnostics import ArchError
    from resnext_dsl.networks.loading import load_with

    try:
        network = load_with(side.spec, side.settings, root=root)
        network.usage()
    except ArchError as problem:
        return problem
    return network


def _report(wrong: list[tuple[Side, ArchError]]) -> NoReturn:
    """Prints the errors of each side under its name, once if they are equal, and ends the command."""
    if len(wrong) == 2 and len({str(problem) for _, problem in wrong}) == 1:
        answers.show_diagnostics(wrong[0][1].diagnostics)
        raise typer.Exit(answers.WRONG)
    for index, (side, problem) in enumerate(wrong):
        typer.echo("\n" * (index > 0) + f"{side}:", err=True)
        answers.show_diagnostics(problem.diagnostics)
    raise typer.Exit(answers.WRONG)


def _of_part(comparison: Comparison, name: str) -> Comparison:
    from resnext_dsl.foundation.diagnostics import did_you_mean

    graphs = comparison.a.ir, comparison.b.ir
    known = {n: None for graph in graphs for n in (*graph.scopes, *(node.name for node in graph.nodes)) if n}
    if name not in known:
        parts = dict.fromkeys(part.name for graph in graphs for part in graph.parts)
        hint = did_you_mean(name, known) or f"parts: {', '.join(parts)}"
        answers.fail(f"neither network has a part `{name}`; {hint}")
    return comparison.of_part(name)
