"""The command line, one module for each command. A command imports only the packages that it needs."""

from __future__ import annotations


def main() -> None:
    """Runs the command line: the entry point of `resnext-dsl` and `python -m resnext_dsl`."""
    try:
        import gc

        # Imports and parsing create no garbage, but scanning their objects takes a tenth of the time of a `check`.
        gc.set_threshold(50_000, 20, 20)
        from resnext_dsl.cli.app import app

        app()
    except KeyboardInterrupt:  # while the application is imported; click catches the later ones
        raise SystemExit(130) from None
