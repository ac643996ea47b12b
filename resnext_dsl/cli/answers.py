"""How commands take a spec and answer: answers to standard output, errors to standard error, exit status as fixed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from resnext_dsl.diagnostics import ArchError, Diagnostic
    from resnext_dsl.network import Network

UNMET, WRONG, OURS = 1, 2, 3
"""Exit status: a budget or requirement is not met; the spec or the command is wrong; a mistake of ours."""

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A .arch file, or the name of a shipped network.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter another value; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Root = Annotated[str | None, typer.Option("--root", metavar="DIR", help="The folder that imports stay under.")]


def overrides(settings: list[str] | None) -> dict[str, str]:
    """`NAME=VALUE` settings as a mapping; a malformed one ends the command."""
    values: dict[str, str] = {}
    for setting in settings or []:
        name, sign, value = setting.partition("=")
        if not sign or not name.strip():
            fail(f"`--set {setting}` is not NAME=VALUE")
        values[name.strip()] = value.strip()
    return values


def load(spec: str, settings: list[str] | None, root: str | None = None) -> Network:
    """The network of a command's SPEC and settings."""
    from resnext_dsl.network import load_with

    return load_with(spec, overrides(settings), root=root)


def fail(message: str, status: int = WRONG) -> NoReturn:
    """Ends the command with one line on standard error."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)


def status_of(problem: ArchError) -> int:
    """The exit status that an error stands for."""
    from resnext_dsl.diagnostics import BudgetError, RequirementError

    return UNMET if isinstance(problem, BudgetError | RequirementError) else WRONG


@contextmanager
def reported() -> Iterator[None]:
    """Prints the errors of a spec, and of files, as text; ends the command with their status."""
    from resnext_dsl.diagnostics import ArchError

    try:
        yield
    except ArchError as problem:
        show_diagnostics(problem.diagnostics)
        raise typer.Exit(status_of(problem)) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except OSError as problem:
        fail(f"{problem.filename or 'file'}: {(problem.strerror or str(problem)).lower()}")


def show_diagnostics(diagnostics: tuple[Diagnostic, ...]) -> None:
    """Diagnostics on standard error, with their number where there are several."""
    if not diagnostics:
        return
    typer.echo("\n\n".join(diagnostic.render() for diagnostic in diagnostics), err=True)
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    if errors > 1:
        typer.echo(f"\n{errors} errors", err=True)


def print_json(answer: Any) -> None:
    """An answer as JSON, two spaces deep."""
    typer.echo(json.dumps(answer, indent=2))
