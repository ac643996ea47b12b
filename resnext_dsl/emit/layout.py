"""Calls as lines of at most 110 columns: on one line where they fit, else one argument a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

WIDTH = 110
INDENT = "    "


@dataclass(frozen=True, slots=True)
class Call:
    """Something in brackets; `comma` says whether its items are separated by commas."""

    opening: str
    items: tuple[Code, ...]
    closing: str = ")"
    comma: bool = True


Code = str | Call


def call(name: str, items: Iterable[Code]) -> Code:
    """`name(item, item)`."""
    made = tuple(items)
    return Call(f"{name}(", made) if made else f"{name}()"


def prefixed(prefix: str, code: Code) -> Code:
    """Code with text before it: `key=` or `self.conv = `."""
    return prefix + code if isinstance(code, str) else Call(prefix + code.opening, code.items, code.closing, code.comma)


def suffixed(code: Code, suffix: str) -> Code:
    """Code with text behind it."""
    return code + suffix if isinstance(code, str) else Call(code.opening, code.items, code.closing + suffix, code.comma)


def flat(code: Code) -> str:
    """The code on one line."""
    if isinstance(code, str):
        return code
    separator = ", " if code.comma else " "
    return code.opening + separator.join(map(flat, code.items)) + code.closing


def lines(code: Code, depth: int = 0) -> list[str]:
    """The code as lines, indented."""
    margin = INDENT * depth
    line = margin + flat(code)
    if isinstance(code, str) or len(line) <= WIDTH:
        return [line]
    made = [margin + code.opening]
    for item in code.items:
        made += lines(suffixed(item, ",") if code.comma else item, depth + 1)
    return [*made, margin + code.closing]


def indented(texts: Iterable[str], depth: int = 1) -> list[str]:
    """Lines moved to the right; empty ones stay empty."""
    return [INDENT * depth + text if text else "" for text in texts]
