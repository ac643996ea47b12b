"""Opens the files of models, and words the errors about them. Files are read as data: nothing in them is run."""

from __future__ import annotations

import os
import re
from pathlib import Path

from resnext_dsl.foundation.diagnostics import MOST, ArchError, Diagnostic, error
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.operators.base import Shape

MAX_FILE_BYTES = 2 << 30
"""The largest file that is read: a message of protobuf cannot be larger."""

MAX_TEXT = 200
"""The longest part of a name of a file that a message or a trace repeats."""

MAX_NUMBER = 1 << 31
"""No size, stride or padding of a file is larger."""

IDENTIFIER = re.compile(r"[^\W\d]\w{0,99}")
"""The name of a class in a file."""

MODULE_PATH = re.compile(r"\w{1,100}(\.\w{1,100}){0,31}")
"""The path of a module in a file."""

_FRAME = re.compile(r'File "([^"\n]{1,300})", line (\d{1,7}), in ')


class Untranslated(NamedTuple):
    """An operation of a file that has no place in a trace.

    Attributes:
        operation: Its name in the file.
        reason: Its cause, a clause without a subject: "is not translated".
        place: The node or the module, or "".
    """

    operation: str
    reason: str
    place: str = ""


def unreadable(path: Path, reason: str, hint: str = "") -> ArchError:
    """E621 for a file that is missing, damaged or too large."""
    return error("E621", f"the model cannot be read: {clean(reason)}", file=str(path), hint=clean(hint, 2 * MAX_TEXT))


def of_another_version(path: Path, reason: str, hint: str = "") -> ArchError:
    """E622 for a file of a format, version or domain that the reader does not know."""
    return error("E622", f"the model is not read: {clean(reason)}", file=str(path), hint=hint)


def unsafe(path: Path, reason: str, hint: str = "") -> ArchError:
    """E623 for a file whose content lies outside its folder, or would run as code."""
    return error("E623", f"the model is not read: {clean(reason)}", file=str(path), hint=hint)


def untranslated(path: Path, operations: list[Untranslated]) -> ArchError:
    """E624 for operations without a translation: one diagnostic for each name and reason."""
    places: dict[tuple[str, str], list[str]] = {}
    for operation, reason, place in operations:
        places.setdefault((operation, reason), []).append(place)
    diagnostics = [
        Diagnostic("E624", f"the operation `{clean(operation)}` {clean(reason)}{_at(named)}", file=str(path))
        for (operation, reason), named in list(places.items())[:MOST]
    ]
    return ArchError(diagnostics)


def _at(places: list[str]) -> str:
    """The first place, and the number of the others."""
    first = f"; it is used at `{clean(places[0])}`" if places[0] else ""
    more = len(places) - 1
    if not more:
        return first
    return f"{first} and {more} more times" if first else f"; it is used {more + 1} times"


def clean(text: str, length: int = MAX_TEXT) -> str:
    """A text of a file as messages print it: without control characters, at most `length` characters."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: length + 1])
    return shown if len(shown) <= length else f"{shown[:length]}..."


def size_of(path: Path) -> int:
    """The size of a regular file.

    Raises:
        ArchError: E621 if it is missing, a folder, empty or too large.
    """
    try:
        if path.is_dir():
            raise unreadable(path, "it is a folder")
        if not path.is_file():
            raise unreadable(path, "it is not a regular file" if os.path.lexists(path) else "there is no such file")
        size = path.stat().st_size
    except OSError as reason:
        raise unreadable(path, (reason.strerror or str(reason)).lower()) from None
    except ValueError:  # NUL in the name
        raise unreadable(path, "there is no such file") from None
    if size > MAX_FILE_BYTES:
        raise unreadable(path, f"it has {size} bytes, and at most {MAX_FILE_BYTES} are read")
    if not size:
        raise unreadable(path, "it is empty")
    return size


def module_path(text: str) -> str:
    """A path of a module of a file, or "" if it is not the path of a module."""
    return text if MODULE_PATH.fullmatch(text) else ""


def class_name(text: str) -> str:
    """The last part of the qualified name of a class, or `Module` if it is no name."""
    name = text.rpartition(".")[2][: MAX_TEXT + 1]
    return name if IDENTIFIER.fullmatch(name) else "Module"


def place_of(stack: str) -> str:
    """The innermost line outside torch, "FILE:LINE", of a stack that torch stores with an operation; "" for none."""
    lines = [f"{file}:{line}" for file, line in _FRAME.findall(stack) if "/torch/" not in file and file.isprintable()]
    return lines[-1] if lines else ""


def network_name(path: Path) -> str:
    """A name of the language for the network of a file."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", path.stem)[:60].strip("_").lower()
    return name if name and not name[0].isdigit() else f"model_{name}".rstrip("_")


def check_shape(path: Path, stated: Shape, asked: Shape | None) -> None:
    """E622 if the caller asks for another shape of the input than the file states."""
    if asked is not None and asked != stated:
        texts = ["x".join(map(str, shape)) for shape in (stated, asked)]
        raise of_another_version(
            path,
            f"its input is {texts[0]}, not {texts[1]}",
            f"leave the shape out, or export the model again with an input of {texts[1]}",
        )
