"""The command line. Each command has a room; what a command does not need, it does not import."""

from __future__ import annotations


def main() -> None:
    """Runs the command line: the entry point of `resnext-dsl` and `python -m resnext_dsl`."""
    import gc

    # What imports and parsing make is not garbage; looking for some in it takes a tenth of a `check`.
    gc.set_threshold(50_000, 20, 20)
    from resnext_dsl.cli.app import app

    app()
