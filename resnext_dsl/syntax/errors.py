"""The messages of syntax errors.

`SYNTAX_ERRORS` is a table of (message, hint, bad examples). An error gets the first row with an example that fails in
the same way: the same tokens would fit, and the same kind of token is there. A test parses every example.
"""

from __future__ import annotations

from collections.abc import Iterable

from resnext_dsl.foundation.diagnostics import Diagnostic, Span, did_you_mean
from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.grammar import table
from resnext_dsl.syntax.lalr import ParseFailure, first_failure
from resnext_dsl.syntax.lexer import END, Token, lex

PHRASES = {
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
STATEMENT = {"NAME", "USE", "LET", "SHARED", "REPEAT", "FOR", "IF", "SPLIT", "RESIDUAL"}

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
        "a network has no list of parameters",
        "declare each in its body: `param width = 64`; values for another network: `network NAME = OTHER(width=8)`",
        ("network n(width) { relu }", "network n(width=16) { relu }", "network n() { relu }"),
    ),
    (
        "a `path` is allowed only inside a split",
        "write `split { path { ... } path { ... } } merge concat`",
        ("network n { path { relu } }", "template t { path { relu } }"),
    ),
    (
        "a condition compares with `==`",
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
        "a template needs a name",
        "write `template NAME(parameters) { ... }`",
        ("template { relu }", "template (a) { relu }"),
    ),
    (
        "a shared instance needs the operator or template that it applies",
        "write `shared NAME = conv(64, 3x3)`",
        (
            "template t { shared a }",
            "template t { shared a\nrelu }",
            "template t { shared a conv(3) }",
            "template t { shared a(3) }",
            "template t { shared a = 3 }",
            "template t { shared a = [relu] }",
        ),
    ),
    (
        "two statements on one line need `;` between them",
        "put `;` or a line break before this",
        ("template t { relu relu }", "template t { conv(3) bn }", "template t { let a = 3 relu }"),
    ),
    (
        "a comma is missing",
        "arguments and list elements are separated by `,`",
        ("template t { conv(64 3x3) }", "let a = max(1 2)", "let a = [1 2]"),
    ),
    (
        "a slice of a list has no step",
        "write `xs[START:STOP]`, or a list of the elements: `[xs[2 * i] for i in range(n)]`",
        ("let a = b[0:4:2]", "let a = b[::2]", "let a = b[1::2]", "let a = b[:4:2]"),
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
        "a number with a unit is allowed only as the whole bound of a limit",
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
        "the domain of a list needs a range or a set for each element",
        "write `in [1..4, {2, 4}]`, or `in {[1, 2], [3, 4]}` for whole lists",
        (
            "network n { param a = [1, 2] in [1, 2] }",
            "network n { param a = [1, 2] in [1, 2]; relu }",
            "network n { param a = [1, 2] in [] }",
            "network n { param a = [1, 2] in [1..2, [1..2]] }",
        ),
    ),
    (
        "`when` needs a domain before it",
        "write `param NAME = VALUE in DOMAIN when CONDITION`",
        ("network n { param a = 1 when b }", "network n { param a = 1 + 2 when b }"),
    ),
    (
        "a range cannot have both `step` and `log`",
        "`log` draws evenly on a logarithmic scale; a set can list powers: `in {8, 16, 32}`",
        ("network n { param a = 1 in 1..4 log step 2 }", "network n { param a = 1 in 1..4 step 2 log }"),
    ),
    (
        "a limit must compare a measure with a number",
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
        "this declaration is allowed only inside a network",
        "move it into `network NAME { ... }`",
        ("param a = 1", "budget { params <= 1 }", "stem { relu }", "stage a { relu }", "input a: 3x3x3"),
    ),
    (
        "this declaration is not allowed inside a body",
        "move it out of the braces around it",
        ("template t { param a = 1 }", "template t { template u { relu } }", "network n { stem { stage a { relu } } }"),
    ),
    (
        "the top level of a file can have only imports, templates, functions, constants and a network",
        "move statements into `network NAME { ... }` or a template",
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
    row = _not_a_name(tokens, index) or _reserved(tokens, index, expected) or _row(tokens, index, expected)
    actual = _found(token)
    if row is not None and row[0].startswith(actual):
        return Diagnostic("E002", row[0], span, hint=row[1])
    if row is not None:
        return Diagnostic("E002", f"{row[0]}; found {actual}", span, hint=_misspelt(tokens, index, expected) or row[1])
    message = f"found {actual}, expected {_expected(expected)}"
    return Diagnostic("E002", message, span, hint=_misspelt(tokens, index, expected))


def _found(token: Token) -> str:
    if token.kind in ("$END", END):
        return PHRASES[token.kind] if token.text != "}" else "`}`"
    return f"`{token.text[:40]}`" if token.text else PHRASES["$END"]


def _not_a_name(tokens: list[Token], index: int) -> tuple[str, str] | None:
    """The message and hint for a value or a callee that must be a name, and is an element of a list or a call."""
    kind = tokens[index].kind
    words = ["", "", *(token.kind for token in tokens[:index])]
    before, last = words[-2:]
    if kind not in ("LSQB", "LPAR"):
        return None
    if kind == "LSQB" and last == "NAME" and before in ("", END, "LBRACE"):
        element = tokens[index - 1].text
        return "a statement calls a name", f"name the element first: `let op = {element}[...]`, then `op` or `op(...)`"
    if kind == "LPAR" and last in ("RSQB", "RPAR"):
        return "only a name can be called", "name the value first: `let f = ...`, then `f(...)`"
    return None


def _reserved(tokens: list[Token], index: int, expected: frozenset[str]) -> tuple[str, str] | None:
    """The message and hint for a reserved word in place of a new name, or of the name of an argument."""
    token = tokens[index]
    if "NAME" not in expected or token.kind in ("NAME", "$END") or not token.text.isidentifier():
        return None
    if expected >= VALUE and tokens[index + 1].kind != "EQUAL":
        return None
    return f"`{token.text}` is a reserved word, not a name", f"choose another name, such as `{token.text}_`"


def _row(tokens: list[Token], index: int, expected: frozenset[str]) -> tuple[str, str] | None:
    mark = _signature(tokens, index, expected)
    for message, hint, examples in SYNTAX_ERRORS:
        if any(mark == _example_signature(example) for example in examples):
            return message, hint
    return None


_SIGNATURES: dict[str, tuple[object, ...]] = {}


def _example_signature(example: str) -> tuple[object, ...]:
    """The signature of an example's error, cached because the examples never change."""
    if example not in _SIGNATURES:
        tokens = lex(Source("", example), DEFAULTS).tokens
        stop = first_failure(tokens)
        assert stop is not None, f"{example!r} is no bad example"
        _SIGNATURES[example] = _signature(tokens, stop.place, stop.expected)
    return _SIGNATURES[example]


def _signature(tokens: list[Token], index: int, expected: frozenset[str]) -> tuple[object, ...]:
    """The key by which errors are compared: the terminals that would fit, and the kind of token that is there.

    A name alone fits behind many words, and `=` behind the name of many declarations. So the word before belongs to
    the key of these.
    """
    distance = {frozenset({"NAME"}): 1, frozenset({"EQUAL"}): 2}.get(expected, index + 1)
    before = tokens[index - distance].kind if distance <= index else ""
    return expected, _class(tokens[index].kind), before


def _class(kind: str) -> str:
    if kind in VALUE - {"NAME"}:
        return "value"
    return (
        kind if kind in ("EQUAL", "RBRACE", "RPAR", "RSQB", "COMMA", END, "$END", "NAME") or kind.isalpha() else "sign"
    )


def _misspelt(tokens: list[Token], index: int, expected: frozenset[str]) -> str:
    """A hint if this word, or the word before it, is nearly a keyword that fits there."""
    words = {kind: text for text, kind in table().literals.items() if text.isalpha() and len(text) > 2}
    fitting = [words[kind] for kind in expected if kind in words]
    if tokens[index].kind == "NAME":
        hint = did_you_mean(tokens[index].text, fitting)
        if hint:
            return hint
    if {"COMPARE", "IN", "DOT"} <= expected:
        return ""  # the word is a measure
    before = tokens[index - 1] if index else None
    if before is not None and before.kind == "NAME" and (index < 2 or tokens[index - 2].kind in (END, "LBRACE")):
        return did_you_mean(before.text, words.values())
    return ""


def _expected(expected: Iterable[str]) -> str:
    kinds = set(expected)
    phrases: list[str] = []
    if kinds >= VALUE:
        phrases.append("a value")
        kinds -= VALUE
    if len(kinds & INFIX) > 4:
        kinds -= INFIX
    if kinds >= STATEMENT:
        phrases.append("a statement")
        kinds -= STATEMENT
    texts = {kind: text for text, kind in table().literals.items()}
    phrases += sorted(PHRASES.get(kind) or f"`{texts.get(kind, kind)}`" for kind in kinds)
    shown = phrases[:6]
    if len(shown) == 1:
        return shown[0]
    return (
        ", ".join(shown[:-1]) + (", ..." if len(phrases) > 6 else "") + " or " + shown[-1] if shown else "nothing more"
    )
