"""The formatter: its layout, and that it changes nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from golden_layouts import GOLDEN
from hypothesis import given, settings
from strategies import AS_FOUND, commented_files
from typer.testing import CliRunner

from resnext_dsl.cli.app import app
from resnext_dsl.formatter.format import diff, format_text
from resnext_dsl.foundation.diagnostics import SpecSyntaxError
from resnext_dsl.foundation.source import Source
from resnext_dsl.syntax.parse import parse

CHECKOUT = Path(__file__).parents[2]


def formatted(text: str) -> str:
    return format_text(Source("<test>", text))


def bare(part: object) -> object:
    """A syntax tree without spans; this test's own, not the formatter's."""
    if hasattr(part, "_fields"):
        return type(part).__name__, {f: bare(getattr(part, f)) for f in part._fields if f != "span"}
    return [bare(inner) for inner in part] if isinstance(part, tuple) else part


def test_a_semicolon_before_a_body_is_dropped() -> None:
    text = "template t {\n    split slice;\n    { path { relu } }\n    merge add\n}\n"
    assert formatted(text) == "template t {\n    split slice { path { relu } } merge add\n}\n"


@settings(AS_FOUND, max_examples=150)
@given(commented_files())
def test_generated_files_keep_their_meaning_and_settle_at_once(text: str) -> None:
    before = parse(Source("<test>", text))
    once = formatted(text)
    after = parse(Source("<test>", once))
    assert bare(after.items) == bare(before.items)
    assert [comment.text for comment in after.comments] == [comment.text for comment in before.comments]
    assert formatted(once) == once
    assert "\r" not in once
    assert not re.search(r"[ \t]$|\n\n\n", once, re.MULTILINE)


@pytest.mark.parametrize("path", sorted((CHECKOUT / "specs").rglob("*.arch")), ids=lambda path: path.stem)
def test_the_shipped_specs_are_in_the_layout(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert formatted(text) == text


def test_the_first_example_of_the_reference_is_in_the_layout() -> None:
    page = (CHECKOUT / "docs" / "language.md").read_text(encoding="utf-8")
    example = re.findall(r"```arch\n(.*?)```", page, re.DOTALL)[0]
    assert formatted(example) == example


@pytest.mark.parametrize(("untidy", "expected"), GOLDEN.values(), ids=GOLDEN)
def test_the_layout(untidy: str, expected: str) -> None:
    assert formatted(untidy) == expected
    assert formatted(expected) == expected


def test_a_text_with_mistakes_is_refused_with_their_places() -> None:
    with pytest.raises(
        SpecSyntaxError, match=r"^<test>:1:11: error\[E002\]: a value is missing; found the end of the file"
    ) as caught:
        formatted("let a = 1 +")
    assert len(caught.value.diagnostics) == 1


def test_the_diff_is_unified() -> None:
    assert diff("a.arch", "let a=1\n", "let a = 1\n") == (
        "--- a.arch\n+++ a.arch (formatted)\n@@ -1 +1 @@\n-let a=1\n+let a = 1\n"
    )


# --- the command ---


@pytest.fixture
def untidy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.arch").write_bytes(b"let a=1\r\n")
    (tmp_path / "b.arch").write_text("let b = 1\n")
    return tmp_path


def run(*arguments: str, given: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["fmt", *arguments], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def test_files_are_rewritten(untidy: Path) -> None:
    assert run(".") == (0, "", "changed a.arch\n")
    assert (untidy / "a.arch").read_bytes() == b"let a = 1\n"
    assert run(".") == (0, "", "")


def test_check_changes_nothing_and_is_status_1(untidy: Path) -> None:
    assert run("--check", "a.arch", "b.arch") == (1, "would change a.arch\n", "")
    assert (untidy / "a.arch").read_bytes() == b"let a=1\r\n"
    assert run("--check", "b.arch") == (0, "", "")


def test_diff_changes_nothing_and_shows_what_would(untidy: Path) -> None:
    status, out, _ = run("--diff", "a.arch")
    assert status == 1
    assert out.endswith("+let a = 1\n")
    assert (untidy / "a.arch").read_bytes() == b"let a=1\r\n"


def test_standard_input_goes_to_standard_output() -> None:
    assert run("-", given="let a=1") == (0, "let a = 1\n", "")


def test_a_file_with_mistakes_is_left_alone(untidy: Path) -> None:
    (untidy / "a.arch").write_text("let a = = 1\n")
    status, _, err = run("a.arch")
    assert status == 2
    assert "a.arch:1:9: error[E002]" in err
    assert (untidy / "a.arch").read_text() == "let a = = 1\n"


@pytest.mark.parametrize(("length", "column"), [(4 + 40, 4 + 40 + 2), (4 + 41, 4 + 2)])
def test_comments_align_up_to_a_spread_of_40_columns(length: int, column: int) -> None:
    """The lines before the comments are of 4 columns and of `length` columns."""
    name = "n" * length
    lines = formatted(f"template t {{\nrelu # one\n{name} # two\n}}\n").splitlines()
    assert lines[1].strip().index("#") == column
    assert lines[2].strip() == f"{name}  # two"


@pytest.mark.parametrize(("length", "is_whole"), [(120, True), (121, False)])
def test_a_line_has_120_columns_at_most(length: int, is_whole: bool) -> None:
    start = "let a = f(b, "
    line = f"{start}{'c' * (length - len(start) - 1)})"
    assert len(line) == length
    lines = formatted(f"{line}\n").splitlines()
    assert (lines == [line]) is is_whole
    assert max(map(len, lines)) <= 120
