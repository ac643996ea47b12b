"""Options of commands that load a checkpoint, and the warnings of loading it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from resnext_dsl.cli import answers

if TYPE_CHECKING:
    from torch import nn

    from resnext_dsl.weights import Checkpoint

Ema = Annotated[
    bool | None,
    typer.Option(
        "--ema/--no-ema",
        help="Averaged or trained weights of a file with both.  [default: of the library that wrote it]",
    ),
]
Map = Annotated[
    list[str] | None,
    typer.Option("--map", metavar="THEIRS=OURS", help="Layer of the checkpoint and of the network; repeatable."),
]
MapFile = Annotated[
    str | None, typer.Option("--map-file", metavar="FILE", help="File with a THEIRS=OURS on each line.")
]
Strict = Annotated[bool, typer.Option("--strict", help="Treat warnings about weights as errors.")]
AdaptInput = Annotated[
    bool,
    typer.Option("--adapt-input", help="Adapt weights for 3-channel images to another number of input channels."),
]
Reference = Annotated[
    str | None,
    typer.Option(
        "--reference",
        metavar="MODULE:FUNCTION",
        help="Function without arguments that gives the source module; it is imported, run and compared.",
    ),
]


def checkpoint_of(
    file: str | None,
    *,
    ema: bool | None,
    pairs: list[str] | None,
    map_file: str | None,
    strict: bool,
    adapt_input: bool,
    reference: str | None,
) -> Checkpoint | None:
    """The checkpoint that options describe; None without a file.

    Raises:
        ArchError: E707 for a map that cannot be read, E708 if the reference cannot be built.
    """
    if file is None:
        for name, value in (("ema", ema), ("map", pairs), ("map-file", map_file), ("reference", reference)):
            if value:
                answers.fail(f"`--{name}` describes a checkpoint: name it with --weights FILE")
        if strict or adapt_input:
            answers.fail(
                f"`--{'strict' if strict else 'adapt-input'}` describes a checkpoint: name it with --weights FILE"
            )
        return None
    from resnext_dsl.weights import Checkpoint
    from resnext_dsl.weights.layer_map import read_map, read_map_file

    mapping = read_map_file(map_file) if map_file is not None else {}
    mapping |= read_map(pairs or [], "--map")
    module = _reference(reference) if reference is not None else None
    return Checkpoint(file, ema, mapping, strict, adapt_input, reference=module)


def _reference(name: str) -> nn.Module:
    """The module that a function of the user gives; only an explicit option runs it."""
    from resnext_dsl.importing.libraries import called_module

    if ":" not in name:
        answers.fail(f"`--reference {name}` is not MODULE:FUNCTION")
    return called_module(name, file="--reference")


@contextmanager
def shown_warnings() -> Iterator[None]:
    """Prints warnings about weights as diagnostics, on standard error."""
    from resnext_dsl.foundation.diagnostics import WeightsWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always", WeightsWarning)
        usual = warnings.showwarning

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if isinstance(message, WeightsWarning):
                answers.show_diagnostics((message.diagnostic,))
            else:
                usual(message, category, filename, lineno, file, line)

        warnings.showwarning = show
        yield
