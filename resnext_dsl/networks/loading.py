"""The whole pipeline: from a text to a checked network."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from resnext_dsl.budgets.limits import bind_limits, misplaced
from resnext_dsl.expansion.calls import Readings
from resnext_dsl.expansion.construct import errors_of, graph_of, report_of
from resnext_dsl.foundation.diagnostics import ArchError, Diagnostic, error
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.graph.invariants import verify
from resnext_dsl.networks.network import Network, Origin
from resnext_dsl.semantics.bind import Binder, unmet_requirements
from resnext_dsl.semantics.evaluate import Evaluator
from resnext_dsl.semantics.init_targets import settle
from resnext_dsl.semantics.resolve import resolve
from resnext_dsl.semantics.scope import Scopes
from resnext_dsl.semantics.spec_files import SHIPPED, Loader, Module, find, read, text_source


def load(
    spec: str | os.PathLike[str],
    /,
    *,
    root: str | os.PathLike[str] | None = None,
    options: Options = DEFAULTS,
    **overrides: Any,
) -> Network:
    """The network of a file, or of a shipped spec by its name.

    Args:
        spec: A path, or the name of a shipped network (`resnet50`).
        root: The folder that imports stay under; that of the file by default.
        options: Bounds on the spec.
        **overrides: Values for the network's parameters; text is read as an expression of the language.

    Raises:
        ArchError: With everything that is wrong with the spec.
        RequirementError: Where a `require` of the spec does not hold for these values.
    """
    return load_with(spec, overrides, root=root, options=options)


def load_with(
    spec: str | os.PathLike[str],
    overrides: Mapping[str, Any],
    root: str | os.PathLike[str] | None = None,
    options: Options = DEFAULTS,
) -> Network:
    """`load`, with the overrides as a mapping."""
    return network_of(source_of(spec, options), root, options, overrides)


def source_of(spec: str | os.PathLike[str], options: Options) -> Source:
    """The text of a file, or of a shipped spec by its name."""
    path = find(spec)
    return read(path, os.fspath(spec) if path.parent != SHIPPED else path.name, options)


def loads(
    text: str, root: str | os.PathLike[str] | None = None, *, options: Options = DEFAULTS, **overrides: Any
) -> Network:
    """The network of a text; `root` is the folder that its relative imports start from (without it, it has none)."""
    return network_of(text_source(text, "<spec>", options), root, options, overrides)


def network_of(
    source: Source, root: str | os.PathLike[str] | None, options: Options, overrides: Mapping[str, Any]
) -> Network:
    """Runs the pipeline: parse, resolve names, bind parameters, expand, verify."""
    try:
        module = parsed(source, root, options)
        return expanded(module, resolve(module), options, overrides)
    except RecursionError:
        raise error("E403", "the spec is nested too deep") from None


def parsed(source: Source, root: str | os.PathLike[str] | None, options: Options) -> Module:
    """The file and what it imports."""
    folder = Path(root) if root is not None else source.path.parent if source.path is not None else None
    loader = Loader(folder, options)
    return loader.load(source, shipped=folder is not None and folder.resolve() == SHIPPED.resolve())


def expanded(
    module: Module,
    resolved: Sequence[Diagnostic],
    options: Options,
    overrides: Mapping[str, Any],
    readings: Readings | None = None,
) -> Network:
    """The network of a file that has been read.

    Args:
        module: The file.
        resolved: What `resolve` found in it.
        options: Bounds on the spec.
        overrides: Values for parameters.
        readings: What its text settles, kept from one binding to the next.
    """
    evaluator = Evaluator(options)
    scopes = Scopes(evaluator)
    binder = Binder(evaluator, scopes)
    try:
        bound = binder.bind(module, overrides)
    except ArchError as problem:
        raise report_of([*resolved, *scopes.diagnostics, *problem.diagnostics], options) from None
    limits, wrong_limits = bind_limits(bound, evaluator)
    found = [*resolved, *scopes.diagnostics, *binder.diagnostics, *wrong_limits]
    unmet = unmet_requirements(binder)
    if unmet is not None and not errors_of(found):
        raise unmet
    if any(diagnostic.code == "E104" for diagnostic in resolved):
        raise report_of(found, options)  # what calls itself cannot be expanded
    wrong = bool(errors_of(scopes.diagnostics + binder.diagnostics))
    ir, met = graph_of(bound, evaluator, readings, check=not wrong, before=found)
    # What names a part is held against the parts of the text's own network: other values may have fewer of them.
    own = not overrides
    found += [*met, *(misplaced(limits, ir) if own and not errors_of(met) else ())]
    if errors_of(found):
        raise report_of(found, options)
    init, aimless = settle(bound.init, verify(ir))
    if aimless and own:
        raise report_of([*found, *aimless], options)
    origin = Origin(module, resolved, overrides)
    return Network(module.file.span.source, bound, ir, init, limits, options, tuple(found), origin)
