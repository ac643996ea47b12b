"""The bounds that keep every spec finite, each one an option."""

from __future__ import annotations

from resnext_dsl.foundation.records import NamedTuple


class Options(NamedTuple):
    """Bounds on a spec; a spec that exceeds one has an error that names the option.

    Attributes:
        max_source_bytes: Size of one file in bytes.
        max_files: Files of one spec: its own and those it imports.
        max_depth: Nesting depth of brackets in the text.
        max_calls: Nesting depth of templates, functions and blocks in expansion.
        max_digits: Decimal digits of an integer, written or computed.
        max_nodes: Operators and passes of loops after expansion.
        max_steps: Steps of computation: expressions, statements and passes evaluated.
        max_errors: Errors reported in one run.
    """

    max_source_bytes: int = 1 << 20
    max_files: int = 64
    max_depth: int = 64
    max_calls: int = 64
    max_digits: int = 30
    max_nodes: int = 100_000
    max_steps: int = 1_000_000
    max_errors: int = 20


DEFAULTS = Options()
