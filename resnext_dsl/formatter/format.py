"""The canonical layout of a text: its lines, their indentation and their alignment.

Only spaces, line ends, `;` between statements and commas before a closing bracket change; comments keep their order.
Module `page` breaks long expressions.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from resnext_dsl.formatter.outline import Body, Node, OwnLineComment, Remark, Statement, Word, flat, outline
from resnext_dsl.formatter.page import STEP, WIDTH, Page, code
from resnext_dsl.foundation.diagnostics import Span, SpecSyntaxError, error
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.lexer import lex
from resnext_dsl.syntax.nodes import File
from resnext_dsl.syntax.parse import parse

ALIGNED = frozenset({"PARAM", "LET"})
"""Declarations whose `=` are aligned if several stand directly below each other."""
ALIGN_SPREAD = 24
"""The `=` are aligned if the names before them differ by at most this number of columns."""
DECLARATIONS = ALIGNED | {
    *("IMPORT", "FROM", "NETWORK", "FN", "TEMPLATE", "REQUIRE", "DEFAULT", "INIT", "INPUT", "BUDGET"),
    *("STEM", "STAGE", "HEAD", "OUTPUT"),
}


def format_text(source: Source, options: Options = DEFAULTS) -> str:
    """The text in its canonical layout, with LF line ends and one at the end.

    Raises:
        SpecSyntaxError: With every syntax error of the text (up to `max_errors`).
        ArchError: E801 if the result would have another meaning, which is an internal error.
    """
    before = parse(source, options)
    text = laid_out(source, options)
    _verify(before, Source(source.name, text, source.path), options)
    return text


def laid_out(source: Source, options: Options = DEFAULTS) -> str:
    """The same for a well-formed text whose result the caller parses and checks."""
    page = Page()
    _entries(page, outline(source, lex(source, options)), 0)
    return page.text()


def diff(name: str, before: str, after: str) -> str:
    """The changes of formatting as a unified diff; "" if nothing changes."""
    old, new = before.split("\n"), after.split("\n")
    lines = list(difflib.unified_diff(_ended(old), _ended(new), name, f"{name} (formatted)"))
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _ended(lines: list[str]) -> list[str]:
    return [*(line + "\n" for line in lines[:-1]), *filter(None, lines[-1:])]


# --- the same meaning ---


def _verify(before: File, source: Source, options: Options) -> None:
    try:
        after = parse(source, options)
    except SpecSyntaxError as failure:
        raise _broken_rule("an invalid text", failure.diagnostics[0].span) from None
    if [comment.text for comment in before.comments] != [comment.text for comment in after.comments]:
        raise _broken_rule("a text with other comments", None)
    if not same_meaning(before.items, after.items):
        raise _broken_rule("a text with another meaning", None)


def _broken_rule(what: str, span: Span | None) -> Exception:
    message = f"formatting would give {what}; nothing is changed"
    return error("E801", message, span, hint="please report this with the spec")


def same_meaning(one: object, other: object) -> bool:
    """Whether two syntax trees are equal apart from their spans."""
    pairs: list[tuple[object, object]] = [(one, other)]  # no recursion: a tree is deeper than Python's stack likes
    while pairs:
        left, right = pairs.pop()
        if type(left) is not type(right):
            return False
        if isinstance(left, tuple) and isinstance(right, tuple) and not isinstance(left, Span):
            if len(left) != len(right):
                return False
            pairs += zip(left, right, strict=True)
        elif left != right and not isinstance(left, Span):
            return False
    return True


# --- bodies ---


@dataclass(frozen=True, slots=True)
class StatementRow:
    """A row of the layout: a comment of its own, or one or more statements joined by `;`."""

    blank: bool
    statements: tuple[Statement, ...]
    remark: str


def _entries(page: Page, body: Body, indent: int) -> None:
    """Writes the statements of a body row by row."""
    rows = [part for row in _rows(body) for part in _fitting(row, indent)]
    for number, (row, pad) in enumerate(zip(rows, _pads(rows, indent), strict=True)):
        if row.blank and number:
            page.blank()
        page.start(indent)
        if not row.statements:
            page.remark(row.remark, alone=True, indent=indent)
            continue
        if len(row.statements) > 1:
            page.put(_joined(row))
        else:
            _statement(page, row.statements[0], indent, pad)
        if row.remark:
            page.remark(row.remark, alone=False, indent=indent)


def _rows(body: Body) -> Iterator[StatementRow]:
    """The rows of a body: statements that shared a line stay together; a declaration always has its own row."""
    pending: list[Statement] = []
    for entry in body.entries:
        if pending and not (isinstance(entry, Statement) and _joins(pending[-1], entry, body)):
            yield _row(pending)
            pending = []
        if isinstance(entry, OwnLineComment):
            yield StatementRow(entry.blank, (), entry.text)
        else:
            pending.append(entry)
    if pending:
        yield _row(pending)


def _joins(before: Statement, entry: Statement, body: Body) -> bool:
    if not entry.joined or before.flat is None or entry.flat is None:
        return False
    return not body.declares or not {before.kind, entry.kind} & DECLARATIONS


def _row(statements: list[Statement]) -> StatementRow:
    return StatementRow(statements[0].blank, tuple(statements), statements[-1].remark)


def _joined(row: StatementRow) -> str:
    parts = [row.statements[0].flat or ""]
    for before, statement in zip(row.statements, row.statements[1:], strict=False):
        parts.append(" " if before.kind == statement.kind == "PATH" else "; ")
        parts.append(statement.flat or "")
    return "".join(parts)


def _fitting(row: StatementRow, indent: int) -> list[StatementRow]:
    """The row, or one row for each of its statements if they do not fit on a line together."""
    if len(row.statements) < 2 or indent + len(_joined(row)) <= WIDTH:
        return [row]
    return [_row([statement]) for statement in row.statements]


def _pads(rows: Sequence[StatementRow], indent: int) -> list[int]:
    """For each row, the spaces that align its `=` with its neighbours."""
    pads: list[int] = []
    for kind, run in groupby(_runs(rows, indent), key=lambda pair: pair[0]):
        heads = [head for _, head in run]
        widest = max(heads)
        added = [widest - head for head in heads]
        members = rows[len(pads) : len(pads) + len(heads)]
        fit = all(_columns(row, indent) + pad <= WIDTH for row, pad in zip(members, added, strict=True))
        pads += added if kind[0] and fit and max(added) <= ALIGN_SPREAD else [0] * len(heads)
    return pads


def _runs(rows: Sequence[StatementRow], indent: int) -> Iterator[tuple[tuple[str, int], int]]:
    """For each row its keyword (if its `=` may be aligned) with the number of its run; and the columns before `=`."""
    run = 0
    for row in rows:
        run += row.blank
        kind = row.statements[0].kind if len(row.statements) == 1 else ""
        if kind not in ALIGNED or _columns(row, indent) > WIDTH:
            yield ("", run), 0
        else:
            nodes = row.statements[0].nodes
            yield (kind, run), len(flat(nodes[: _equal(nodes)]) or "")


def _columns(row: StatementRow, indent: int) -> int:
    """The columns of a one-statement row on one line; above `WIDTH` if it needs several lines."""
    whole = row.statements[0].flat if row.statements else None
    return WIDTH + 1 if whole is None else indent + len(whole)


def _equal(nodes: Sequence[Node | Body]) -> int:
    return next(i for i, node in enumerate(nodes) if isinstance(node, Word) and node.kind == "EQUAL")


# --- statements ---


def _statement(page: Page, statement: Statement, indent: int, pad: int) -> None:
    """Writes a statement on one line if it fits, else with its bodies below it."""
    nodes = list(statement.nodes)
    whole = statement.flat
    if pad:
        place = _equal(nodes)
        equal = nodes[place]
        assert isinstance(equal, Word)
        nodes[place] = replace(equal, gap=" " * (pad + 1))
        whole = flat(nodes)
    if whole is not None and indent + len(whole) <= WIDTH:
        page.put(whole)
        return
    bodies = [i for i, node in enumerate(nodes) if isinstance(node, Body)]
    start = 0
    for end in bodies:
        lines = len(page.lines)
        _code(page, nodes[start:end], indent, 2, after_body=start > 0)
        broken = len(page.lines) > lines + (start == 0)
        last = end == bodies[-1] and not broken and not (statement.kind == "IF" and len(bodies) > 1)
        _body(page, nodes[end], indent, _rest(nodes[end + 1 :]) if last else WIDTH)
        start = end + 1
    _code(page, nodes[start:], indent, 0, after_body=start > 0)


def _rest(nodes: Sequence[Node | Body]) -> int:
    """The columns that must stay free after a body on one line."""
    whole = flat(nodes)
    return len(whole) + 1 if whole else 0


def _code(page: Page, nodes: Sequence[Node | Body], indent: int, tail: int, *, after_body: bool) -> None:
    rest = [node for node in nodes if not isinstance(node, Body)]
    while after_body and rest and isinstance(rest[0], Remark):
        # The code after `}` and a comment stands below the brace.
        page.remark(rest[0].text, rest[0].alone, indent)
        del rest[0]
    code(page, rest, indent + STEP, tail)


def _body(page: Page, body: Node | Body, indent: int, tail: int) -> None:
    """Writes a body, on the open line if the author had it on one line and it leaves `tail` columns free."""
    assert isinstance(body, Body)
    empty = not body.entries and not body.remark
    if body.flat is not None and (empty or page.column + len(f" {body.flat}") + tail <= WIDTH):
        page.put(f" {body.flat}")
        return
    page.put(" {")  # the reader has moved a comment before the brace behind it, so that code stands before it
    if body.remark:
        page.remark(body.remark, alone=False, indent=indent)
    _entries(page, body, indent + STEP)
    page.start(indent)
    page.put("}")
