"""How commands take a spec and answer: answers to standard output, errors to standard error, exit status as fixed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
    from resnext_dsl.networks.network import Network

UNMET, WRONG, OURS = 1, 2, 3
"""Exit status: a budget or requirement is not met; the spec or the command is wrong; a mistake of ours."""

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A .arch file, or the name of a shipped network.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Give a parameter another value; repeatable."),
]
Json = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
Budgets = Annotated[
    list[str] | None,
    typer.Option("--budget", metavar="NAME", help="Hold this budget, not all of them; repeatable."),
]
Input = Annotated[
    str | None,
    typer.Option("--input", metavar="SHAPE", help="Another input shape, without batch: 3x256x256, or a number."),
]
Root = Annotated[str | None, typer.Option("--root", metavar="DIR", help="The folder that imports stay under.")]


def overrides(settings: list[str] | None, option: str = "--set") -> dict[str, str]:
    """`NAME=VALUE` settings as a mapping; a malformed one ends the command."""
    values: dict[str, str] = {}
    for setting in settings or []:
        name, sign, value = setting.partition("=")
        if not sign or not name.strip():
            fail(f"`{option} {setting}` is not NAME=VALUE")
        values[name.strip()] = value.strip()
    return values


def load(spec: str, settings: list[str] | None, root: str | None = None) -> Network:
    """The network of a command's SPEC and settings."""
    from resnext_dsl.networks.loading import load_with

    return load_with(spec, overrides(settings), root=root)


def at(network: Network, shape: str | None) -> Network:
    """The network at the input shape that a command is given."""
    if shape is None:
        return network
    sizes = shape.split("x")
    if not all(size.isascii() and size.isdigit() and len(size) < 10 and int(size) for size in sizes):
        fail(f"`--input {shape}` is no shape; write one like 3x224x224")
    return network.at(tuple(map(int, sizes)))


def fail(message: str, status: int = WRONG) -> NoReturn:
    """Ends the command with one line on standard error."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)


def status_of(problem: ArchError) -> int:
    """The exit status that an error stands for."""
    from resnext_dsl.foundation.diagnostics import BudgetError, RequirementError, TrainingError

    if any(diagnostic.code.startswith("E8") for diagnostic in problem.diagnostics):
        return OURS
    return UNMET if isinstance(problem, BudgetError | RequirementError | TrainingError) else WRONG


@contextmanager
def reported() -> Iterator[None]:
    """Prints the errors of a spec, and of files, as text; ends the command with their status."""
    from resnext_dsl.foundation.diagnostics import ArchError

    try:
        yield
    except ArchError as problem:
        show_diagnostics(problem.diagnostics)
        raise typer.Exit(status_of(problem)) from None
    except BrokenPipeError:
        raise typer.Exit(0) from None
    except OSError as problem:
        fail(f"{problem.filename or 'file'}: {(problem.strerror or str(problem)).lower()}")


class DiagnosticFormat(StrEnum):
    """How diagnostics are shown: with the text they speak of, on one line each, or as annotations of GitHub."""

    TEXT = "text"
    LINE = "line"
    GITHUB = "github"


def show_diagnostics(diagnostics: tuple[Diagnostic, ...], form: DiagnosticFormat = DiagnosticFormat.TEXT) -> None:
    """Diagnostics on standard error, as text with their number where there are several."""
    if not diagnostics:
        return
    if form is not DiagnosticFormat.TEXT:
        one_line = annotation if form is DiagnosticFormat.GITHUB else headline
        typer.echo("\n".join(one_line(diagnostic) for diagnostic in diagnostics), err=True)
        return
    typer.echo("\n\n".join(diagnostic.render() for diagnostic in diagnostics), err=True)
    errors = sum(diagnostic.severity == "error" for diagnostic in diagnostics)
    if errors > 1:
        typer.echo(f"\n{errors} errors", err=True)


def headline(diagnostic: Diagnostic) -> str:
    """A diagnostic on one line, its suggestion behind it."""
    return diagnostic.headline() + (f"; {diagnostic.hint}" if diagnostic.hint else "")


def annotation(diagnostic: Diagnostic) -> str:
    """A diagnostic as a workflow command of GitHub Actions, which shows it beside the line it speaks of.

    Source: https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions
    """
    span = diagnostic.span
    place: dict[str, object] = {"file": span.source.name if span else diagnostic.file}
    if span is not None:
        place |= {"line": span.line, "col": span.column, "endLine": span.end_line, "endColumn": span.end_column}
    place["title"] = diagnostic.code
    properties = ",".join(f"{key}={_escaped(str(value), ':,')}" for key, value in place.items() if value)
    message = diagnostic.message + (f"; {diagnostic.hint}" if diagnostic.hint else "")
    return f"::{diagnostic.severity} {properties}::{_escaped(message)}"


def _escaped(text: str, signs: str = "") -> str:
    """Text as workflow commands take it: signs that mean something to them as `%` and two hexadecimal digits."""
    for sign in f"%\r\n{signs}":
        text = text.replace(sign, f"%{ord(sign):02X}")
    return text


def print_json(answer: Any) -> None:
    """An answer as JSON, two spaces deep."""
    typer.echo(json.dumps(answer, indent=2))
