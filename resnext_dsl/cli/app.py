"""The commands and what they share in the command line's help."""

from __future__ import annotations

import typer

from resnext_dsl.cli.check import check
from resnext_dsl.cli.compile import compile_
from resnext_dsl.cli.fmt import fmt
from resnext_dsl.cli.summary import summary
from resnext_dsl.cli.verify import verify
from resnext_dsl.cli.weights import weights
from resnext_dsl.cli.zoo import zoo

app = typer.Typer(
    name="resnext-dsl",
    help="Write, check and compile convolutional networks. SPEC is a path or the name of a shipped network "
    "(see `zoo`).\n\nExit status: 0 all well; 1 a budget or requirement is not met; 2 the spec or the command is "
    "wrong; 3 a mistake of ours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("check")(check)
app.command("compile")(compile_)
app.command("summary")(summary)
app.command("verify")(verify)
app.command("fmt")(fmt)
app.command("zoo")(zoo)
app.command("weights")(weights)


def _version(show: bool) -> None:
    if show:
        from resnext_dsl import __version__

        typer.echo(f"resnext-dsl {__version__}")
        raise typer.Exit


@app.callback()
def _common(
    _: bool = typer.Option(False, "--version", help="Print the version and stop.", callback=_version, is_eager=True),
) -> None:
    pass
