"""Decides the lines of a formatted spec.

The rules: four spaces a level; what the author put on one line stays there while it fits; at most one blank line between things; the `=` of
neighbouring `param` and `let` lines stand below each other, and so do comments at the ends of neighbouring lines.
"""

from __future__ import annotations

from dataclasses import dataclass

from resnext_dsl.lexer import ENDS_AN_OPERAND, Token

WIDTH = 120
INDENT = "    "


@dataclass(slots=True)
class Remark:
    """A comment on a line of its own, and whether a blank line stood before it."""

    text: str
    blank_before: bool


@dataclass(slots=True)
class Body:
    """Statements in braces, with the comment after the opening brace and those before the closing one."""

    items: list[Item]
    opening: str | None
    closing: list[Remark]
    single_line: bool
    start_line: int = 0


@dataclass(slots=True)
class Item:
    """A statement or declaration with its comments, and where it stood."""

    parts: list[Token | Body]
    remarks: list[Remark]
    trailing: str | None
    blank_before: bool
    first_line: int
    last_line: int


@dataclass(slots=True)
class Line:
    """A line to print; `key` says with which neighbours its `=` is aligned."""

    text: str
    comment: str | None = None
    key: str = ""


def render(body: Body) -> str:
    """The text of a whole file."""
    lines = _aligned(_items(body, 0))
    return "\n".join(line.rstrip() for line in lines) + "\n" if lines else ""


def _items(body: Body, level: int) -> list[Line]:
    """The lines of the statements of a body."""
    lines: list[Line] = []
    before: Item | None = None
    for item in body.items:
        _blank(lines, before is not None and (item.remarks[0].blank_before if item.remarks else item.blank_before))
        for index, remark in enumerate(item.remarks):
            _blank(lines, index > 0 and remark.blank_before)
            lines.append(Line(INDENT * level + remark.text))
        if item.remarks:
            _blank(lines, item.blank_before)
        own = _lines(item, level)
        if before is not None and _joins(before, item, lines, own):
            joint = " " if _is_path(item.parts) else "; "
            lines[-1] = Line(f"{lines[-1].text}{joint}{own[0].text.lstrip()}", own[0].comment)
        else:
            lines += own
        before = item
    for index, remark in enumerate(body.closing):
        _blank(lines, bool(lines) and remark.blank_before and (index > 0 or before is not None))
        lines.append(Line(INDENT * level + remark.text))
    return lines


def _blank(lines: list[Line], wanted: bool) -> None:
    if wanted and lines and lines[-1].text:
        lines.append(Line(""))


def _joins(before: Item, item: Item, lines: list[Line], own: list[Line]) -> bool:
    """Whether a statement stays on the line of the one before it."""
    if item.first_line != before.last_line or before.trailing is not None or item.remarks or len(own) != 1:
        return False
    return bool(lines) and not lines[-1].text.endswith("{") and len(lines[-1].text) + 2 + len(own[0].text.lstrip()) <= WIDTH


def _lines(item: Item, level: int) -> list[Line]:
    """The lines of one statement."""
    indent = INDENT * level
    if not any(isinstance(part, Body) and not _fits_inline(part) for part in item.parts):
        text = indent + _inline(item.parts)
        bodies = [part for part in item.parts if isinstance(part, Body)]
        if not bodies and len(text) > WIDTH:
            wrapped = _wrapped(item.parts, level)
            wrapped[-1].comment = item.trailing
            return wrapped
        if len(text) <= WIDTH and all(part.single_line or not part.items for part in bodies):
            return [Line(text, item.trailing, _key(item))]
    lines = _expanded(item, level)
    lines[-1].comment = item.trailing
    return lines


def _key(item: Item) -> str:
    first = item.parts[0]
    return first.kind if isinstance(first, Token) and first.kind in ("PARAM", "LET") else ""


