"""The caller's map from names of a checkpoint to names of the network, for layers whose place names do not tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from resnext_dsl.foundation.diagnostics import Diagnostic, WeightsError, did_you_mean
from resnext_dsl.weights.leaves import Shapes
from resnext_dsl.weights.shown import shown


def read_map(lines: Iterable[str], file: str) -> dict[str, str]:
    """The map that lines of `THEIRS=OURS` state; `#` starts a comment.

    Raises:
        WeightsError: E707 for a line of another form, and for a name that stands there twice.

    >>> read_map(["branch1.0 = conv3.paths.1  # the dilated one"], "names.map")
    {'branch1.0': 'conv3.paths.1'}
    """
    mapping: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        theirs, sign, ours = (part.strip() for part in text.partition("="))
        if not (sign and theirs and ours):
            raise _wrong(f"`{shown(text)}` is not THEIRS=OURS", file=f"{file}:{number}")
        if theirs in mapping or ours in mapping.values():
            twice = theirs if theirs in mapping else ours
            raise _wrong(f"`{shown(twice)}` is mapped twice", file=f"{file}:{number}")
        mapping[theirs] = ours
    return mapping


def read_map_file(path: str) -> dict[str, str]:
    """The map in a file; see `read_map`.

    Raises:
        WeightsError: E707, also if the file cannot be read.
    """
    try:
        return read_map(Path(path).read_text(encoding="utf-8").splitlines(), path)
    except (OSError, ValueError) as reason:
        text = (reason.strerror or "").lower() if isinstance(reason, OSError) else "it is no text in UTF-8"
        raise _wrong(f"the map cannot be read: {text}", file=path) from None


def parts_of(ours: Shapes, theirs: Shapes, mapping: Mapping[str, str], file: str) -> Iterator[tuple[Shapes, Shapes]]:
    """The keys under each pair of names, on both sides, then all other keys.

    A pair of longer names goes before a pair of shorter ones that hold it.

    Raises:
        WeightsError: E707 for a name without keys.
    """
    left, others = dict(ours), dict(theirs)
    for there, here in sorted(mapping.items(), key=lambda pair: -pair[0].count(".")):
        yield _taken(left, here, ours, "the network", file), _taken(others, there, theirs, "the checkpoint", file)
    if left or others or not mapping:
        yield left, others


def _taken(shapes: dict[str, tuple[int, ...]], name: str, all_shapes: Shapes, side: str, file: str) -> Shapes:
    """Removes the keys of a layer, module or tensor, and returns them."""
    inside = {key: shape for key, shape in shapes.items() if key == name or key.startswith(f"{name}.")}
    if not inside:
        known = any(key == name or key.startswith(f"{name}.") for key in all_shapes)
        if known:
            raise _wrong(f"`{shown(name)}` of {side} is mapped twice", file)
        hint = did_you_mean(name, _names(all_shapes))
        raise _wrong(f"the map names `{shown(name)}`, and {side} has no such layer", file, hint)
    for key in inside:
        del shapes[key]
    return inside


def _names(shapes: Shapes) -> set[str]:
    """The keys, layers and modules of a state_dict."""
    names = set(shapes)
    for key in shapes:
        parts = key.split(".")
        names.update(".".join(parts[:count]) for count in range(1, len(parts)))
    return names


def _wrong(message: str, file: str, hint: str = "") -> WeightsError:
    return WeightsError([Diagnostic("E707", message, hint=hint, file=file)])
