"""A text as nested pieces for the formatter: statements, brackets and comments in their original spelling.

Unlike the syntax tree, the pieces keep the spelling: parentheses, the form of numbers, and the places of comments and
blank lines. They also tell which bodies and statements stood on one line. Each piece has its text on one line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.lexer import END as STATEMENT_END
from resnext_dsl.syntax.lexer import ENDS_AN_OPERAND, OPENERS, OPENS_A_STATEMENT, SIGN, Lexed, Token
from resnext_dsl.syntax.nodes import Comment

_BLANK_LINE = re.compile(r"\n[ \t\f]*\n")
_LINE_ENDS = re.compile(r"[ \t\f]*(?:#|\n)")
_OPENING_WORDS = frozenset(kind.lower() for kind in OPENS_A_STATEMENT)
_LOOSEST_FIRST = ("COMMA", "ELSE", "OR", "AND", "COMPARE", "X", "PLUS", "STAR", "**")
_LIKE = {"FOR": "ELSE", "IF": "ELSE", "MINUS": "PLUS", "SLASH": "STAR", "SLASHSLASH": "STAR", "PERCENT": "STAR"}
CALLABLE = frozenset({"NAME", "RESIDUAL", "BUDGET"})
"""The tokens that can stand before a bracket of arguments."""
_NO_SPACE_BEFORE = frozenset({",", ":", ".", ".."})
_NO_SPACE_AFTER = frozenset({".", ".."})


class Style(Enum):
    """The layout of a bracket that does not fit on its line."""

    WHOLE = "its content one level deeper, broken at operators: groups, indices, comprehensions"
    FILL = "as many items on each line as fit: arguments, lists of plain items"
    ROWS = "one item a line, a comma after the last: lists of lists and calls"


@dataclass(frozen=True, slots=True)
class Remark:
    """A comment inside a statement; `alone` if nothing stood before it on its line."""

    text: str
    alone: bool


@dataclass(frozen=True, slots=True)
class Word:
    """A token.

    Attributes:
        gap: The space before it on one line.
        rank: The looseness of its bond to the token before, 0 for the loosest; None if a line cannot be broken there.
    """

    kind: str
    text: str
    gap: str
    rank: int | None

    @property
    def flat(self) -> str:
        """The word itself."""
        return self.text


@dataclass(frozen=True, slots=True)
class Bracket:
    """`( )`, `[ ]` or the `{ }` of a domain. A comma after the last item is left out of `nodes`.

    Attributes:
        flat: The bracket on one line, or None if it holds a comment or rows that the author broke.
    """

    opener: str
    closer: str
    nodes: tuple[Node, ...]
    style: Style
    gap: str
    rank: int | None
    flat: str | None


@dataclass(frozen=True, slots=True)
class OwnLineComment:
    """A comment on a line of its own, between statements."""

    text: str
    blank: bool


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement or declaration.

    Attributes:
        kind: The terminal of its first token.
        joined: Whether it began on the line on which the statement before it ended.
        blank: Whether a blank line stood before it.
        remark: The comment at the end of its line, or "".
        flat: The statement on one line, or None if it needs several.
    """

    kind: str
    nodes: tuple[Node | Body, ...]
    joined: bool
    blank: bool
    remark: str
    flat: str | None


@dataclass(frozen=True, slots=True)
class Body:
    """Statements in braces, or those of the whole file.

    Attributes:
        declares: Whether it is the file or a network, whose declarations have a line each.
        remark: The comment on the line of the opening brace, or "".
        flat: `{ a; b }` if the author wrote it on one line, else None.
    """

    entries: tuple[Statement | OwnLineComment, ...]
    declares: bool
    remark: str
    flat: str | None


Node = Word | Bracket | Remark


def outline(source: Source, lexed: Lexed) -> Body:
    """The pieces of a well-formed text."""
    reader = _Reader(source.text, lexed.tokens, lexed.comments)
    return reader.body([], 0, declares=True)


def flat(nodes: Iterable[Node | Body]) -> str | None:
    """The nodes on one line, without the space before the first; None if one of them needs several lines."""
    parts: list[str] = []
    for node in nodes:
        if isinstance(node, Remark) or node.flat is None:
            return None
        gap = " " if isinstance(node, Body) else node.gap
        parts.append(gap + node.flat if parts else node.flat)
    return "".join(parts)


def items(nodes: Sequence[Node]) -> list[list[Node]]:
    """The items between the commas of a bracket; comments stand with the item after the comma before them."""
    groups: list[list[Node]] = [[]]
    for node in nodes:
        if isinstance(node, Word) and node.kind == "COMMA":
            groups.append([])
        else:
            groups[-1].append(node)
    return groups


