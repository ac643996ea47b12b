"""`resnext-dsl diff`: what differs between two specs, or between one spec under two settings."""

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
    other: Annotated[str | None, typer.Argument(metavar="[B]", help="Another one; A itself where left out.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter of B another value; repeatable."),
    ] = None,
    settings_a: Annotated[
        list[str] | None,
        typer.Option("--set-a", metavar="NAME=VALUE", help="Give a parameter of A another value; repeatable."),
    ] = None,
    depth: Annotated[int, typer.Option("--depth", min=1, max=20, help="Levels of the module tree to show.")] = 1,
    stage: Annotated[
        str | None, typer.Option("--stage", metavar="NAME", help="Show the table and the structure of this part only.")
    ] = None,
    exit_code: Annotated[
        bool, typer.Option("--exit-code", help="End with status 1 where the networks differ, 0 where they do not.")
    ] = False,
    as_json: answers.Json = False,
    root: answers.Root = None,
) -> None:
    """Compare two specs, or one spec under two settings: parameters, structure, cost of every part, budgets.

    Alike changes are one line: `~` changed, `-` only in A, `+` only in B, `=` under another name. Comments and the
    order of definitions are no difference. A side that is wrong, or whose requirements do not hold, is status 2.

    Example: resnext-dsl diff resnext50_32x4d --set cardinality=8 --set width=14
    """
    from resnext_dsl.compare.differences import Side, differences_json, heading, print_differences

    a = Side(spec, answers.overrides(settings_a, "--set-a"))
    b = Side(other if other is not None else spec, answers.overrides(settings))
    if other is None and not (a.settings or b.settings):
        answers.fail("nothing to compare with: give a second spec, or a setting (`--set NAME=VALUE`)")
    with answers.reported():
        found = _compared(a, b, root, max(depth, stage.count(".") + 1 if stage else 1))
        shown = found if stage is None else _of_part(found, stage)
        if as_json:
            answers.print_json(differences_json(shown, a, b))
        else:
            typer.echo(heading(shown, a, b))
            if found.differs:
                print_differences(shown)
    if exit_code and found.differs:
        raise typer.Exit(1)


def _compared(a: Side, b: Side, root: str | None, depth: int) -> Comparison:
    from resnext_dsl.compare import compare

    networks: list[Network] = []
    wrong: list[tuple[Side, ArchError]] = []
    for side in (a, b):
        found = _network(side, root)
        if isinstance(found, Exception):
            wrong.append((side, found))
        else:
            networks.append(found)
    if wrong:
        _report(wrong)
    return compare(networks[0], networks[1], depth)


def _network(side: Side, root: str | None) -> Network | ArchError:
    """The network of a side, its limits looked at; or what is wrong with it."""
    from resnext_dsl.foundation.diagnostics import ArchError
    from resnext_dsl.networks.loading import load_with

    try:
        network = load_with(side.spec, side.settings, root=root)
        network.usage()
    except ArchError as problem:
        return problem
    return network


def _report(wrong: list[tuple[Side, ArchError]]) -> NoReturn:
    """Shows the errors of each side under its name, those that both have once, and ends the command."""
    if len(wrong) == 2 and len({str(problem) for _, problem in wrong}) == 1:
        answers.show_diagnostics(wrong[0][1].diagnostics)
        raise typer.Exit(answers.WRONG)
    for index, (side, problem) in enumerate(wrong):
        typer.echo("\n" * (index > 0) + f"{side}:", err=True)
        answers.show_diagnostics(problem.diagnostics)
    raise typer.Exit(answers.WRONG)


def _of_part(found: Comparison, name: str) -> Comparison:
    from resnext_dsl.foundation.diagnostics import did_you_mean

    graphs = found.a.ir, found.b.ir
    known = {n: None for graph in graphs for n in (*graph.scopes, *(node.name for node in graph.nodes)) if n}
    if name not in known:
        parts = dict.fromkeys(part.name for graph in graphs for part in graph.parts)
        hint = did_you_mean(name, known) or f"parts: {', '.join(parts)}"
        answers.fail(f"neither network has a part `{name}`; {hint}")
    return found.of_part(name)
