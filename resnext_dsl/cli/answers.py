"""Options that commands share, and their output: answers on standard output, errors on standard error, exit status."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import click
import typer

if TYPE_CHECKING:
    from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic
    from resnext_dsl.networks.network import Network

UNMET, WRONG, INTERNAL = 1, 2, 3
"""Exit status: a budget or requirement is not met; the spec or the command is wrong; an internal error."""

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A .arch file, or the name of a shipped network.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Another value for a parameter, or for an element (depths[2]=4); repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Budgets = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="NAME",
        help="Budget to check, in place of all; repeatable. A file (.arch) with budgets replaces those of the spec.",
    ),
]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="SHAPE",
        help="Input shape without batch, in place of the declared one: 3x256x256, or a number of features.",
    ),
]
Root = Annotated[
    str | None,
    typer.Option(
        "--root", metavar="DIR", help="Folder that imports must stay under.  [default: the folder of the spec]"
    ),
]


def overrides(settings: list[str] | None, option: str = "--set") -> dict[str, str]:
    """Parses `NAME=VALUE` settings to a mapping; a malformed setting ends the command."""
    values: dict[str, str] = {}
    for setting in settings or []:
        name, sign, value = setting.partition("=")
        if not sign or not name.strip():
            fail(f"`{option} {setting}` is not NAME=VALUE")
        if name.strip() in values:
            fail(f"`{name.strip()}` has two values by {option}")
        values[name.strip()] = value.strip()
    return values


def load(spec: str, settings: list[str] | None, root: str | None = None) -> Network:
    """Loads the network of a command's SPEC with its settings."""
    from resnext_dsl.networks.loading import load_with

    return load_with(spec, overrides(settings), root=root)


def at(network: Network, shape: str | None) -> Network:
    """The network at the input shape of a command's `--input`; at the declared one if None."""
    sizes = shape_of(shape)
    return network if sizes is None else network.at(sizes)


def shape_of(text: str | None) -> tuple[int, ...] | None:
    """The shape of a command's `--input`; a malformed one ends the command."""
    if text is None:
        return None
    sizes = text.split("x")
    if not all(size.isascii() and size.isdigit() and len(size) < 10 and int(size) for size in sizes):
        fail(f"`--input {text}` is not a shape; write one like 3x224x224")
    return tuple(map(int, sizes))


def values(choices: list[str] | None) -> dict[str, Any]:
    """The values of a command's `--choice`: a JSON value, or the text if it is not JSON."""
    parsed: dict[str, Any] = {}
    for name, text in overrides(choices, "--choice").items():
        try:
            parsed[name] = json.loads(text)
        except ValueError:
            parsed[name] = text
    return parsed


def budgeted(network: Network, budgets: list[str] | None) -> tuple[Network, tuple[str, ...]]:
    """The network and the names of the budgets to check: a file among the names gives the network its budgets."""
    files = [name for name in budgets or () if name.endswith(".arch")]
    if len(files) > 1:
        fail(f"`--budget` has two files: `{files[0]}` and `{files[1]}`")
    names = tuple(name for name in budgets or () if not name.endswith(".arch"))
    return (network.with_budgets(files[0]) if files else network), names


def fail(message: str, status: int = WRONG) -> NoReturn:
    """Ends the command with one line on standard error."""
    typer.echo(f"error: {message}", err=True)
    raise typer.Exit(status)


def status_of(problem: ArchError) -> int:
    """The exit status of an error."""
    from resnext_dsl.foundation.diagnostics import BudgetError, RequirementError, TrainingError

    if any(diagnostic.code.startswith("E8") for diagnostic in problem.diagnostics):
        return INTERNAL
    return UNMET if isinstance(problem, BudgetError | RequirementError | TrainingError) else WRONG


@contextmanager
def reported() -> Iterator[None]:
    """Prints the errors of specs and files as text, and ends the command with their status."""
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


@contextmanager
def internal_errors() -> Iterator[None]:
    """Ends the command with E801 and status 3 at an exception that no part of the command expects."""
    try:
        yield
    except (click.ClickException, click.exceptions.Exit, click.Abort):
        raise
    except Exception as problem:
        from resnext_dsl.foundation.diagnostics import ArchError, internal_error

        with reported():
            raise problem if isinstance(problem, ArchError | OSError) else internal_error(problem) from None


class DiagnosticFormat(StrEnum):
    """Formats of diagnostics: with the lines of the spec, on one line each, or as annotations of GitHub Actions."""

    TEXT = "text"
    LINE = "line"
    GITHUB = "github"


def show_diagnostics(diagnostics: tuple[Diagnostic, ...], form: DiagnosticFormat = DiagnosticFormat.TEXT) -> None:
    """Prints diagnostics on standard error; the text format adds the number of errors if there are several."""
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
    """A diagnostic with its hint on one line."""
    return diagnostic.headline() + (f"; {diagnostic.hint}" if diagnostic.hint else "")


def annotation(diagnostic: Diagnostic) -> str:
    """A diagnostic as a workflow command of GitHub Actions, which shows it beside its line.

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


def _escaped(text: str, characters: str = "") -> str:
    """Escapes text for workflow commands: special characters become `%` and two hexadecimal digits."""
    for character in f"%\r\n{characters}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def print_json(answer: Any) -> None:
    """Prints an answer as JSON with an indent of two spaces."""
    typer.echo(json.dumps(answer, indent=2))
