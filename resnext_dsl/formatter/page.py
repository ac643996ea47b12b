"""Lines of formatted text, with the breaks of long lines and the comments at line ends.

Handles expressions and brackets; `format` handles statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from resnext_dsl.formatter.outline import Bracket, Node, Remark, Style, Word, flat, items

WIDTH = 120
"""Columns of a line without the comment at its end."""
STEP = 4
"""Columns of one level of indentation."""
OPENING, CLOSING = ("(", "[", "{"), (")", "]", "}")
COMMENT_SPREAD = 40
"""Comments at line ends are aligned if the lines before them differ by at most this number of columns."""


@dataclass(slots=True)
class Line:
    """One line: its indentation in columns, its text, the comment at its end (or alone on it)."""

    indent: int
    text: str = ""
    remark: str = ""


class Page:
    """The lines written so far; the last one is still open."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self._next: int | None = None  # the column of the next text, if it starts a new line

    @property
    def column(self) -> int:
        """The column of the next text, from 0."""
        if self._next is not None:
            return self._next
        return self.lines[-1].indent + len(self.lines[-1].text)

    @property
    def fresh(self) -> bool:
        """Whether the next text is the first of its line."""
        return self._next is not None or not self.lines[-1].text

    def start(self, indent: int) -> None:
        """Ends the line; the next text stands at `indent`."""
        self._next = indent

    def blank(self) -> None:
        """A blank line."""
        self.lines.append(Line(0))

    def put(self, text: str) -> None:
        """Text on the open line."""
        if self._next is not None:
            self.lines.append(Line(self._next))
            self._next = None
        self.lines[-1].text += text

    def remark(self, text: str, alone: bool, indent: int) -> None:
        """A comment, at the end of the last line or alone on its own; the next text stands at `indent`."""
        if alone or not self.lines or not self.lines[-1].text or self.lines[-1].remark:
            self.lines.append(Line(indent))
        self.lines[-1].remark = text
        self._next = indent

    def text(self) -> str:
        """All lines, with aligned comments at line ends."""
        columns = _comment_columns(self.lines)
        return "".join(_shown(line, column) + "\n" for line, column in zip(self.lines, columns, strict=True))


def _shown(line: Line, column: int) -> str:
    text = line.text.ljust(column) + line.remark if line.text and line.remark else line.text or line.remark
    return " " * line.indent + text if text else ""


def _comment_columns(lines: list[Line]) -> list[int]:
    """For each line, the column of its comment after the indentation."""
    columns = [len(line.text) + 2 for line in lines]
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and _aligns(lines[end], lines[start]):
            end += 1
        run = columns[start:end]
        if run and max(run) - min(run) <= COMMENT_SPREAD:
            columns[start:end] = [max(run)] * len(run)
        start = max(end, start + 1)
    return columns


def _aligns(line: Line, first: Line) -> bool:
    """Whether a line's comment is aligned with one above; not beside a bracket that opens or closes."""
    plain = line.text and not line.text.startswith(CLOSING) and not line.text.endswith(OPENING)
    return bool(plain and line.remark) and line.indent == first.indent


def code(page: Page, nodes: Sequence[Node], indent: int, tail: int) -> None:
    """Writes nodes; the lines below the first start at `indent`.

    Args:
        page: The page to write on.
        nodes: Words, brackets and comments.
        indent: Column of the lines below the first.
        tail: Columns that must stay free after the last node.
    """
    waiting = [(list(nodes), tail)]  # the pieces to write, the first one last
    while waiting:
        piece, room = waiting.pop()
        if not piece or _fits(page, piece, indent, room):
            continue
        loosest = min((rank for node in piece[1:] if (rank := _rank(node)) is not None), default=None)
        if loosest is None:
            _unbroken(page, piece, indent, room)
        else:
            pieces = _cut(piece, loosest)
            waiting += [(part, 0 if number else room) for number, part in enumerate(reversed(pieces))]


def _rank(node: Node) -> int | None:
    return None if isinstance(node, Remark) else node.rank


def _cut(nodes: list[Node], rank: int) -> list[list[Node]]:
    """The nodes in pieces, cut before each node of a rank."""
    pieces = [nodes[:1]]
    for node in nodes[1:]:
        if _rank(node) == rank:
            pieces.append([])
        pieces[-1].append(node)
    return pieces