def _fits_inline(body: Body) -> bool:
    """Whether a body has no comment in it at any depth."""
    if body.opening is not None or body.closing:
        return False
    return all(
        not item.remarks
        and item.trailing is None
        and all(_fits_inline(part) for part in item.parts if isinstance(part, Body))
        for item in body.items
    )


def _inline(parts: list[Token | Body]) -> str:
    """Parts on one line."""
    text = ""
    run: list[Token] = []
    header = _is_header(parts)
    for part in parts:
        if isinstance(part, Token):
            run.append(part)
            continue
        text += (" " if text else "") + _spaced(run, header) if run else ""
        run = []
        inner = _joined([item.parts for item in part.items])
        text += (" " if text else "") + (f"{{ {inner} }}" if inner else "{}")
    if run:
        text += (" " if text else "") + _spaced(run, header)
    return text


def _joined(statements: list[list[Token | Body]]) -> str:
    """Statements on one line; a path ends at its brace."""
    text = ""
    for parts in statements:
        text += ("; " if text and not _is_path(parts) else " " if text else "") + _inline(parts)
    return text


def _is_path(parts: list[Token | Body]) -> bool:
    first = parts[0]
    return isinstance(first, Token) and first.kind == "PATH"


def _expanded(item: Item, level: int) -> list[Line]:
    """A statement with at least one body over several lines."""
    lines = [Line(INDENT * level)]
    run: list[Token] = []
    header = _is_header(item.parts)
    for part in item.parts:
        if isinstance(part, Token):
            run.append(part)
            continue
        _put_run(lines, run, header, level)
        run = []
        inline = _inline([part])
        if _fits_inline(part) and part.single_line and len(lines[-1].text) + 1 + len(inline) <= WIDTH:
            lines[-1].text += f" {inline}"
            continue
        lines[-1].text += " {"
        lines[-1].comment = part.opening
        lines += _items(part, level + 1)
        lines.append(Line(INDENT * level + "}"))
    if run:
        _put_run(lines, run, header, level)
    return lines


def _put_run(lines: list[Line], run: list[Token], header: bool, level: int) -> None:
    """Adds tokens to the last line, wrapped where they do not fit."""
    if not run:
        return
    text = _spaced(run, header)
    joint = " " if lines[-1].text.strip() else ""
    if len(lines[-1].text) + len(joint) + len(text) + 2 <= WIDTH:
        lines[-1].text += joint + text
        return
    wrapped = _wrapped(list(run), level, header)
    lines[-1].text += joint + wrapped[0].text.lstrip()
    lines += wrapped[1:]


def _is_header(parts: list[Token | Body]) -> bool:
    """Whether parentheses hold a template's parameters, whose `=` has spaces."""
    return bool(parts) and isinstance(parts[0], Token) and parts[0].kind == "TEMPLATE"


OPEN, CLOSE = ("LPAR", "LSQB", "LBRACE"), ("RPAR", "RSQB", "RBRACE")


def _wrapped(parts: list[Token | Body], level: int, header: bool | None = None) -> list[Line]:
    """Tokens over several lines: what stands in the widest outer brackets goes one level deeper."""
    tokens = [part for part in parts if isinstance(part, Token)]
    header = _is_header(parts) if header is None else header
    span = _widest(tokens)
    if span is None:
        return [Line(INDENT * level + _spaced(tokens, header))]
    start, end = span
    lines = [Line(INDENT * level + _spaced(tokens[: start + 1], header, closed=False))]
    for piece in _filled(tokens[start + 1 : end], level + 1, header, tokens[: start + 1]):
        lines.append(Line(piece))
    tail = _spaced(tokens[end:], header)
    lines.append(Line(INDENT * level + tail))
    return lines


