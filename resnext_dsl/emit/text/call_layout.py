"""Calls as lines: on one line where they fit, else one argument a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

WIDTH = 108
"""Columns of a line before what is around it moves it right, at most three levels: 120 in the end."""

INDENT = "    "


@dataclass(frozen=True, slots=True)
class Bracketed:
    """Something in brackets.

    Attributes:
        opening: Text up to and with the bracket.
        items: What stands inside.
        closing: The other bracket and what follows.
        comma: Whether commas stand between the items.
        soft: Whether the brackets are only there to break the line.
    """

    opening: str
    items: tuple[Code, ...]
    closing: str = ")"
    comma: bool = True
    soft: bool = False


Code = str | Bracketed


def call(name: str, items: Iterable[Code]) -> Code:
    """`name(item, item)`."""
    made = tuple(items)
    return Bracketed(f"{name}(", made) if made else f"{name}()"


def prefixed(prefix: str, code: Code) -> Code:
    """Code with text before it: `key=` or `self.conv = `."""
    return prefix + code if isinstance(code, str) else replace(code, opening=prefix + code.opening)


def suffixed(code: Code, suffix: str) -> Code:
    """Code with text behind it."""
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
    """The code as lines, indented."""
    margin = INDENT * depth
    line = margin + flat(code)
    if isinstance(code, str) or len(line) <= width:
        return [line]
    made = [margin + code.opening]
    for item in code.items:
        made += lines(suffixed(item, ",") if code.comma else item, depth + 1, width)
    return [*made, margin + code.closing]


def indented(texts: Iterable[str], depth: int = 1) -> list[str]:
    """Lines moved to the right; empty ones stay empty."""
    return [INDENT * depth + text if text else "" for text in texts]


def broken(line: str) -> list[str]:
    """A statement as lines: as it is where it fits, else with its outermost brackets opened."""
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
    """What stands before the expression of a statement."""
    for word, inside in (("return ", ""), ("for ", " in ")):
        if text.startswith(word):
            return text[: text.index(inside) + len(inside)] if inside else word
    name, equals, _ = text.partition(" = ")
    return name + equals if equals and all(part.isidentifier() for part in name.split(", ")) else ""


def _parsed(text: str) -> Code:
    """An expression as code that can be laid out: several values, a sum, or a call with its arguments."""
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
    inside = text[start + 1 : end]
    return Bracketed(text[: start + 1], tuple(_parsed(part) for part in _parts(inside, ", ")), text[end:])


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