class _Reader:
    """Reads tokens and comments once, in the order of the text."""

    def __init__(self, text: str, tokens: list[Token], comments: tuple[Comment, ...]) -> None:
        self.text = text
        self.tokens = tokens
        self.comments = comments
        self.index = 0
        self.comment = 0
        self.end = 0  # where the last token or comment ended
        self.apart = False  # whether a blank line must come next

    # --- bodies ---

    def body(self, floated: list[Remark], opened: int, *, declares: bool) -> Body:
        """The statements up to the closing brace, which is read too; `floated` are comments from before the brace."""
        entries: list[Statement | OwnLineComment] = []
        remarks = [remark.text for remark in floated]
        self.end, statement_end = opened, -1
        while True:
            token = self.tokens[self.index]
            if token.kind == STATEMENT_END:
                self.index += 1
                continue
            for comment in self._comments_before(token):
                if not entries and not comment.alone and opened:
                    remarks.append(comment.text)
                else:
                    self._place(comment, entries)
                self.end = comment.span.end
            if token.kind in ("RBRACE", "$END"):
                break
            joined = statement_end >= 0 and "\n" not in self.text[statement_end : token.start]
            entries.append(self._statement(joined, self._blank_before(entries, token.start), declares))
            statement_end = self.end = self.tokens[self.index - 1].end
        self.index += 1
        one_line = bool(opened) and "\n" not in self.text[opened : token.start]
        return _body(entries, remarks, declares, one_line)

    def _place(self, comment: Comment, entries: list[Statement | OwnLineComment]) -> None:
        """Puts a comment at the end of the line before it, or on a line of its own."""
        last = entries[-1] if entries else None
        if not comment.alone and isinstance(last, Statement) and not last.remark:
            entries[-1] = _with_remark(last, comment.text)
        else:
            entries.append(OwnLineComment(comment.text, self._blank_before(entries, comment.span.start)))
            # It stood after code: alone and directly above a declaration, a `##` would document that declaration.
            self.apart = not comment.alone

    def _blank_before(self, entries: list[Statement | OwnLineComment], start: int) -> bool:
        apart, self.apart = self.apart, False
        return bool(entries) and (apart or _BLANK_LINE.search(self.text, self.end, start) is not None)

    def _comments_before(self, token: Token) -> list[Comment]:
        first = self.comment
        while self.comment < len(self.comments) and self.comments[self.comment].span.start < token.start:
            self.comment += 1
        return list(self.comments[first : self.comment])

    # --- statements ---

    def _statement(self, joined: bool, blank: bool, declares: bool) -> Statement:
        nodes: list[Node | Body] = []
        kind = self.tokens[self.index].kind
        before: Token | None = None
        signed = False  # whether `before` is a sign and not an operator between operands
        while (token := self.tokens[self.index]).kind not in (STATEMENT_END, "RBRACE", "$END"):
            nodes += [Remark(comment.text, comment.alone) for comment in self._comments_before(token)]
            self.index += 1
            if token.kind == "LBRACE" and before is not None and before.kind != "IN":
                floated = _take_remarks(nodes)
                nodes.append(self.body(floated, token.end, declares=kind == "NETWORK"))
            else:
                spaced = kind == "TEMPLATE"
                rank = _rank(before, signed, token, inside=False)
                nodes.append(self._node(token, before, _gap(before, signed, token, tight=False), rank, spaced))
                signed = token.kind == "MINUS" and not (before and before.kind in ENDS_AN_OPERAND)
            before = self.tokens[self.index - 1]
        return Statement(kind, tuple(nodes), joined, blank, "", flat(nodes))

    def _node(self, token: Token, before: Token | None, gap: str, rank: int | None, spaced: bool) -> Node:
        """A word, or a bracket up to its end; `spaced`: with spaces around its `=`, as in a template's parameters."""
        if token.kind not in OPENERS:
            return Word(token.kind, token.text, gap, rank)
        call = before is not None and before.kind in CALLABLE and token.kind == "LPAR"
        index = token.kind == "LSQB" and before is not None and before.kind in ENDS_AN_OPERAND
        nodes = self._inside(tight=not spaced)
        plain = [node for node in nodes if not isinstance(node, Remark)]
        whole = index or (token.kind == "LPAR" and not call) or any(_is(node, "FOR") for node in plain)
        style = Style.WHOLE if whole else Style.FILL if call else _list_style(plain)
        broken = style is Style.ROWS and _LINE_ENDS.match(self.text, token.end) is not None
        inner = None if broken else flat(nodes)
        closer = SIGN[OPENERS[token.kind]]
        whole_text = None if inner is None else f"{token.text}{inner}{closer}"
        return Bracket(token.text, closer, tuple(nodes), style, gap, rank, whole_text)

    def _inside(self, tight: bool) -> list[Node]:
        """The nodes up to the closing bracket, which is read too."""
        nodes: list[Node] = []
        before: Token | None = None
        signed = False
        while True:
            token = self.tokens[self.index]
            nodes += [Remark(comment.text, comment.alone) for comment in self._comments_before(token)]
            self.index += 1
            if token.kind in ("RPAR", "RSQB", "RBRACE"):
                return _without_last_comma(nodes)
            floated = _take_remarks(nodes) if token.kind == "COMMA" else []
            rank = _rank(before, signed, token, inside=True)
            gap = "" if before and before.kind == "COLON" else _gap(before, signed, token, tight)  # of a slice
            nodes.append(self._node(token, before, gap, rank, spaced=False))
            nodes += floated
            signed = token.kind == "MINUS" and not (before and before.kind in ENDS_AN_OPERAND)
            before = self.tokens[self.index - 1]


