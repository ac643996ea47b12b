"""`resnext-dsl fmt`: one canonical layout for specs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resnext_dsl.cli import answers


def fmt(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Files or folders; `-` for standard input.")],
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit status 1 if a file would change.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Change nothing; print what would change.")] = False,
) -> None:
    """Bring specs into the canonical layout; comments are kept, the meaning is unchanged.

    Example: resnext-dsl fmt --check specs/
    """
    with answers.reported():
        changed = [name for name in _expand(files) if _format(name, check, diff)]
    if changed and (check or diff):
        raise typer.Exit(answers.UNMET)


def _expand(files: list[str]) -> list[str]:
    """The files named, and those in the folders named."""
    found: list[str] = []
    for name in files:
        path = Path(name)
        found += sorted(map(str, path.rglob("*.arch"))) if name != "-" and path.is_dir() else [name]
    return found


def _format(name: str, check: bool, diff: bool) -> bool:
    """Formats one file; whether it changed (or would)."""
    from resnext_dsl.formatter import format as layout
    from resnext_dsl.foundation.atomic import write_text
    from resnext_dsl.foundation.options import DEFAULTS
    from resnext_dsl.semantics.spec_files import decode, read

    if name == "-":
        source = decode(sys.stdin.buffer.read(DEFAULTS.max_source_bytes + 1), "<stdin>", DEFAULTS)
    else:
        source = read(Path(name), name, DEFAULTS)
    after = layout.format_text(source)
    changed = after != source.raw
    if diff:
        typer.echo(layout.diff(source.name, source.raw, after), nl=False)
    elif check:
        if changed:
            typer.echo(f"would change {source.name}")
    elif name == "-":
        typer.echo(after, nl=False)
    elif changed:
        write_text(Path(name), after)
        typer.echo(f"changed {source.name}", err=True)
    return changed
