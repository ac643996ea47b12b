"""Options of commands that load a checkpoint, and the warnings of loading it."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

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
    from torch import nn

    from resnext_dsl.foundation.diagnostics import did_you_mean, error

    module, colon, attribute = name.partition(":")
    if not colon:
        answers.fail(f"`--reference {name}` is not MODULE:FUNCTION")
    if (folder := str(Path.cwd())) not in sys.path:
        sys.path.insert(0, folder)
    try:
        members: dict[str, Any] = vars(import_module(module))
        if attribute not in members:
            hint = did_you_mean(attribute, [key for key in members if callable(members[key])])
            raise error("E708", f"module `{module}` has no function `{attribute}`", hint=hint, file="--reference")
        built = members[attribute]()
    except Exception as problem:  # code of a user may raise any exception
        from resnext_dsl.foundation.diagnostics import ArchError

        if isinstance(problem, ArchError):
            raise
        message = f"`{name}` cannot be run: {type(problem).__name__}: {str(problem).partition(chr(10))[0]}"[:300]
        raise error("E708", message, file="--reference") from None
    if not isinstance(built, nn.Module):
        kind = type(built).__name__
        message = f"`{name}` returns a value of type `{kind}`; a reference is a function that gives a torch module"
        raise error("E708", message, file="--reference")
    return built


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
