"""Loads networks and specs from a path, from the name of a shipped network, or from text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from resnext_dsl.foundation.diagnostics import error
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.importing.sources import is_source
from resnext_dsl.networks.network import Network
from resnext_dsl.networks.spec import Spec
from resnext_dsl.semantics.spec_files import SHIPPED, Loader, SpecFile, find, read, text_source

if TYPE_CHECKING:
    from torch import Tensor, nn

    from resnext_dsl.operators.base import Shape


def load(
    spec: str | os.PathLike[str],
    /,
    *,
    root: str | os.PathLike[str] | None = None,
    options: Options = DEFAULTS,
    **overrides: Any,
) -> Network:
    """Loads the network of a spec file, or of a shipped spec by its name.

    Args:
        spec: A path, or the name of a shipped network (`resnet50`).
        root: The folder that imports must stay under; the folder of the file if None.
        options: Bounds on the size of the spec.
        **overrides: Values for the network's parameters; text is read as an expression of the language.

    Raises:
        ArchError: If the spec has errors; the exception lists all of them.
        RequirementError: If a `require` of the spec does not hold for these values.
    """
    return load_with(spec, overrides, root=root, options=options)


def load_with(
    spec: str | os.PathLike[str],
    overrides: Mapping[str, Any],
    root: str | os.PathLike[str] | None = None,
    options: Options = DEFAULTS,
) -> Network:
    """Does the same as `load`, with the overrides as a mapping."""
    return network_of(source_of(spec, options), root, options, overrides)


def source_of(spec: str | os.PathLike[str], options: Options) -> Source:
    """Reads the text of a spec file, or of a shipped spec by its name; writes the text of a torch model or model file.

    Raises:
        ArchError: If the file cannot be read, or the model cannot be imported.
    """
    if is_source(os.fspath(spec)):
        from resnext_dsl.importing.imported import import_source

        return text_source(import_source(os.fspath(spec)).text, os.fspath(spec), options)
    path = find(spec)
    return read(path, os.fspath(spec) if path.parent != SHIPPED else path.name, options)


def loads(
    text: str, root: str | os.PathLike[str] | None = None, *, options: Options = DEFAULTS, **overrides: Any
) -> Network:
    """Loads the network of a text.

    Args:
        text: The text of a spec.
        root: The folder that relative imports start from; if None, the text cannot import by a relative path.
        options: Bounds on the size of the spec.
        **overrides: Values for the network's parameters; text is read as an expression of the language.

    Raises:
        ArchError: If the spec has errors; the exception lists all of them.
        RequirementError: If a `require` of the spec does not hold for these values.
    """
    return network_of(text_source(text, "<spec>", options), root, options, overrides)


def network_of(
    source: Source, root: str | os.PathLike[str] | None, options: Options, overrides: Mapping[str, Any]
) -> Network:
    """Runs the pipeline from a source to a network: parse, resolve names, bind parameters, expand, verify."""
    return spec_of(source, root, options).network(overrides)


def spec_of(source: Source, root: str | os.PathLike[str] | None, options: Options = DEFAULTS) -> Spec:
    """Parses a source and the files that it imports, and resolves its names.

    Args:
        source: The text of a spec.
        root: The folder that imports must stay under; the folder of the file if None.
        options: Bounds on the size of the spec.

    Raises:
        ArchError: If a file cannot be read or parsed.
    """
    try:
        return Spec(parsed(source, root, options), options)
    except RecursionError:
        raise error("E403", "the spec is nested too deeply") from None


def parsed(source: Source, root: str | os.PathLike[str] | None, options: Options) -> SpecFile:
    """Parses a source and the files that it imports."""
    folder = Path(root) if root is not None else source.path.parent if source.path is not None else None
    loader = Loader(folder, options)
    return loader.load(source, shipped=folder is not None and folder.resolve() == SHIPPED.resolve())


def from_torch(module: nn.Module, example: Tensor | Shape, name: str = "") -> Network:
    """A torch module as a network, with a readable text in `source`.

    Args:
        module: The module, on any device; it is not changed, and it does not run on data.
        example: An input with its batch, or the shape of an input without the batch.
        name: The name of the network; the class of the module if "".

    Raises:
        ArchError: If the module cannot be traced, or has operations that the language lacks; the exception lists all
            of them with their places in the source of the module.
    """
    from resnext_dsl.importing.imported import import_module

    shape = example if isinstance(example, tuple) else tuple(example.shape[1:])
    kind = type(module).__name__
    imported = import_module(module, shape, name or kind, f"{type(module).__module__}:{kind}")
    return loads(imported.text)
