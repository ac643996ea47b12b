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


def broken(line: str) -> list[str]:
    """A statement as lines: as it is where it fits, else with its outermost brackets opened."""
    if len(line) <= WIDTH:
        return [line]
    depth = (len(line) - len(line.lstrip())) // len(INDENT)
    head, word, text = _split_head(line.strip())
    return lines(prefixed(head + word, _parsed(text)), depth)


def _split_head(text: str) -> tuple[str, str, str]:
    if text.startswith("return "):
        return "", "return ", text[len("return ") :]
    name, equals, rest = text.partition(" = ")
    return (name, equals, rest) if equals and name.isidentifier() else ("", "", text)


def _parsed(text: str) -> Code:
    """An expression as code that can be laid out: a sum in brackets, or a call with its arguments."""
    terms = _parts(text, " + ")
    if len(terms) > 1:
        return Call("(", (terms[0], *(f"+ {term}" for term in terms[1:])), ")", comma=False)
    end = _closing(text)
    start = _opening(text)
    if start is None or end is None:
        return text
    inside = text[start + 1 : end]
    return Call(text[: start + 1], tuple(_parsed(part) for part in _parts(inside, ", ")), text[end:])


def _opening(text: str) -> int | None:
    return next((place for place, letter in enumerate(text) if letter in "(["), None)


def _closing(text: str) -> int | None:
    """Where the bracket closes that is opened first, if nothing but brackets follows."""
    depth = 0
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter in ")]" and depth == 0:
            return place if place == len(text) - 1 else None
    return None


def _parts(text: str, separator: str) -> list[str]:
    """The text cut at a separator outside brackets."""
    parts, depth, start = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if depth == 0 and text.startswith(separator, place):
            parts.append(text[start:place])
            start = place + len(separator)
    return [*parts, text[start:]]
