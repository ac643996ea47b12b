"""Plain English, as far as a machine can hold it: docstrings, comments, option help and pages; names of variables."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PACKAGE = CHECKOUT / "resnext_dsl"
FOLDERS = sorted(path.parent for path in PACKAGE.glob("*/__init__.py"))
PAGES = [
    CHECKOUT / name
    for name in (
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/architecture.md",
        "docs/benchmarks.md",
        "docs/networks.md",
        "findings/README.md",
    )
]

MOST_WORDS = 30
"""Words of one sentence of a docstring, a comment or a page."""

STARTS = re.compile(r"^(What|Where|Those|Whoever|Whatever|Which)\b(?!.*\?$)")
"""Words that begin a clause in place of a subject."""

PHRASES = re.compile(
    r"\b(will do|gone through|signs? of life|of ours|taken? for dead|processor time|has said|whoever|is the matter of|"
    r"nobody|the way back|in the making)\b",
    re.IGNORECASE,
)
"""Private words and riddles; STYLE of the field has a usual word for each."""

VARIABLES = {"made", "found", "given", "way", "own"}
"""Names of variables that say nothing of their content."""


def sentences(text: str) -> Iterator[str]:
    """The sentences of prose: code, tables, lists of terms and headings left out."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:[-*#|>]|\d+\.)\s)|\n(?=\s*\w[\w`*, ]*: )", text):
        line = " ".join(paragraph.split())
        if not line or line.startswith(("|", "#", "<", "![", ">>>", "    ")):
            continue
        line = re.sub(r"^(?:[-*]|\d+\.)\s+", "", line)
        line = re.sub(r"^[\w`*, ]{1,40}: (?=[A-Z])", "", line)  # an entry of `Args` or `Attributes`
        line = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line)
        line = re.sub(r"`[^`]*`", "CODE", line)
        yield from (part.strip("* ") for part in re.split(r"(?<=[.!?])\s+(?=[A-Z*(])|(?<=:)\s+(?=[A-Z])", line) if part)


def prose_of(path: Path) -> Iterator[tuple[int, str]]:
    """The docstrings and comments of a module with their lines."""
    text = path.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            documented = ast.get_docstring(node)
            if documented:
                yield getattr(node, "lineno", 1), documented
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and not re.match(r"#\s*(noqa|type:|fmt:|---|!)", token.string):
            yield token.start[0], re.sub(r"\s*# noqa.*", "", token.string.lstrip("# "))


def faults_of(text: str) -> Iterator[str]:
    """The faults of a piece of prose."""
    for sentence in sentences(text):
        if STARTS.match(sentence):
            yield f"begins with a clause: {sentence[:80]}"
        if len(re.findall(r"[\w'’-]+", sentence)) > MOST_WORDS:
            yield f"has more than {MOST_WORDS} words: {sentence[:80]}"
        phrase = PHRASES.search(sentence)
        if phrase:
            yield f"says `{phrase[0]}`: {sentence[:80]}"


def variables_of(path: Path) -> Iterator[tuple[int, str]]:
    """The variables and parameters of a module that say nothing of their content."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) and node.id in VARIABLES:
            yield node.lineno, node.id
        elif isinstance(node, ast.arg) and node.arg in VARIABLES:
            yield node.lineno, node.arg


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_docstrings_and_comments(folder: Path) -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}:{line}: {fault}"
        for path in sorted(folder.rglob("*.py"))
        for line, text in prose_of(path)
        for fault in faults_of(text)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_names_of_variables(folder: Path) -> None:
    faults = [
        f"{path.relative_to(CHECKOUT)}:{line}: `{name}` names no content"
        for path in sorted(folder.rglob("*.py"))
        for line, name in variables_of(path)
    ]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages(page: Path) -> None:
    faults = list(faults_of(page.read_text(encoding="utf-8")))
    assert not faults, "\n".join(faults)


def test_option_help_is_a_noun_phrase() -> None:
    """An option says what it is, not `Of ...` nor a sentence with another subject."""
    faults = []
    for path in sorted((PACKAGE / "cli").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "Option":
                help_text = next(
                    (k.value.value for k in node.keywords if k.arg == "help" and isinstance(k.value, ast.Constant)), ""
                )
                if re.match(r"(Of|For|What|Where|How|Whether|Those|That|It|In|To|By|With)\b", str(help_text)):
                    faults.append(f"{path.name}:{node.lineno}: {help_text}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("What a text settles is kept.", "begins with a clause"),
        ("Takes trials for dead that gave no sign of life.", "sign of life"),
        ("word " * 31 + "end.", "more than 30 words"),
        ("Args:\n    name: Where it is.", "begins with a clause"),
    ],
)
def test_the_rules_notice(text: str, fault: str) -> None:
    assert any(fault in found for found in faults_of(text))


def test_the_rules_let_plain_sentences_pass() -> None:
    text = "Caches name resolution for the next binding. Raises `ArchError` if a name is unknown.\n\n- What is a group?"
    assert not list(faults_of(text))