def _body(entries: list[Statement | OwnLineComment], remarks: list[str], declares: bool, one_line: bool) -> Body:
    """A body whose first remark stands beside its brace, the others above its first statement."""
    if len(remarks) > 1:
        # The blank line keeps a `##` from becoming the documentation of what follows.
        first = [_after_blank(entry) for entry in entries[:1]]
        entries = [*(OwnLineComment(text, False) for text in remarks[1:]), *first, *entries[1:]]
    remark = remarks[0] if remarks else ""
    if not entries and not remark:
        return Body((), declares, "", "{}")
    return Body(tuple(entries), declares, remark, _flat_body(entries) if one_line and not remark else None)


def _flat_body(entries: list[Statement | OwnLineComment]) -> str | None:
    parts: list[str] = []
    before = ""
    for entry in entries:
        if isinstance(entry, OwnLineComment) or entry.flat is None:
            return None
        if parts:
            parts.append(" " if before == entry.kind == "PATH" else "; ")
        parts.append(entry.flat)
        before = entry.kind
    return "{ " + "".join(parts) + " }"


def _with_remark(entry: Statement, remark: str) -> Statement:
    return Statement(entry.kind, entry.nodes, entry.joined, entry.blank, remark, entry.flat)


def _after_blank(entry: Statement | OwnLineComment) -> Statement | OwnLineComment:
    if isinstance(entry, OwnLineComment):
        return OwnLineComment(entry.text, True)
    return Statement(entry.kind, entry.nodes, entry.joined, True, entry.remark, entry.flat)


def _take_remarks(nodes: list[Node] | list[Node | Body]) -> list[Remark]:
    """Removes the comments at the end and returns them."""
    taken: list[Remark] = []
    while nodes and isinstance(nodes[-1], Remark):
        taken.append(nodes.pop())  # type: ignore[arg-type]
    return taken[::-1]


def _without_last_comma(nodes: list[Node]) -> list[Node]:
    last = max((i for i, node in enumerate(nodes) if not isinstance(node, Remark)), default=-1)
    return nodes[:last] + nodes[last + 1 :] if last >= 0 and _is(nodes[last], "COMMA") else nodes


def _is(node: Node, kind: str) -> bool:
    return isinstance(node, Word) and node.kind == kind


def _list_style(nodes: Sequence[Node]) -> Style:
    return Style.ROWS if any(isinstance(node, Bracket) for node in nodes) else Style.FILL


def _gap(before: Token | None, signed: bool, token: Token, tight: bool) -> str:
    """The space between two tokens on one line; `tight`: no space around `=`."""
    if before is None or signed or token.text in _NO_SPACE_BEFORE or before.text in _NO_SPACE_AFTER:
        return ""
    if tight and "EQUAL" in (before.kind, token.kind):
        return ""
    called = token.kind == "LPAR" and before.kind in CALLABLE
    indexed = token.kind == "LSQB" and before.kind in ENDS_AN_OPERAND
    return "" if called or indexed else " "


def _rank(before: Token | None, signed: bool, token: Token, inside: bool) -> int | None:
    """The rank of a token; outside brackets, a line can break only if the lexer continues the statement."""
    if before is None or signed:
        return None
    if (token.kind == "ELSE" and before.kind != "RBRACE") or (inside and token.kind in ("FOR", "IF")):
        return _LOOSEST_FIRST.index("ELSE")
    infix = "**" if before.text == "**" else _LIKE.get(before.kind, before.kind)
    if infix == "ELSE" or infix not in _LOOSEST_FIRST or not (inside or token.text not in _OPENING_WORDS):
        return None
    return _LOOSEST_FIRST.index(infix)
