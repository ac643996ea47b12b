"""The application: the list of commands, their settings, and the help of the command line."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from keyword import iskeyword
from typing import Any

import click
import typer
from typer.core import TyperGroup

COMMANDS = (
    "check",
    "compile",
    "export",
    "bench",
    "summary",
    "diff",
    "verify",
    "solve",
    "search",
    "report",
    "train",
    "fmt",
    "zoo",
    "import",
    "weights",
)
"""Every command, in the order of the help. The module of a command has its name."""

SETTINGS: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
    "context_settings": {"help_option_names": ["-h", "--help"], "max_content_width": 100},
}


class Commands(TyperGroup):
    """The commands. Each is built on demand: building all of them takes longer than most commands run."""

    def invoke(self, ctx: click.Context) -> Any:
        """Runs a command; a mistake of the package ends it with E801 and the status of an internal error."""
        from resnext_dsl.cli import answers

        with answers.internal_errors():
            return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of a name; None if there is no such command."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"resnext_dsl.cli.{cmd_name}_" if iskeyword(cmd_name) else f"resnext_dsl.cli.{cmd_name}")
        run: Callable[..., None] = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        alone = typer.Typer(**SETTINGS)
        alone.command(cmd_name)(run)
        command = typer.main.get_command(alone)
        command.help = _unwrapped_example(command.help or "")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command in the arguments, and the other arguments; the error of an unknown command names the nearest."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as problem:
            from resnext_dsl.foundation.diagnostics import did_you_mean

            hint = did_you_mean(args[0], COMMANDS)
            raise click.UsageError(f"{problem.message} {hint.capitalize()}".rstrip(), ctx) from None


def _unwrapped_example(text: str) -> str:
    """The help of a command with its example on one line, so that a user can copy it."""
    # A line with a backspace tells click not to wrap the paragraph.
    description, mark, example = text.partition("\n\nExample: ")
    return f"{description}\n\n\b\nExample: {' '.join(example.split())}" if mark else text


app = typer.Typer(
    cls=Commands,
    name="resnext-dsl",
    help="Write, check and compile convolutional networks. SPEC is a path, the name of a shipped network (see `zoo`), "
    "or a torch model (see `import`).\n\nExit status: 0 success; 1 a budget or requirement is not met; 2 the spec or "
    "the command is wrong; 3 an internal error.",
    no_args_is_help=True,
    **SETTINGS,
)


def _version(show: bool) -> None:
    if show:
        from resnext_dsl.foundation.version import __version__

        typer.echo(f"resnext-dsl {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _: bool = typer.Option(False, "--version", help="Print the version and exit.", callback=_version, is_eager=True),
) -> None:
    pass
