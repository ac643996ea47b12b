"""Writes results as specs: copies of the searched file with the values of a candidate as defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from resnext_dsl.formatter.format import format_text
from resnext_dsl.foundation.diagnostics import ArchError, error
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.networks.loading import network_of, parsed
from resnext_dsl.semantics.spec_files import SpecFile, text_source, the_network
from resnext_dsl.spaces.candidate import Candidate, plain, text_of
from resnext_dsl.spaces.space import Space
from resnext_dsl.syntax import nodes as s


def written(space: Space, candidate: Candidate) -> str:
    """The text of the spec with the values of a candidate and of the fixed parameters as defaults.

    Raises:
        ArchError: E801 if the text describes another network, which is an internal error.
    """
    bound = space.bind(candidate)
    values = {
        name: text_of(plain(bound.parameters[name].value))
        for name in (*space.fixed, *candidate)
        if name in bound.parameters
    }
    text = _replaced(space.spec.spec_file, values)
    source = text_source(text, space.network.source.name, DEFAULTS)
    path = space.network.source.path
    again = network_of(source, path.parent if path is not None else None, DEFAULTS, {})
    if again.fingerprint != bound.fingerprint:
        raise error(
            "E801",
            f"the spec written for {candidate} would be another network",
            hint="please report this with the spec",
        )
    return format_text(source)


def _replaced(module: SpecFile, values: Mapping[str, str]) -> str:
    """The text with new values, at the default of each parameter or in the arguments of a derived network."""
    declared = the_network(module)
    text = module.file.span.source.text
    changes: list[tuple[int, int, str]] = []
    left = dict(values)
    if isinstance(declared, s.NetworkDeclaration):
        for entry in declared.entries:
            if isinstance(entry, s.Param) and entry.name.text in left:
                changes.append((entry.default.span.start, entry.default.span.end, left.pop(entry.name.text)))
    else:
        for argument in declared.arguments:
            if argument.name is not None and argument.name.text in left:
                changes.append((argument.value.span.start, argument.value.span.end, left.pop(argument.name.text)))
        opening = text.index("(", declared.base.span.end) + 1
        more = ", ".join(f"{name}={value}" for name, value in left.items())
        changes.append((opening, opening, f"{more}, " if more and declared.arguments else more))
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def write(space: Space, candidates: list[Candidate], folder: Path) -> list[Path]:
    """Writes a spec for each candidate. Returns their paths, the best first.

    Removes the specs that an earlier call has written for a longer front, unless they were edited.

    Raises:
        ArchError: E502 if the spec imports files by a relative path and `folder` is not its own folder.
        OSError: If a file cannot be written.
    """
    origin = space.network.source.path
    relative = [item.path for item, _ in space.spec.spec_file.imports if item.path]
    if relative and (origin is None or folder.resolve() != origin.parent.resolve()):
        message = f"`{space.network.name}` imports {relative[0]!r} by a relative path, so write it to the same folder"
        raise error("E502", message, hint=f"write to {origin.parent if origin is not None else 'its folder'}")
    texts = [written(space, candidate) for candidate in candidates]
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for place, text in enumerate(texts, 1):
        path = folder / f"{space.network.name}-{place}.arch"
        partial = path.with_suffix(".part")
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
        paths.append(path)
    for path in folder.glob(f"{space.network.name}-*.arch"):
        number = path.stem.removeprefix(f"{space.network.name}-")
        if number.isdigit() and int(number) > len(paths) and _is_winner(space, path):
            path.unlink()
    return paths


def _is_winner(space: Space, path: Path) -> bool:
    """Whether a file differs from the searched spec in the values of parameters alone."""
    names = {*space.fixed, *(dimension.parameter for dimension in space.dimensions)}
    parameters = space.network.parameters
    values = {name: text_of(plain(parameters[name].value)) for name in names if name in parameters}
    origin = space.network.source
    root = origin.path.parent if origin.path is not None else None
    try:
        source = text_source(path.read_text(encoding="utf-8"), origin.name, DEFAULTS)
        module = parsed(source, root, DEFAULTS)
        return _text(_replaced(module, values)) == _text(_replaced(space.spec.spec_file, values))
    except (ArchError, OSError, UnicodeError):
        return False


def _text(text: str) -> str:
    return format_text(text_source(text, "spec", DEFAULTS))