def _widest(tokens: list[Token]) -> tuple[int, int] | None:
    """The outermost brackets that hold the most tokens."""
    best: tuple[int, int] | None = None
    stack: list[int] = []
    for index, token in enumerate(tokens):
        if token.kind in OPEN:
            stack.append(index)
        elif token.kind in CLOSE and stack:
            start = stack.pop()
            if not stack and (best is None or index - start > best[1] - best[0]):
                best = (start, index)
    return best if best is not None and best[1] - best[0] > 1 else None


def _filled(tokens: list[Token], level: int, header: bool, before: list[Token]) -> list[str]:
    """The elements between brackets, as many to a line as fit; one that is too wide alone is wrapped itself."""
    lines: list[str] = []
    current = ""
    bracketed = [token for token in before if token.kind in OPEN][-1:]
    for element in _elements(tokens):
        text = _spaced([*bracketed, *element], header)[1:] if bracketed else _spaced(element, header)
        joined = f"{current} {text}" if current else INDENT * level + text
        if len(joined) <= WIDTH:
            current = joined
            continue
        if current:
            lines.append(current)
        current = INDENT * level + text
        if len(current) > WIDTH:
            wrapped = [line.text for line in _wrapped(list(element), level, header)]
            lines += wrapped[:-1]
            current = wrapped[-1]
    return [*lines, current] if current else lines


def _elements(tokens: list[Token]) -> list[list[Token]]:
    """Tokens cut after each comma outside brackets."""
    elements: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += (token.kind in OPEN) - (token.kind in CLOSE)
        elements[-1].append(token)
        if token.kind == "COMMA" and depth == 0:
            elements.append([])
    return [element for element in elements if element]


def _spaced(tokens: list[Token], header: bool, closed: bool = True) -> str:
    """Tokens with the spaces between them that the layout wants."""
    text = ""
    depth = 0
    before: Token | None = None
    unary = False
    for token in tokens:
        if token.kind in CLOSE:
            depth -= 1
        if before is not None and _space(before, token, depth, header, unary):
            text += " "
        text += token.text
        unary = token.kind == "MINUS" and (before is None or before.kind not in ENDS_AN_OPERAND)
        if token.kind in OPEN:
            depth += 1
        before = token
    return text


TIGHT_BEFORE = frozenset({"COMMA", "RPAR", "RSQB", "RBRACE", "COLON", "DOT", "__ANON_0", "_END"})
TIGHT_AFTER = frozenset({"LPAR", "LSQB", "LBRACE", "DOT", "__ANON_0"})


def _space(before: Token, token: Token, depth: int, header: bool, unary: bool) -> bool:
    """Whether a space stands between two tokens."""
    if before.kind in TIGHT_AFTER or token.kind in TIGHT_BEFORE or unary:
        return False
    if token.kind == "LPAR":
        return before.kind not in ("NAME", "RESIDUAL")
    if "EQUAL" in (before.kind, token.kind):
        return depth == 0 or (header and depth == 1)
    return token.kind != "LSQB" or before.kind not in ("NAME", "RSQB", "RPAR")


def _aligned(lines: list[Line]) -> list[str]:
    """Lines as text, with `=` and trailing comments of neighbours below each other."""
    _align_equals(lines)
    texts: list[str] = []
    index = 0
    while index < len(lines):
        end = index
        while end < len(lines) and lines[end].comment is not None:
            end += 1
        if end == index:
            texts.append(lines[index].text)
            index += 1
            continue
        width = max(len(line.text) for line in lines[index:end])
        texts += [f"{line.text.ljust(width)}  {line.comment}" for line in lines[index:end]]
        index = end
    return texts


def _align_equals(lines: list[Line]) -> None:
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and lines[end].key and lines[end].key == lines[start].key:
            end += 1
        group = lines[start:end]
        if len(group) > 1:
            width = max(len(line.text.partition(" = ")[0]) for line in group)
            for line in group:
                left, _, right = line.text.partition(" = ")
                if width + 3 + len(right) <= WIDTH:
                    line.text = f"{left.ljust(width)} = {right}"
        start = max(end, start + 1)
