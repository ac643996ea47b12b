"""The pages of the documentation, and the blocks of code in them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

CHECKOUT = Path(__file__).parents[2]

GENERATED = {"errors.md", "operators.md"}
"""Pages that are made from the package and tested where it makes them."""

PAGES = (
    CHECKOUT / "README.md",
    CHECKOUT / "CONTRIBUTING.md",
    CHECKOUT / "CHANGELOG.md",
    CHECKOUT / "findings" / "README.md",
    *(path for path in sorted((CHECKOUT / "docs").glob("*.md")) if path.name not in GENERATED),
)
"""Every page that is written by hand."""


class Block(NamedTuple):
    """A fenced block: the page, the line of its fence, the language, the word behind the language, the text."""

    page: Path
    line: int
    language: str
    mark: str
    text: str

    @property
    def place(self) -> str:
        """The page and the line, as tests name a block."""
        return f"{self.page.relative_to(CHECKOUT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    fences = re.finditer(r"^```([^\n]*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    return [Block(page, text.count("\n", 0, fence.start()) + 1, *_words(fence[1]), fence[2]) for fence in fences]


def _words(info: str) -> tuple[str, str]:
    language, _, mark = info.partition(" ")
    return language, mark


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def headings(page: Path) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}
