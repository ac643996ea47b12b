"""Turns tokens into the syntax tree, with every syntax error of the text.

After an error, parsing goes on without the statement that has it, so the rest of the file is still parsed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from resnext_dsl.foundation.diagnostics import Diagnostic, Span, SpecSyntaxError
from resnext_dsl.foundation.options import DEFAULTS, Options
from resnext_dsl.foundation.records import NamedTuple
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import lalr
from resnext_dsl.syntax.lexer import CLOSERS, END, OPENERS, Token, lex
from resnext_dsl.syntax.nodes import Comment, Entry, File, NetworkDeclaration
from resnext_dsl.syntax.tree_builder import Builder


class Parsed(NamedTuple):
    """The syntax tree of the well-formed statements, and the mistakes of the others."""

    file: File
    diagnostics: tuple[Diagnostic, ...]


def parse(source: Source, options: Options = DEFAULTS) -> File:
    """The syntax tree of a text.

    Raises:
        SpecSyntaxError: With every syntax error of the text (up to `max_errors`).
    """
    parsed = recover(source, options)
    if parsed.diagnostics:
        raise SpecSyntaxError(parsed.diagnostics[: options.max_errors])
    return parsed.file


def parse_entries(source: Source, options: Options = DEFAULTS) -> tuple[Entry, ...]:
    """The syntax trees of a text that has the entries of a network without the network around them.

    Raises:
        SpecSyntaxError: With every syntax error of the text (up to `max_errors`).
    """
    parsed = _recovered(source, options, _in_a_network)
    if parsed.diagnostics:
        raise SpecSyntaxError(parsed.diagnostics[: options.max_errors])
    (network,) = parsed.file.items
    assert isinstance(network, NetworkDeclaration)
    return network.entries


def _in_a_network(tokens: list[Token]) -> list[Token]:
    """The tokens of entries as those of a network."""
    end = tokens[-1]
    opening = [Token(kind, text, 0, 0) for kind, text in (("NETWORK", "network"), ("NAME", "_"), ("LBRACE", "{"))]
    return [*opening, *tokens[:-1], Token("RBRACE", "", end.start, end.end), end]


def recover(source: Source, options: Options = DEFAULTS) -> Parsed:
    """The syntax tree of the well-formed statements, and a diagnostic for each of the others."""
    return _recovered(source, options, lambda tokens: tokens)


def _recovered(source: Source, options: Options, around: Callable[[list[Token]], list[Token]]) -> Parsed:
    lexed = lex(source, options)
    diagnostics = list(lexed.diagnostics)
    tokens = around(lexed.tokens)
    while True:
        builder = Builder(source, options)
        result = lalr.run(tokens, builder)
        if isinstance(result, list):
            file = _file(source, result, lexed.comments)
            ordered = sorted([*diagnostics, *builder.diagnostics], key=lambda d: d.span.start if d.span else 0)
            return Parsed(file, tuple(ordered))
        from resnext_dsl.syntax.errors import describe  # well-formed texts do not need the table of messages

        diagnostics.append(describe(source, tokens, result))
        if len(diagnostics) >= options.max_errors:
            return Parsed(_file(source, [], lexed.comments), tuple(diagnostics))
        tokens = _without_statement(tokens, result.place)


def _file(source: Source, items: list[Any], comments: tuple[Comment, ...]) -> File:
    return File(Span(source, 0, len(source.text)), tuple(items), comments)


def _without_statement(tokens: list[Token], index: int) -> list[Token]:
    """The tokens without the statement around `index`; brackets stay paired."""
    start = _statement_start(tokens, index)
    if start == index and tokens[index].kind in ("RBRACE", "$END", END):
        start = _statement_start(tokens, max(0, index - 1))
    end, depth = start, 0
    while end < len(tokens) - 1:
        kind = tokens[end].kind
        if kind in OPENERS:
            depth += 1
        elif kind in CLOSERS:
            if depth == 0:
                break
            depth -= 1
        elif kind == END and depth == 0:
            break
        end += 1
    return _tidy(tokens[:start] + tokens[end:])


def _statement_start(tokens: list[Token], index: int) -> int:
    """The first token of the statement that contains `index`, or that ends just before it."""
    depth = 0
    while index > 0:
        kind = tokens[index - 1].kind
        if kind in CLOSERS:
            depth += 1
        elif kind in OPENERS and depth:
            depth -= 1
        elif kind in ("LBRACE", END) and depth == 0:
            break
        index -= 1
    return index


def _tidy(tokens: list[Token]) -> list[Token]:
    """One `_END` between statements at most, none after `{` or before `}`."""
    kept: list[Token] = []
    for token in tokens:
        if kept and kept[-1].kind == END and token.kind in (END, "RBRACE", "$END"):
            kept.pop()
        if token.kind == END and (not kept or kept[-1].kind == "LBRACE"):
            continue
        kept.append(token)
    return kept
