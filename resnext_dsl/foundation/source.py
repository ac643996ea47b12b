"""One text: its name, its lines, and the line and column of an offset."""

from __future__ import annotations

import bisect
import re
from functools import cached_property
from pathlib import Path

_LINE_END = re.compile(r"\r\n|\r|\n")


class Source:
    """The text of one spec or library.

    Attributes:
        name: Its name in diagnostics: the path as the user gave it, or `<spec>`.
        raw: The unchanged text.
        text: The text without byte order mark, with line ends as LF.
        path: The resolved path, or None if the text is not from a file.
    """

    def __init__(self, name: str, text: str, path: Path | None = None) -> None:
        self.name = name
        self.raw = text
        self.text = _LINE_END.sub("\n", text.removeprefix("\N{ZERO WIDTH NO-BREAK SPACE}"))
        self.path = path

    @cached_property
    def _starts(self) -> list[int]:
        return [0, *(match.end() for match in re.finditer("\n", self.text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset, both from 1."""
        line = bisect.bisect_right(self._starts, offset)
        return line, offset - self._starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a line, from 1, without its line end."""
        start = self._starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start : end if end >= 0 else len(self.text)]
