"""Turns text into the tokens that the parser reads.

Decides which line ends end a statement and which words are keywords in their place. Pairs brackets and bounds their
nesting. Reports characters that a spec cannot contain and brackets without a partner; the tokens of such a statement
are left out.
"""

from __future__ import annotations

import bisect
import re
import unicodedata
from functools import cache

from resnext_dsl.foundation.diagnostics import Diagnostic, Note, Span, did_you_mean
from resnext_dsl.foundation.options import Options
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.source import Source
from resnext_dsl.foundation.units import UNITS
from resnext_dsl.syntax.grammar import lexer_pattern, table
from resnext_dsl.syntax.nodes import Comment

END = "_END"


class Token:
    """A piece of text: its terminal in the grammar and its offsets."""

    __slots__ = ("end", "kind", "start", "text")

    def __init__(self, kind: str, text: str, start: int, end: int) -> None:
        self.kind = kind
        self.text = text
        self.start = start
        self.end = end


OPENERS = {"LPAR": "RPAR", "LSQB": "RSQB", "LBRACE": "RBRACE"}
CLOSERS = {closer: opener for opener, closer in OPENERS.items()}
SIGN = {"LPAR": "(", "RPAR": ")", "LSQB": "[", "RSQB": "]", "LBRACE": "{", "RBRACE": "}"}

ENDS_A_STATEMENT = frozenset(
    {"NAME", "NUMBER", "AMOUNT", "DIMENSIONS", "STRING", "TRUE", "FALSE", "RPAR", "RSQB", "RBRACE", "IMPORT", "LOG"}
)
ENDS_AN_OPERAND = ENDS_A_STATEMENT - {"RBRACE", "IMPORT", "LOG"}
GOES_ON = frozenset({"MERGE", "SHORTCUT", "ELSE", "AS", "IN", "WHEN", "LBRACE", "RBRACE"})
# A word that opens a statement or declaration is a name in any other place, so `init`, `path` or `input` can name
# parameters.
OPENS_A_STATEMENT = frozenset(
    [
        "NETWORK",
        "IMPORT",
        "PARAM",
        "LET",
        "FN",
        "TEMPLATE",
        "REQUIRE",
        "DEFAULT",
        "INIT",
        "INPUT",
        "BUDGET",
        "STEM",
        "STAGE",
        "HEAD",
        "OUTPUT",
        "USE",
        "SPLIT",
        "PATH",
        "RESIDUAL",
        "SHARED",
    ]
)


class Lexed(NamedTuple):
    """The tokens for the parser, the comments, and the mistakes."""

    tokens: list[Token]
    comments: tuple[Comment, ...]
    diagnostics: tuple[Diagnostic, ...]


def lex(source: Source, options: Options) -> Lexed:
    """The tokens of a source, with a diagnostic for each bad character and bracket."""
    scan = _Scan(source)
    scan.run(options.max_depth)
    diagnostics = list(scan.diagnostics)
    raw = _pair_brackets(source, scan.tokens, options, diagnostics)
    tokens = end_statements(raw, len(source.text))
    return Lexed(tokens, tuple(scan.comments), tuple(diagnostics))


@cache
def _pattern() -> re.Pattern[str]:
    return lexer_pattern(table())


