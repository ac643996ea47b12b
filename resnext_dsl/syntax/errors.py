"""Says what is wrong where the parser stops.

`SYNTAX_ERRORS` is a table of (message, hint, bad examples): the parser matches an error to the first row one of whose
examples stops in the
same way (same token before, same token found, same bracket around), and a test parses every example.
"""

from __future__ import annotations

from collections.abc import Iterable

from resnext_dsl.foundation.diagnostics import Diagnostic, Span, did_you_mean
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.grammar import table
from resnext_dsl.syntax.lalr import ParseFailure, first_failure
from resnext_dsl.syntax.lexer import END, Token, lex

SAID = {
    "NAME": "a name",
    "NUMBER": "a number",
    "AMOUNT": "a number with a unit",
    "DIMENSIONS": "a shape like `3x3`",
    "STRING": "a string",
    "COMPARE": "a comparison",
    "_END": "the end of the statement",
    "$END": "the end of the file",
    "X": "`x`",
    "STEP": "`step`",
    "LOG": "`log`",
}
VALUE = {"NAME", "NUMBER", "DIMENSIONS", "STRING", "TRUE", "FALSE", "LSQB", "LPAR", "MINUS", "NOT"}
INFIX = {
    "PLUS",
    "MINUS",
    "STAR",
    "SLASH",
    "SLASHSLASH",
    "PERCENT",
    "__ANON_1",
    "COMPARE",
    "AND",
    "OR",
    "X",
    "IF",
    "LSQB",
}
STATEMENT = {"NAME", "USE", "LET", "REPEAT", "FOR", "IF", "SPLIT", "RESIDUAL"}

SYNTAX_ERRORS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "a split needs a merge",
        "write `} merge add`, `merge concat` or `merge mul` after the paths",
        (
            "network n { split 2 { relu } }",
            "network n { split 2 { relu } relu }",
            "network n {\nsplit { path { relu } }\nrelu }",
        ),
    ),
    (
        "a `path` stands only in a split",
        "write `split { path { ... } path { ... } } merge concat`",
        ("network n { path { relu } }", "template t { path { relu } }"),
    ),
    (
        "a comparison in a condition is `==`",
        "`=` gives an argument its value",
        ("template t(a) { if a = 1 { relu } }", "network n { require a = 1 }"),
    ),
    (
        "a block is missing",
        "write `{ ... }` here",
        (
            "template t(a)",
            "network n { stem }",
            "network n { stage a repeat 3 }",
            "template t { repeat 3 }",
            "template t { if a }",
        ),
    ),
    (
        "a template is declared without its name",
        "write `template NAME(parameters) { ... }`",
        ("template { relu }", "template (a) { relu }"),
    ),
    (
        "a statement ends at the end of its line or at `;`",
        "put `;` or a new line before this",
        ("template t { relu relu }", "template t { conv(3) bn }", "template t { let a = 3 relu }"),
    ),
    (
        "a positional argument or a comma is missing",
        "arguments are separated by `,`",
        ("template t { conv(64 3x3) }", "let a = max(1 2)", "let a = [1 2]"),
    ),
    (
        "a value is missing",
        "",
        (
            "let a =",
            "let a = 1 +",
            "template t { conv(64, stride=) }",
            "network n { param a = in {1} }",
            "let a = [1, , 2]",
            "network n { budget { params <= } }",
            "network n { budget { params in } }",
            "network n { budget { params in 1.. } }",
        ),
    ),
    (
        "a number with a unit stands alone, as the bound of a limit",
        "write `latency(cpu, 1) <= 5ms` in a budget",
        (
            "let a = 5ms",
            "let a = 2 * 5ms",
            "let a = -5ms",
            "let a = [1, 5ms]",
            "let a = [5ms]",
            "template t { conv(5ms) }",
            "template t { conv(3, 5ms) }",
            "network n { param a = 5ms }",
        ),
    ),
    (
        "a list's domain is a range or a set for each element",
        "write `in [1..4, {2, 4}]`, or `in {[1, 2], [3, 4]}` for whole lists",
        (
            "network n { param a = [1, 2] in [1, 2] }",
            "network n { param a = [1, 2] in [1, 2]; relu }",
            "network n { param a = [1, 2] in [] }",
            "network n { param a = [1, 2] in [1..2, [1..2]] }",
        ),
    ),
    (
        "`when` says when a domain is there to be picked from",
        "write `param NAME = VALUE in DOMAIN when CONDITION`",
        ("network n { param a = 1 when b }", "network n { param a = 1 + 2 when b }"),
    ),
    (
        "a range has a `step` or `log`",
        "`log` draws evenly in the logarithm; a set may list powers: `in {8, 16, 32}`",
        ("network n { param a = 1 in 1..4 log step 2 }", "network n { param a = 1 in 1..4 step 2 log }"),
    ),
    (
        "a limit compares a measure with a number",
        "write `params <= 25.1M`, or `flops in 4.0G..4.3G`",
        (
            "network n { budget { params } }",
            "network n { budget { params = 1 } }",
            "network n { budget { params\nflops <= 1 } }",
            "network n { budget { latency(cpu, 1) } }",
            "network n { budget { latency(cpu, 1) = 1 } }",
            "network n { budget { latency(cpu, 1)\nflops <= 1 } }",
        ),
    ),
    (
        "this declaration stands only inside a network",
        "move it into `network NAME { ... }`",
        ("param a = 1", "budget { params <= 1 }", "stem { relu }", "stage a { relu }", "input a: 3x3x3"),
    ),
    (
        "this declaration cannot stand inside a body",
        "move it out of the braces around it",
        ("template t { param a = 1 }", "template t { template u { relu } }", "network n { stem { stage a { relu } } }"),
    ),
    (
        "a file holds imports, templates, functions, constants and a network",
        "statements stand inside `network NAME { ... }` or a template",
        ("conv(64, 3x3)", "relu", "repeat 3 { relu }", "let a = 1\nuse a"),
    ),
)


