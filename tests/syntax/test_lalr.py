"""Our LALR(1) driver against lark's own parser of the same grammar, over the same tokens."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import lark
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import files

from resnext_dsl.foundation.options import DEFAULTS
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax import grammar, lalr
from resnext_dsl.syntax.errors import SYNTAX_ERRORS
from resnext_dsl.syntax.grammar import GRAMMAR, TABLE, build
from resnext_dsl.syntax.lexer import Token, lex

SPECS = sorted((Path(__file__).parents[2] / "specs").rglob("*.arch"))


@pytest.fixture(scope="module")
def engine() -> lark.Lark:
    return lark.Lark(
        GRAMMAR.read_text(encoding="utf-8"), start="file", parser="lalr", lexer="basic", maybe_placeholders=True
    )


class Trees:
    """A builder that makes lark's own trees."""

    def __getattr__(self, name: str) -> object:
        return lambda children: lark.Tree(name, children)

    def file(self, children: list[object]) -> list[object]:
        return children


def theirs(engine: lark.Lark, tokens: list[Token]) -> object:
    """Lark's tree as nested tuples, or the place where it stops."""
    parser = engine.parse_interactive()
    for index, token in enumerate(tokens):
        try:
            if token.kind == "$END":
                return [plain(child) for child in parser.feed_eof().children]
            parser.feed_token(lark.Token(token.kind, token.text))
        except lark.UnexpectedToken:
            return index
    raise AssertionError("no end")


def ours(tokens: list[Token]) -> object:
    result = lalr.run(tokens, Trees())
    return result.place if isinstance(result, lalr.ParseFailure) else [plain(child) for child in result]


def plain(part: object) -> object:
    if isinstance(part, lark.Tree):
        return str(part.data), [plain(child) for child in part.children]
    return getattr(part, "text", None) or (str(part) if part is not None else None)


def tokens_of(text: str) -> list[Token]:
    return lex(Source("", text), DEFAULTS).tokens


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_the_trees_of_the_shipped_specs_are_larks(engine: lark.Lark, path: Path) -> None:
    tokens = tokens_of(path.read_text(encoding="utf-8"))
    assert ours(tokens) == theirs(engine, tokens)


@settings(max_examples=150)
@given(text=files, drop=st.integers(-40, 40))
def test_generated_files_are_read_as_lark_reads_them(engine: lark.Lark, text: str, drop: int) -> None:
    tokens = tokens_of(text)
    if drop > 0 and len(tokens) > drop:
        del tokens[-drop - 1]
    assert ours(tokens) == theirs(engine, tokens)


def test_the_saved_table_is_that_of_the_grammar() -> None:
    saved = json.loads(TABLE.read_text(encoding="utf-8"))
    assert saved["grammar"] == zlib.crc32(GRAMMAR.read_bytes())
    assert saved == json.loads(json.dumps(build()))


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    level = lark.logger.level
    lark.logger.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG, logger=lark.logger.name):
            lark.Lark(GRAMMAR.read_text(encoding="utf-8"), start="file", parser="lalr", debug=True)
    finally:
        lark.logger.setLevel(level)
    assert not [record for record in caplog.records if "onflict" in record.getMessage()]


BAD = [text for _, _, examples in SYNTAX_ERRORS for text in examples]


@pytest.mark.parametrize("text", [*BAD, "}", "network n { } }", "network n { relu", "network n { input image: 3x8x8; "])
def test_the_terminals_that_would_fit_are_those_that_lark_accepts(engine: lark.Lark, text: str) -> None:
    """A reduction alone does not make a terminal fit: lark follows it to the shift, too."""
    tokens = tokens_of(text)
    failure = lalr.first_failure(tokens)
    if failure is None:  # its brackets do not pair, which the lexer reports
        assert lex(Source("", text), DEFAULTS).diagnostics
        return
    parser = engine.parse_interactive()
    for token in tokens[: failure.place]:
        parser.feed_token(lark.Token(token.kind, token.text))
    wrong = tokens[failure.place]
    with pytest.raises(lark.UnexpectedToken):  # after the reductions that this token calls for
        parser.feed_token(lark.Token(wrong.kind, wrong.text))
    assert failure.expected == parser.accepts()


@pytest.mark.parametrize("text", BAD)
def test_every_bad_example_is_bad(text: str) -> None:
    assert lalr.first_failure(tokens_of(text)) is not None


def test_the_saved_table_serves_without_lark() -> None:
    script = "import sys; from resnext_dsl.syntax.grammar import table; table(); print('lark' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr


def test_the_saved_table_is_read_if_it_belongs_to_the_grammar_and_else_computed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built: list[str] = []
    computed = build()

    def counted() -> dict[str, Any]:
        built.append("built")
        return computed

    def equal(one: lalr.ParseTable, other: lalr.ParseTable) -> bool:
        return one._replace(climbs={}) == other._replace(climbs={})  # parsing fills the climbs

    monkeypatch.setattr(grammar, "build", counted)
    assert equal(grammar.table.__wrapped__(), grammar.table())
    assert built == []
    saved = tmp_path / "arch.table.json"
    monkeypatch.setattr(grammar, "TABLE", saved)
    assert equal(grammar.table.__wrapped__(), grammar.table())
    saved.write_text(json.dumps(computed | {"grammar": 0}))
    assert equal(grammar.table.__wrapped__(), grammar.table())
    assert built == ["built"] * 2
