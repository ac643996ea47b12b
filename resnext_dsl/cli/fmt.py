"""`resnext-dsl fmt`: formats specs in the canonical layout."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from resnext_dsl.cli import answers


def fmt(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Files or folders; `-` reads standard input.")],
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; end with status 1 if a file would change.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Write nothing; print the changes; end with status 1 if there are any.")
    ] = False,
) -> None:
    """Format specs in the canonical layout. Comments and meaning stay the same.

    Example: resnext-dsl fmt --check specs/
    """
    with answers.reported():
        changed = [name for name in _expand(files) if _format(name, check, diff)]
    if changed and (check or diff):
        raise typer.Exit(answers.UNMET)


def _expand(files: list[str]) -> list[str]:
    """The named files, and the specs in the named folders."""
    paths: list[str] = []
    for name in files:
        path = Path(name)
        paths += sorted(map(str, path.rglob("*.arch"))) if name != "-" and path.is_dir() else [name]
    return paths


def _format(name: str, check: bool, diff: bool) -> bool:
    """Formats one file; returns whether it changed, or would change."""
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