def describe(source: Source, tokens: list[Token], failure: ParseFailure) -> Diagnostic:
    """The diagnostic for the token where parsing stopped."""
    index, expected = failure.place, failure.expected
    token = tokens[index]
    span = Span(source, token.start, token.end)
    if token.kind in ("$END", END) and index:
        span = Span(source, tokens[index - 1].start, tokens[index - 1].end)
    row = _row(tokens, index, expected)
    found = _found(token)
    if row is not None:
        return Diagnostic("E002", f"{row[0]}; found {found}", span, hint=_misspelt(tokens, index, expected) or row[1])
    message = f"found {found}, expected {_expected(expected)}"
    return Diagnostic("E002", message, span, hint=_misspelt(tokens, index, expected))


def _found(token: Token) -> str:
    if token.kind in ("$END", END):
        return SAID[token.kind] if token.text != "}" else "`}`"
    return f"`{token.text[:40]}`"


def _row(tokens: list[Token], index: int, expected: frozenset[str]) -> tuple[str, str] | None:
    mark = _signature(tokens, index, expected)
    for message, hint, examples in SYNTAX_ERRORS:
        if any(mark == _example_signature(example) for example in examples):
            return message, hint
    return None


_SIGNATURES: dict[str, tuple[object, ...]] = {}


def _example_signature(example: str) -> tuple[object, ...]:
    """How the parser stops at an example (kept: the examples never change)."""
    if example not in _SIGNATURES:
        tokens = lex(Source("", example), DEFAULTS).tokens
        stop = first_failure(tokens)
        assert stop is not None, f"{example!r} is no bad example"
        _SIGNATURES[example] = _signature(tokens, stop.place, stop.expected)
    return _SIGNATURES[example]


def _signature(tokens: list[Token], index: int, expected: frozenset[str]) -> tuple[object, ...]:
    """What makes two errors alike: what would have fitted, and the kind of token found."""
    return expected, _class(tokens[index].kind)


def _class(kind: str) -> str:
    if kind in VALUE - {"NAME"}:
        return "value"
    return (
        kind if kind in ("EQUAL", "RBRACE", "RPAR", "RSQB", "COMMA", END, "$END", "NAME") or kind.isalpha() else "sign"
    )


def _misspelt(tokens: list[Token], index: int, expected: frozenset[str]) -> str:
    """A hint where the word found, or the one before it, is nearly a keyword that fits there."""
    words = {kind: text for text, kind in table().literals.items() if text.isalpha() and len(text) > 2}
    fitting = [words[kind] for kind in expected if kind in words]
    if tokens[index].kind == "NAME":
        hint = did_you_mean(tokens[index].text, fitting)
        if hint:
            return hint
    if {"COMPARE", "IN", "DOT"} <= expected:
        return ""  # what stands there is a measure
    before = tokens[index - 1] if index else None
    if before is not None and before.kind == "NAME" and (index < 2 or tokens[index - 2].kind in (END, "LBRACE")):
        return did_you_mean(before.text, words.values())
    return ""


def _expected(expected: Iterable[str]) -> str:
    kinds = set(expected)
    said: list[str] = []
    if kinds >= VALUE:
        said.append("a value")
        kinds -= VALUE
    if len(kinds & INFIX) > 4:
        kinds -= INFIX
    if kinds >= STATEMENT:
        said.append("a statement")
        kinds -= STATEMENT
    texts = {kind: text for text, kind in table().literals.items()}
    said += sorted(SAID.get(kind) or f"`{texts.get(kind, kind)}`" for kind in kinds)
    shown = said[:6]
    if len(shown) == 1:
        return shown[0]
    return ", ".join(shown[:-1]) + (", ..." if len(said) > 6 else "") + " or " + shown[-1] if shown else "nothing more"
