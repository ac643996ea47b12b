"""The table of the library's templates in docs/language.md."""

from __future__ import annotations

import re
from pathlib import Path

from pages import CHECKOUT

from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import nodes as s
from resnext_dsl.syntax.parse import parse

PAGE = CHECKOUT / "docs" / "language.md"


def signatures(path: Path) -> list[tuple[str, str]]:
    """The name of a library and the signature of each of its templates."""
    file = parse(Source(path.name, path.read_text(encoding="utf-8")))
    return [(f"std.{path.stem}", signature(item)) for item in file.items if isinstance(item, s.Template)]


def signature(template: s.Template) -> str:
    parameters = (
        formal.name.text + (f"={formal.default.span.text}" if formal.default is not None else "")
        for formal in template.parameters
    )
    return f"{template.name.text}({', '.join(parameters)})"


def test_the_page_lists_every_template_of_the_library_with_its_parameters() -> None:
    rows = re.findall(r"^\| `(std\.\w+)` \| `([^`]+)` \| \S", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [row for path in sorted((CHECKOUT / "specs" / "std").glob("*.arch")) for row in signatures(path)]
    assert len(rows) > 10