def _fits(page: Page, piece: list[Node], indent: int, tail: int) -> bool:
    """Writes a piece on the open line or on the next one, if it fits there as a whole."""
    whole = flat(piece)
    if whole is None:
        return False
    first = piece[0]
    gap = "" if page.fresh or isinstance(first, Remark) else first.gap
    if page.column + len(gap + whole) + tail <= WIDTH:
        page.put(gap + whole)
        return True
    if page.fresh or _rank(first) is None or indent + len(whole) + tail > WIDTH:
        return False
    page.start(indent)
    page.put(whole)
    return True


def _unbroken(page: Page, piece: list[Node], indent: int, tail: int) -> None:
    """Writes a piece that can be broken only inside its brackets."""
    first = piece[0]
    if not page.fresh and _rank(first) is not None and page.column + 1 + _reach(piece, 0, 0) > WIDTH:
        page.start(indent)
    for position, node in enumerate(piece):
        _node(page, node, indent, _reach(piece, position + 1, tail))


def _reach(nodes: Sequence[Node], start: int, tail: int) -> int:
    """The columns from a node to the next bracket that could be broken, or to the end with its tail."""
    columns = 0
    for position in range(start, len(nodes)):
        node = nodes[position]
        if isinstance(node, Remark):
            return columns
        if isinstance(node, Bracket):
            return columns + len(node.gap) + 1
        columns += len(node.gap + node.text)
    return columns + tail


def _node(page: Page, node: Node, indent: int, tail: int) -> None:
    if isinstance(node, Remark):
        page.remark(node.text, node.alone, indent)
        return
    gap = "" if page.fresh else node.gap
    if isinstance(node, Word):
        page.put(gap + node.text)
    elif node.flat is not None and page.column + len(gap + node.flat) + tail <= WIDTH:
        page.put(gap + node.flat)
    else:
        page.put(gap)
        _broken(page, node, page.lines[-1].indent)


def _broken(page: Page, bracket: Bracket, indent: int) -> None:
    """Writes a bracket over several lines, its content one level deeper than its first line."""
    page.put(bracket.opener)
    only = bracket.nodes[0] if len(bracket.nodes) == 1 else None
    if isinstance(only, Bracket) and bracket.style is not Style.ROWS:
        _broken(page, only, indent)
    elif bracket.nodes:
        nodes = _leading_remarks(page, bracket.nodes, indent + STEP)
        page.start(indent + STEP)
        _content(page, bracket, nodes, indent + STEP)
        page.start(indent)
    page.put(bracket.closer)


def _leading_remarks(page: Page, nodes: Sequence[Node], indent: int) -> list[Node]:
    """Writes the comments that come first and returns the other nodes."""
    rest = list(nodes)
    while rest and isinstance(rest[0], Remark):
        page.remark(rest[0].text, rest[0].alone, indent)
        del rest[0]
    return rest


def _content(page: Page, bracket: Bracket, nodes: list[Node], indent: int) -> None:
    if bracket.style is Style.WHOLE or not nodes:
        code(page, nodes, indent, 0)
        return
    every = items(nodes)
    apart = bracket.style is Style.ROWS
    for number, item in enumerate(every, 1):
        comma = "," if number < len(every) or apart else ""
        core, remarks = _item(page, item, indent)
        whole = flat(core)
        if apart or whole is None or page.column + len(" " + whole + comma) > WIDTH:
            page.start(indent)
        lines = len(page.lines)
        code(page, core, indent + STEP, len(comma))
        page.put(comma)
        if len(page.lines) > lines + 1:
            page.start(indent)
        for remark in remarks:
            page.remark(remark.text, remark.alone, indent)


def _item(page: Page, item: list[Node], indent: int) -> tuple[list[Node], list[Remark]]:
    """Writes the comments before an item; returns the item and the comments after it."""
    core = _leading_remarks(page, item, indent)
    remarks: list[Remark] = []
    while core and isinstance(core[-1], Remark):
        remarks.insert(0, core.pop())  # type: ignore[arg-type]
    return core, remarks
