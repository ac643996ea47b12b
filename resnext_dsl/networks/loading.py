"""Loads specs: from a path, the name of a shipped network, or a text to a network."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.networks.network import Network
from resnext_dsl.networks.spec import Spec
from resnext_dsl.semantics.spec_files import SHIPPED, Loader, SpecFile, find, read, text_source


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
    """The network of a text: runs the pipeline (parse, resolve names, bind parameters, expand, verify)."""
    return spec_of(source, root, options).network(overrides)


def spec_of(source: Source, root: str | os.PathLike[str] | None, options: Options = DEFAULTS) -> Spec:
    """The spec of a text: the file and its imports are read, its names are resolved.

    Args:
        source: The text.
        root: The folder that imports stay under; that of the file by default.
        options: Bounds on the spec.

    Raises:
        ArchError: If a file cannot be read or parsed.
    """
    try:
        return Spec(parsed(source, root, options), options)
    except RecursionError:
        raise error("E403", "the spec is nested too deep") from None


def parsed(source: Source, root: str | os.PathLike[str] | None, options: Options) -> SpecFile:
    """The syntax tree of a text, and those of the files that it imports."""
    folder = Path(root) if root is not None else source.path.parent if source.path is not None else None
    loader = Loader(folder, options)
    return loader.load(source, shipped=folder is not None and folder.resolve() == SHIPPED.resolve())
