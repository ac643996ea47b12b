"""Breaks calls into lines: one line if the call fits, else one argument a line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

WIDTH = 108
"""Columns of a line before the class and the method indent it by up to three levels, 120 columns in the file."""

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Bracketed:
    """Code in brackets.

    Attributes:
        opening: Text up to and with the opening bracket.
        items: The code inside the brackets.
        closing: The closing bracket and the text after it.
        comma: Whether commas separate the items.
        soft: Whether the brackets exist only to break the line, so that one line has none.
    """

    opening: str
    items: tuple[Code, ...]
    closing: str = ")"
    comma: bool = True
    soft: bool = False


Code = str | Bracketed


def call(name: str, items: Iterable[Code]) -> Code:
    """`name(item, item)`."""
    arguments = tuple(items)
    return Bracketed(f"{name}(", arguments) if arguments else f"{name}()"


def prefixed(prefix: str, code: Code) -> Code:
    """Code with text before it: `key=` or `self.conv = `."""
    return prefix + code if isinstance(code, str) else replace(code, opening=prefix + code.opening)


def suffixed(code: Code, suffix: str) -> Code:
    """Code with text after it."""
    return code + suffix if isinstance(code, str) else replace(code, closing=code.closing + suffix)


def flat(code: Code) -> str:
    """The code on one line."""
    if isinstance(code, str):
        return code
    separator = ", " if code.comma else " "
    inside = separator.join(map(flat, code.items))
    if code.soft:
        return code.opening.removesuffix("(") + inside + code.closing.removeprefix(")")
    return code.opening + inside + code.closing


def lines(code: Code, depth: int = 0, width: int = WIDTH) -> list[str]:
    """The code as indented lines."""
    margin = INDENT * depth
    line = margin + flat(code)
    if isinstance(code, str) or len(line) <= width:
        return [line]
    broken_lines = [margin + code.opening]
    for item in code.items:
        broken_lines += lines(suffixed(item, ",") if code.comma else item, depth + 1, width)
    return [*broken_lines, margin + code.closing]


def indented(texts: Iterable[str], depth: int = 1) -> list[str]:
    """Lines moved to the right; empty lines stay empty."""
    return [INDENT * depth + text if text else "" for text in texts]


def broken(line: str) -> list[str]:
    """A statement as lines: unchanged if it fits, else with its outermost brackets opened."""
    if len(line) <= WIDTH:
        return [line]
    depth = (len(line) - len(line.lstrip())) // len(INDENT)
    text = line.strip().removesuffix(":")
    head = _head(text)
    if head.endswith(" = ") and head.count(", ") > 2:
        targets = head.removesuffix(" = ").split(", ")
        return lines(Bracketed("(", tuple(targets), f") = {text[len(head) :]}", soft=True), depth)
    return lines(suffixed(prefixed(head, _parsed(text[len(head) :])), ":" * line.endswith(":")), depth)


def _head(text: str) -> str:
    """The text of a statement before its expression."""
    for word, inside in (("return ", ""), ("for ", " in ")):
        if text.startswith(word):
            return text[: text.index(inside) + len(inside)] if inside else word
    name, equals, _ = text.partition(" = ")
    return name + equals if equals and all(part.isidentifier() for part in name.split(", ")) else ""


def _parsed(text: str) -> Code:
    """An expression as code that can be broken: several values, a sum, or a call with its arguments."""
    values = _parts(text, ", ")
    if len(values) > 1:
        return Bracketed("(", tuple(values), soft=True)
    terms = _parts(text, " + ")
    if len(terms) > 1:
        return Bracketed("(", (terms[0], *(f"+ {term}" for term in terms[1:])), ")", comma=False, soft=True)
    end = _closing(text)
    start = _opening(text)
    if start is None or end is None:
        return text
    parts = _parts(text[start + 1 : end], ", ")
    # A comma behind the one value of a group would make a tuple of it.
    is_group = text[start] == "(" and len(parts) == 1 and not re.search(r"[\w\])]$", text[:start])
    return Bracketed(text[: start + 1], tuple(map(_parsed, parts)), text[end:], comma=not is_group)


def _opening(text: str) -> int | None:
    return next((place for place, letter in enumerate(text) if letter in "(["), None)


def _closing(text: str) -> int | None:
    """The place where the first bracket closes; None if text follows it."""
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
