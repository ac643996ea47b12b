"""Budgets in a file of their own, for networks that have no spec or that share budgets."""

from __future__ import annotations

import os
from pathlib import Path

from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, SpecSyntaxError, error
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.semantics.spec_files import find, read
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.parse import parse_entries, recover


def budgets_of(path: str | os.PathLike[str], options: Options) -> tuple[s.Budget, ...]:
    """The budgets of a file.

    Raises:
        ArchError: E505, E501 or another code if the file cannot be read or has syntax errors. E105 if it has anything
            other than budgets, or no budget.
    """
    name = os.fsdecode(path)
    source = read(find(name), name, options)
    budgets = []
    for entry in _entries(source, options):
        if not isinstance(entry, s.Budget):
            hint = "a spec, which declares a network, has budgets of its own"
            raise error("E105", "a file of budgets has `budget` blocks only", entry.span, hint=hint)
        budgets.append(entry)
    if not budgets:
        hint = "write `budget { params <= 5M; flops <= 600M }`"
        raise ArchError([Diagnostic("E105", "the file has no budget", hint=hint, file=Path(name).name)])
    return tuple(budgets)


def _entries(source: Source, options: Options) -> tuple[s.Entry | s.Item, ...]:
    """The entries of the file; the items of a spec, if the file is one."""
    try:
        return parse_entries(source, options)
    except SpecSyntaxError:
        spec = recover(source, options)
        if spec.diagnostics:
            raise
        return spec.file.items