class _Scan:
    """Cuts the text into tokens; line ends are tokens too."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.tokens: list[Token] = []
        self.comments: list[Comment] = []
        self.diagnostics: list[Diagnostic] = []

    def run(self, max_depth: int) -> None:
        """Scans to the end, or to the first bracket that is nested too deeply."""
        literals = table().literals
        depth = 0
        tokens, text = self.tokens, self.source.text
        skip_until = 0
        for match in _pattern().finditer(text):
            kind = match.lastgroup or ""
            start = match.start()
            if kind == "SPACE" or start < skip_until:
                continue
            word = match.group()
            if kind == "NAME":
                tokens.append(Token(literals.get(word, "NAME"), word, start, match.end()))
            elif kind == "SIGN":
                tokens.append(Token(literals[word], word, start, match.end()))
                depth = max(0, depth + (word in "([{") - (word in ")]}"))
                if depth > max_depth:
                    return
            elif kind == "COMMENT":
                self._comment(start, match.end(), word)
            elif kind == "UNKNOWN":
                skip_until = self._unknown(start)
            else:
                tokens.append(Token(kind, word, start, match.end()))

    def _comment(self, start: int, end: int, text: str) -> None:
        alone = not self.tokens or self.tokens[-1].kind == "NEWLINE" or not self._same_line(self.tokens[-1].end, start)
        self.comments.append(Comment(Span(self.source, start, end), text.rstrip(), alone))

    def _same_line(self, before: int, after: int) -> bool:
        return "\n" not in self.source.text[before:after]

    def _belongs(self, start: int) -> bool:
        """Whether the last token and the text from here are one word: `caf` of `café`, `4.` of `4.1g`."""
        before = self.tokens[-1] if self.tokens else None
        if before is None or before.end != start:
            return False
        first = self.tokens[-2] if before.text == "." and len(self.tokens) > 1 else None
        if first is not None:
            return first.end == before.start and first.kind == "NUMBER" and self.source.text[start].isdigit()
        return before.text[-1].isalnum() or before.text[-1] in '_"'

    def _unknown(self, start: int) -> int:
        """Reports a text that begins no token; returns the offset of the next token."""
        text = self.source.text
        tail = re.compile(r'(?:(?!\.\.)[^\s;{}()\[\],="#])*').match(text, start)
        end = max(start + 1, tail.end() if tail else start + 1)
        if text[start] == '"':
            end = text.find("\n", start) if "\n" in text[start:] else len(text)
        kind = "NUMBER" if text[start].isascii() and text[start].isdigit() else "NAME"
        while self._belongs(start):
            before = self.tokens.pop()
            start, kind = before.start, before.kind
        if len(self.diagnostics) < 50:
            self.diagnostics.append(_bad_text(self.source, start, end))
        # A replacement token of the likely kind keeps the statement whole, so one bad character gives one error.
        kind = "STRING" if text[start] == '"' else "X" if text[start:end] == TIMES else kind
        self.tokens.append(Token(kind, STAND_INS.get(kind, "_"), start, end))
        return end


_AMOUNT = re.compile(r"[0-9]+(?:\.[0-9]+)?(?!x)([A-Za-z]+)")


STAND_INS = {"NUMBER": "1", "AMOUNT": "1s", "DIMENSIONS": "1x1", "STRING": '"_"', "X": "x"}

MULTIPLES = ("k", "m", "g", "t")
"""Suffixes of plain numbers in the wrong case: `25m` for `25M`."""


def _bad_text(source: Source, start: int, end: int) -> Diagnostic:
    word = source.text[start:end]
    span = Span(source, start, end)
    if word[0] == '"':
        return Diagnostic("E002", "a string must end on the line on which it begins", span, hint='add the closing `"`')
    amount = _AMOUNT.fullmatch(word)
    if amount is not None:
        unit = amount[1]
        multiple = f"did you mean `{word.upper()}`?" if unit in MULTIPLES else ""
        hint = multiple or did_you_mean(unit, UNITS) or f"units: {', '.join(UNITS)}; K, M, G, T multiply a plain number"
        return Diagnostic("E002", f"`{word[:40]}` is not a number: there is no unit `{unit[:40]}`", span, hint=hint)
    if word[0].isascii() and word[0].isdigit():
        hint = "write a shape with names as `3 x k`" if "x" in word else "numbers look like 64, 0.5, 1e-3, 25.1M"
        if TIMES in word:
            hint = f"write the letter x in place of `{TIMES}`: `{_with_letters(word[:40])}`"
        return Diagnostic("E002", f"`{word[:40]}` is not a number or a shape", span, hint=hint)
    if word == TIMES:
        return Diagnostic("E001", f"unexpected character {_describe(TIMES)}", span, hint="write the letter x: `3 x k`")
    bad = next((c for c in word if not (c.isascii() and (c.isalnum() or c == "_"))), word[0])
    return Diagnostic("E001", f"unexpected character {_describe(bad)}", span, hint=_latin_hint(word))


TIMES = "\N{MULTIPLICATION SIGN}"


def _with_letters(word: str) -> str:
    """A shape with `x` in place of multiplication signs: `3x8`, or `3 x k` if a size is a name."""
    sizes = word.replace(TIMES, "x").split("x")
    return ("x" if all(size.isdigit() for size in sizes) else " x ").join(sizes)


def _describe(character: str) -> str:
    name = unicodedata.name(character, "")
    shown = f"`{character}` " if character.isprintable() and not unicodedata.category(character).startswith("C") else ""
    return f"{shown}(U+{ord(character):04X}{' ' + name if name else ''})"


def _latin_hint(word: str) -> str:
    """A hint for a word with letters that look like ASCII letters."""
    if word.isascii():
        return ""
    plain = "".join(_LOOKS_LIKE.get(c, c) for c in unicodedata.normalize("NFKC", word))
    if plain.isascii() and plain.isidentifier():
        return f"names have ASCII letters only; did you mean `{plain}`?"
    return "names, keywords and operators have ASCII characters only"


_LOOKS_LIKE = dict(zip("абвгеікмнорстухАВЕКМНОРСТХοαν×−–“”", "abbreikmnopctyxABEKMHOPCTXoavx--\"\"", strict=False)) | {
    "а": "a", "е": "e", "о": "o", "р": "p", "с": "c", "у": "y", "х": "x", "і": "i", "ѕ": "s", "ԁ": "d",
}  # fmt: skip


def _pair_brackets(source: Source, tokens: list[Token], options: Options, diagnostics: list[Diagnostic]) -> list[Token]:
    """The tokens with paired brackets only; a statement with an unpaired bracket is left out."""
    kept: list[Token] = []
    stack: list[int] = []  # positions in `kept` of the brackets that are open
    too_deep = False
    index = 0
    while index < len(tokens):
        if len(diagnostics) > options.max_errors:
            return []
        token = tokens[index]
        index += 1
        if token.kind in OPENERS:
            if len(stack) >= options.max_depth:
                if not too_deep:
                    diagnostics.append(_too_deep(source, token, options))
                return []
            stack.append(len(kept))
        elif token.kind in CLOSERS:
            if stack and kept[stack[-1]].kind == CLOSERS[token.kind]:
                stack.pop()
            elif token.kind == "RBRACE" and any(kept[i].kind == "LBRACE" for i in stack):
                index = min(index - 1, _drop_unclosed(source, tokens, kept, stack, diagnostics))
                continue
            else:
                diagnostics.append(_unopened(source, token, kept[stack[-1]] if stack else None))
                continue
        kept.append(token)
    while stack and any(kept[i].kind != "LBRACE" for i in stack):
        resume = _drop_unclosed(source, tokens, kept, stack, diagnostics)
        return kept + _pair_rest(source, tokens[resume:], options, diagnostics, kept, stack)
    return kept + _close(source, kept, stack, diagnostics)


def _pair_rest(
    source: Source,
    rest: list[Token],
    options: Options,
    diagnostics: list[Diagnostic],
    kept: list[Token],
    stack: list[int],
) -> list[Token]:
    """The tokens after a dropped statement, with their brackets paired; `stack` has the braces open before it."""
    opened = [kept[i] for i in stack]
    paired = _pair_brackets(source, [*opened, *rest], options, diagnostics)
    return paired[len(opened) :]


def _drop_unclosed(
    source: Source, tokens: list[Token], kept: list[Token], stack: list[int], diagnostics: list[Diagnostic]
) -> int:
    """Reports the first open `(` or `[`, drops its line, and returns the index of the next token."""
    place = next(depth for depth, i in enumerate(stack) if kept[i].kind != "LBRACE")
    opener = kept[stack[place]]
    sign = SIGN[opener.kind]
    diagnostics.append(
        Diagnostic(
            "E003",
            f"`{sign}` is not closed",
            Span(source, opener.start, opener.end),
            hint=f"add `{SIGN[OPENERS[opener.kind]]}`",
        )
    )
    line_end = source.text.find("\n", opener.start)
    line_end = len(source.text) if line_end < 0 else line_end
    start = stack[place]
    while start > 0 and kept[start - 1].kind not in ("NEWLINE", END, "LBRACE", "RBRACE"):
        start -= 1
    del kept[start:], stack[place:]
    return bisect.bisect_left(tokens, line_end, key=lambda token: token.start)


def _close(source: Source, kept: list[Token], stack: list[int], diagnostics: list[Diagnostic]) -> list[Token]:
    """The closing braces that are missing at the end of the file."""
    end = len(source.text)
    if stack:
        opener = kept[stack[-1]]
        span = Span(source, opener.start, opener.end)
        diagnostics.append(Diagnostic("E003", "`{` is not closed", span, hint="add `}` after its last statement"))
    return [Token("RBRACE", "}", end, end) for _ in stack]


def _unopened(source: Source, token: Token, opener: Token | None) -> Diagnostic:
    span = Span(source, token.start, token.end)
    if opener is None:
        return Diagnostic(
            "E003",
            f"`{token.text}` has no opening bracket",
            span,
            hint="remove it, or add the opening bracket before it",
        )
    note = Note(f"`{SIGN[opener.kind]}` was opened here", Span(source, opener.start, opener.end))
    expected = SIGN[OPENERS[opener.kind]]
    return Diagnostic("E003", f"found `{token.text}`, expected `{expected}`", span, notes=(note,))


def _too_deep(source: Source, token: Token, options: Options) -> Diagnostic:
    return Diagnostic(
        "E402",
        f"brackets are nested deeper than {options.max_depth}",
        Span(source, token.start, token.end),
        hint="move the inner part into a template or a `let`; the option `max_depth` sets the limit",
    )


def end_statements(raw: list[Token], length: int) -> list[Token]:
    """Puts one `_END` between statements, drops all other line ends, and decides which words are keywords."""
    tokens: list[Token] = []
    brackets: list[bool] = []  # whether line ends count inside the bracket
    pending: Token | None = None
    for position, token in enumerate(raw):
        kind = token.kind
        if kind in ("NEWLINE", END):
            if not brackets or brackets[-1]:
                pending = pending or token
                if kind == END:
                    pending = token
            continue
        before = tokens[-1] if tokens else None
        kind = _settle(token, before, pending, raw, position)
        if _statement_ends(before, kind, pending, brackets):
            tokens.append(Token(END, ";", before.end if before else 0, token.start))
        pending = None
        settled = Token(kind, token.text, token.start, token.end) if kind != token.kind else token
        if kind in OPENERS:
            body = kind == "LBRACE" and not (before is not None and before.kind == "IN")
            brackets.append(body and (not brackets or brackets[-1]))
        elif kind in CLOSERS and brackets:
            brackets.pop()
        tokens.append(settled)
    tokens.append(Token("$END", "", length, length))
    return tokens


def _statement_ends(before: Token | None, kind: str, pending: Token | None, brackets: list[bool]) -> bool:
    if before is None or before.kind in ("LBRACE", END) or kind in GOES_ON:
        return False
    if pending is not None:
        return pending.kind == END or before.kind in ENDS_A_STATEMENT or kind in OPENS_A_STATEMENT
    # `path { ... } path { ... }` on one line: a closing brace ends its statement
    return before.kind == "RBRACE" and (not brackets or brackets[-1]) and kind not in ("RPAR", "COMMA", "FROM")


def _beside_dot(before: Token | None, raw: list[Token], position: int) -> bool:
    """Whether a word is part of a path such as `head.repeat.0.linear`, whose names may be keywords elsewhere."""
    after = raw[position + 1] if position + 1 < len(raw) else None
    return (before is not None and before.kind == "DOT") or (after is not None and after.kind == "DOT")


def _is_call(raw: list[Token], position: int) -> bool:
    """Whether a word is all of a call apart from its arguments and the name of its value, as `relu` in `relu as x`."""
    after = raw[position + 1].kind if position + 1 < len(raw) else END
    return after in ("LPAR", "RBRACE", "AS", "NEWLINE", END)


def _settle(token: Token, before: Token | None, pending: Token | None, raw: list[Token], position: int) -> str:
    """The terminal of a word, from the tokens around it."""
    kind = token.kind
    if token.text[0].isalpha() and _beside_dot(before, raw, position):
        return "NAME"
    if kind in ("X", "STEP", "LOG"):
        return kind if before is not None and pending is None and before.kind in ENDS_AN_OPERAND else "NAME"
    if kind == "WHEN" and position + 1 < len(raw) and raw[position + 1].kind == "EQUAL":
        return "NAME"  # an argument of `residual`
    if kind == "SHORTCUT":
        return kind if before is not None and before.kind == "RBRACE" else "NAME"
    if kind == "SLICE":
        after = position + 1
        while after < len(raw) and raw[after].kind in ("NEWLINE", END):
            after += 1
        return kind if after < len(raw) and raw[after].kind in ("LBRACE", "AS") else "NAME"
    if kind in OPENS_A_STATEMENT:
        if kind == "IMPORT" and before is not None and pending is None:
            return kind
        opens = before is None or pending is not None or before.kind in ("LBRACE", "RBRACE", END)
        return kind if opens and not (kind == "SHARED" and _is_call(raw, position)) else "NAME"
    return kind
